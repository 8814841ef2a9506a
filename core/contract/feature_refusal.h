// Whether a feature accepts one value. Used when features are set, and when tensors are checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "signature.h"

namespace sidecall {

struct Refusal {
  int32_t status;
  std::string expected;
  const char* got;
};

// For a number that is not missing. `number` is the value that the tensor holds; for an int64
// tensor, `integer` is the same value.
std::optional<Refusal> refusal_of(const Feature& feature, double number, int64_t integer);

// For a string that is valid text and not missing.
std::optional<Refusal> refusal_of(const Feature& feature, std::string_view text);

// The numbers that the domain of a feature holds, for faults: "a number from 0 to 1". The domain
// must exist.
std::string describe_domain(const Feature& feature);

}  // namespace sidecall
