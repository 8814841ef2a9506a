// Numbers as text: the shortest text of a double, and the value of a number in JSON or CSV. The
// locale of the host program has no influence, unlike with printf() and strtod().
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>

namespace sidecall {

// Appends the shortest text that reads back as the same number: "0.1", "1e+22", "nan", "-inf".
inline void append_number(double number, std::string* out) {
  char text[32];  // the longest text has 24 characters
  out->append(text, std::to_chars(text, text + sizeof text, number).ptr);
}

inline std::string number_text(double number) {
  std::string text;
  append_number(number, &text);
  return text;
}

// Computes digits / 10^decimals. If both are small enough, a double holds both exactly, so a single
// division rounds correctly (Clinger 1990). Returns false otherwise.
inline bool divide_by_power_of_ten(uint64_t digits, size_t decimals, double* quotient) {
  static constexpr double kPowers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                       1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                       1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  constexpr uint64_t kTwoTo53 = UINT64_C(1) << 53;
  if (digits > kTwoTo53 || decimals >= sizeof kPowers / sizeof kPowers[0]) return false;
  *quotient = static_cast<double>(digits) / kPowers[decimals];
  return true;
}

// The smallest double above a number that is neither NaN nor infinity; as std::nextafter, which
// takes many times as long.
inline double next_above(double number) noexcept {
  if (number == 0) return std::numeric_limits<double>::denorm_min();
  int64_t bits;  // ascends with the absolute value
  std::memcpy(&bits, &number, sizeof bits);
  bits += number > 0 ? 1 : -1;
  std::memcpy(&number, &bits, sizeof number);
  return number;
}

inline double next_below(double number) noexcept { return -next_above(-number); }

struct Number {
  enum class Kind { kNone, kInteger, kReal, kTooLarge } kind;
  int64_t integer;
  double real;
};

// Reads a text that consists of one number and nothing else. Accepts every JSON number, and also
// forms such as ".5" and "1."; callers must exclude the words "nan" and "inf" themselves. A number
// that fits int64 and has neither point nor exponent is an integer. A number that is too close to
// zero for a double is read as 0 or -0. The kind is kTooLarge if the number is too large for a
// double, and kNone if the text is not a number.
Number read_number(std::string_view text) noexcept;

}  // namespace sidecall
