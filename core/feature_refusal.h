// Whether a feature takes one value; used where features are set and where tensors are looked at.
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

// A number that is not missing: as the tensor holds it, in `integer` too where that is one of int64.
std::optional<Refusal> refusal_of(const Feature& feature, double number, int64_t integer);

// A string that is valid text and not missing.
std::optional<Refusal> refusal_of(const Feature& feature, std::string_view text);

}  // namespace sidecall
