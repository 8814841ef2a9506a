// Reads numbers; see number.h.
#include "number.h"

#include <algorithm>
#include <system_error>

namespace sidecall {
namespace {

// For the text of a number that no double can hold: true if its magnitude is too large, false if it
// is too close to zero.
bool is_large(std::string_view text) noexcept {
  const size_t mantissa_end = std::min(text.find_first_of("eE"), text.size());
  const std::string_view mantissa = text.substr(0, mantissa_end);
  const auto first =
      static_cast<int64_t>(std::min(mantissa.find_first_of("123456789"), mantissa.size()));
  const auto point = static_cast<int64_t>(std::min(mantissa.find('.'), mantissa.size()));
  const int64_t exponent_of_first = point > first ? point - first - 1 : point - first;
  if (mantissa_end == text.size()) return exponent_of_first > 0;
  std::string_view written = text.substr(mantissa_end + 1);
  const bool is_negative = written.front() == '-';
  if (written.front() == '+') written.remove_prefix(1);
  int64_t exponent = 0;
  if (std::from_chars(written.data(), written.data() + written.size(), exponent).ec != std::errc())
    return !is_negative;
  return exponent > -exponent_of_first;
}

}  // namespace

Number read_number(std::string_view text) noexcept {
  const char* end = text.data() + text.size();
  int64_t integer = 0;
  const auto whole = std::from_chars(text.data(), end, integer);
  if (whole.ptr == end && whole.ec == std::errc()) return {Number::Kind::kInteger, integer, 0};
  double real = 0;
  const auto parsed = std::from_chars(text.data(), end, real);
  if (parsed.ptr != end || parsed.ec == std::errc::invalid_argument)
    return {Number::Kind::kNone, 0, 0};
  if (parsed.ec == std::errc::result_out_of_range) {
    if (is_large(text)) return {Number::Kind::kTooLarge, 0, 0};
    real = text.front() == '-' ? -0.0 : 0.0;
  }
  return {Number::Kind::kReal, 0, real};
}

}  // namespace sidecall
