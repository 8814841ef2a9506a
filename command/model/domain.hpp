// Reads what the contract says about the values that a feature accepts; used by info and diff.
#pragma once

#include <string>

#include "formats/json.hpp"

namespace sidecall::cli {

// Returns "0 to 1 or 2 to inf", "finite" or "not empty"; "" if every value is accepted.
std::string describe_domain(const Json& feature);

// "float64", or "datetime[ms, Europe/Berlin]" with the unit and the zone.
std::string describe_type(const Json& feature);

// Whether `feature` accepts every number that `other` accepts.
bool takes_all_of(const Json& feature, const Json& other);

}  // namespace sidecall::cli
