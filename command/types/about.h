// Sentences about the values that a feature takes, for comments in every language.
#pragma once

#include <string>

#include "record_types.h"

namespace sidecall {

// About a closed list: "Takes 1, 2 or 3." if it has numbers that no type of the language lists,
// "Takes no value." if it is empty, and otherwise "".
std::string about_list(const FeatureType& feature);

// "Takes a number from 0 to 9. Does not take -1, which stands for a missing value." The first
// sentence is left out unless `has_domain`, and the second one if there is no such value.
std::string about_domain(const FeatureType& feature, bool has_domain);

// All of it, for a language whose type of the feature lists no values. A text of a list is quoted.
std::string about_values(const FeatureType& feature);

}  // namespace sidecall
