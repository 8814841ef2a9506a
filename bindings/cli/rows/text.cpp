// Parses numbers, checks UTF-8 and quotes text; see text.hpp.
#include "text.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

namespace sidecall::cli {
namespace {

// Returns the length in bytes of the first UTF-8 character of `text`, or 0 if it is not valid by
// RFC 3629 (overlong forms, surrogates and code points above U+10FFFF are not).
size_t character_length(std::string_view text) {
  const auto byte = [&](size_t at) {
    return at < text.size() ? static_cast<unsigned char>(text[at]) : 0U;
  };
  const unsigned first = byte(0), second = byte(1);
  const size_t length = first < 0x80   ? 1
                        : first < 0xC2 ? 0
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                        : first < 0xF5 ? 4
                                       : 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool is_overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool is_beyond = (first == 0xED && second > 0x9F) || (first == 0xF4 && second > 0x8F);
  return is_overlong || is_beyond ? 0 : length;
}

// For a number that is out of the range of a double: whether it is too large, not too close to
// zero.
bool is_large(std::string_view text) {
  if (text.front() == '-') text.remove_prefix(1);
  const size_t mantissa_end = std::min(text.find_first_of("eE"), text.size());
  const std::string_view mantissa = text.substr(0, mantissa_end);
  const auto first =
      static_cast<int64_t>(std::min(mantissa.find_first_of("123456789"), mantissa.size()));
  const auto point = static_cast<int64_t>(std::min(mantissa.find('.'), mantissa.size()));
  if (mantissa_end == text.size()) return point > first;
  std::string_view written = text.substr(mantissa_end + 1);
  const bool is_negative = written.front() == '-';
  if (written.front() == '+') written.remove_prefix(1);
  int64_t exponent = 0;
  if (std::from_chars(written.data(), written.data() + written.size(), exponent).ec != std::errc())
    return !is_negative;
  return exponent > first - point;
}

}  // namespace

size_t utf8_length(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    uint64_t eight = 0;
    if (at + 8 <= text.size()) {
      std::memcpy(&eight, text.data() + at, 8);
      if ((eight & UINT64_C(0x8080808080808080)) == 0) {
        at += 8;
        continue;
      }
    }
    const size_t length = character_length(text.substr(at));
    if (length == 0) return at;
    at += length;
  }
  return at;
}

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

void append_json_string(std::string_view text, std::string* out) {
  out->push_back('"');
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (byte < 0x20) {
      static constexpr char kHex[] = "0123456789abcdef";
      *out += "\\u00";
      out->push_back(kHex[byte >> 4]);
      out->push_back(kHex[byte & 15]);
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

void append_csv_field(std::string_view text, std::string* out) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos && !text.empty()) {
    out->append(text);
    return;
  }
  out->push_back('"');
  for (const char c : text) {
    if (c == '"') out->push_back('"');
    out->push_back(c);
  }
  out->push_back('"');
}

void append_double(double number, std::string* out) {
  char text[32];
  out->append(text, std::to_chars(text, text + sizeof text, number).ptr);
}

Number parse_number(std::string_view text) {
  constexpr Number kNone = {Number::Kind::kNone, 0, 0};
  if (text.empty() || text.find_first_not_of("+-.0123456789eE") != std::string_view::npos)
    return kNone;
  const char* end = text.data() + text.size();
  int64_t integer = 0;
  const auto whole = std::from_chars(text.data(), end, integer);
  if (whole.ptr == end && whole.ec == std::errc()) return {Number::Kind::kInteger, integer, 0};
  double real = 0;
  const auto parsed = std::from_chars(text.data(), end, real);
  if (parsed.ptr != end || parsed.ec == std::errc::invalid_argument) return kNone;
  if (parsed.ec == std::errc::result_out_of_range) {
    if (is_large(text)) return {Number::Kind::kTooLarge, 0, 0};
    real = text.front() == '-' ? -0.0 : 0.0;
  }
  return {Number::Kind::kReal, 0, real};
}

}  // namespace sidecall::cli
