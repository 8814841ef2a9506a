// What a feature's contract says about the numbers and strings that its model takes; info and diff use it.
#pragma once

#include <string>

#include "formats/json.hpp"

namespace sidecall::cli {

// Whether a contract is of a format that says so; in format 1 those keys mean nothing.
bool has_domains(const Json& contract);

// "0 to 1 or 2 to inf", "finite", "not empty"; "" where everything is taken.
std::string describe_domain(const Json& feature);

// Whether a feature takes every number that the other takes.
bool takes_all_of(const Json& feature, const Json& other);

}  // namespace sidecall::cli
