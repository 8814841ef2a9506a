// Decides whether a feature accepts a value; see feature_refusal.h.
#include "feature_refusal.h"

#include <cmath>

namespace sidecall {

std::optional<Refusal> refusal_of(const Feature& feature, double number, int64_t integer) {
  if (feature.is_closed && feature.allowed_numbers.count(number) == 0)
    return Refusal{SIDECALL_UNKNOWN_CATEGORY, "a known category", "an unknown one"};
  if (feature.domain.holds(number) && feature.domain.holds(integer)) return std::nullopt;
  return Refusal{SIDECALL_OUT_OF_RANGE, describe_domain(feature),
                 std::isinf(number) ? "an infinite one" : "another"};
}

std::optional<Refusal> refusal_of(const Feature& feature, std::string_view text) {
  if (!feature.takes_empty && text.empty())
    return Refusal{SIDECALL_INVALID_STRING, "a string that is not empty", "an empty one"};
  if (feature.is_closed && feature.allowed_strings.count(std::string(text)) == 0)
    return Refusal{SIDECALL_UNKNOWN_CATEGORY, "a known category", "an unknown one"};
  return std::nullopt;
}

}  // namespace sidecall
