// Reads and writes the text of rows: numbers and CSV fields. Used by the readers and the writer of
// predict, and by diff.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/text/number.h"

namespace sidecall::cli {

// Appends a CSV field, in quotes if it needs them.
void append_csv_field(std::string_view text, std::string* out);

// Parses a whole text as a number: digits, optionally with a minus sign, a decimal point and an
// exponent. Words (nan, inf), blanks and a leading plus are not accepted.
Number parse_number(std::string_view text);

// Parses a plain decimal such as "-17.99" at the beginning of a text; a byte that cannot be part of
// a number must follow it. The digits are at most 2^53 and the power of ten is exact in a double,
// so one division gives the correctly rounded result (Clinger 1990). Returns a pointer to the byte
// after the number, or NULL if the number is not of this plain form.
inline const char* parse_plain(const char* text, double* number) {
  static constexpr double kPowers[] = {1e0, 1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7, 1e8,
                                       1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16};
  constexpr uint64_t kTwoTo53 = UINT64_C(1) << 53;
  const bool is_negative = *text == '-';
  const char* at = text + (is_negative ? 1 : 0);
  const char* first = at;
  uint64_t digits = 0;
  for (unsigned digit; (digit = static_cast<unsigned char>(*at) - unsigned{'0'}) < 10; ++at)
    digits = digits * 10 + digit;
  long num_digits = at - first;
  long decimals = 0;
  if (*at == '.') {
    const char* fraction = ++at;
    for (unsigned digit; (digit = static_cast<unsigned char>(*at) - unsigned{'0'}) < 10; ++at)
      digits = digits * 10 + digit;
    decimals = at - fraction;
    num_digits += decimals;
    if (decimals == 0) return nullptr;
  }
  if (num_digits == decimals || num_digits > 16 || digits > kTwoTo53) return nullptr;  // ".5" too
  const double magnitude = static_cast<double>(digits) / kPowers[decimals];
  *number = is_negative ? -magnitude : magnitude;
  return at;
}

}  // namespace sidecall::cli
