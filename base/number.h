// Numbers as text: the shortest text of a double, and the value of a number in JSON or CSV. The
// locale of the host program has no influence, unlike with printf() and strtod().
#pragma once

#include <charconv>
#include <cstdint>
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
