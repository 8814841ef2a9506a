// Reads what the contract says about the numbers and strings that a feature accepts; used by info
// and diff.
#pragma once

#include <string>

#include "formats/json.hpp"

namespace sidecall::cli {

// Whether the format of the contract has domains; in format 1 these keys have no meaning.
bool has_domains(const Json& contract);

// Returns "0 to 1 or 2 to inf", "finite" or "not empty"; "" if every value is accepted.
std::string describe_domain(const Json& feature);

// Whether `feature` accepts every number that `other` accepts.
bool takes_all_of(const Json& feature, const Json& other);

}  // namespace sidecall::cli
