// Text as rows hold it: numbers, UTF-8, JSON strings. Used by the readers and the writer of predict.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sidecall::cli {

// Where the first byte stands that is not UTF-8, or the length of the text.
size_t utf8_length(std::string_view text);
inline bool is_utf8(std::string_view text) { return utf8_length(text) == text.size(); }

// How many characters a text has, as a person counts a column.
size_t count_characters(std::string_view text);

// As the library writes strings in JSON.
void append_json_string(std::string_view text, std::string* out);

// A field of CSV, in quotes where it needs them.
void append_csv_field(std::string_view text, std::string* out);

// The shortest text that gives the number back, as the library writes it.
void append_double(double number, std::string* out);

struct Number {
  enum class Kind { kNone, kInteger, kReal, kTooLarge } kind;
  int64_t integer;
  double real;
};

// A whole text as a number: digits with a sign, a point, an exponent. No words (nan, inf), no blanks, no leading plus.
Number parse_number(std::string_view text);

// Reads a plain decimal, as "-17.99", from the front of a text that a byte that is none of a number ends. Up to 2^53 over a power of ten that a double
// holds exactly, one division rounds as it should (Clinger 1990). The byte behind it, or NULL where the number is not that plain.
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
  if (num_digits == decimals || num_digits > 16 || digits > kTwoTo53) return nullptr;  // also ".5"
  const double magnitude = static_cast<double>(digits) / kPowers[decimals];
  *number = is_negative ? -magnitude : magnitude;
  return at;
}

}  // namespace sidecall::cli
