// Parses the JSON of a contract; see contract_reader.h.
#include <rapidjson/encodedstream.h>
#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>

#include <cstring>
#include <string_view>

#include "base/json/json_document.h"
#include "base/json/json_problem.h"
#include "base/text/number.h"
#include "base/text/utf8.h"
#include "contract_reader.h"
#include "core/error.h"

namespace sidecall {
namespace {

constexpr std::string_view kMark = "\xef\xbb\xbf";  // byte order mark of UTF-8

// Reads JSON as exporters write it: without escapes in strings, and with few levels. For any other
// text, and for one that is not JSON, read() returns false. Then RapidJSON must read it, which
// takes three times as long.
class QuickReader {
 public:
  // The text must be UTF-8 without NUL, and end with a NUL. Strings of the document are views into
  // it.
  QuickReader(const char* text, json::Document* document)
      : at_(text), document_(document), numbers_(document) {}

  bool read() {
    if (!read_value(0)) return false;
    skip_spaces();
    return *at_ == '\0';
  }

 private:
  static constexpr int kMaxDepth = 64;

  void skip_spaces() {
    if (static_cast<unsigned char>(*at_) > ' ') return;
    while (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t') ++at_;
  }

  bool take(char expected) {
    skip_spaces();
    if (*at_ != expected) return false;
    ++at_;
    return true;
  }

  bool take_word(std::string_view word) {
    if (std::strncmp(at_, word.data(), word.size()) != 0) return false;
    at_ += word.size();
    return true;
  }

  bool read_value(int depth) {
    if (depth > kMaxDepth) return false;
    skip_spaces();
    switch (*at_) {
      case '{':
        return read_object(depth);
      case '[':
        return read_array(depth);
      case '"':
        return read_string(false);
      case 't':
        return take_word("true") && document_->Bool(true);
      case 'f':
        return take_word("false") && document_->Bool(false);
      case 'n':
        return take_word("null") && document_->Null();
      default:
        return read_number();
    }
  }

  bool read_object(int depth) {
    ++at_;
    document_->StartObject();
    if (take('}')) return document_->EndObject(0);
    rapidjson::SizeType count = 0;
    do {
      skip_spaces();
      if (!read_string(true) || !take(':') || !read_value(depth + 1)) return false;
      ++count;
    } while (take(','));
    return take('}') && document_->EndObject(count);
  }

  bool read_array(int depth) {
    ++at_;
    document_->StartArray();
    if (take(']')) return document_->EndArray(0);
    rapidjson::SizeType count = 0;
    do {
      if (!read_value(depth + 1)) return false;
      ++count;
    } while (take(','));
    return take(']') && document_->EndArray(count);
  }

  bool read_string(bool is_key) {
    if (*at_ != '"') return false;
    const char* const begin = ++at_;
    while (*at_ != '"' && *at_ != '\\' && static_cast<unsigned char>(*at_) >= 0x20) ++at_;
    if (*at_ != '"') return false;
    const auto length = static_cast<rapidjson::SizeType>(at_ - begin);
    ++at_;
    return is_key ? document_->Key(begin, length, false) : document_->String(begin, length, false);
  }

  // Moves past digits, and appends them to `digits`. Returns how many there were.
  size_t read_digits(uint64_t* digits) {
    const char* const begin = at_;
    for (; *at_ >= '0' && *at_ <= '9'; ++at_)
      *digits = *digits * 10 + static_cast<uint64_t>(*at_ - '0');
    return static_cast<size_t>(at_ - begin);
  }

  bool read_number() {
    constexpr size_t kMostDigits = 18;  // any number of so many digits is less than 2^63
    // RapidJSON refuses some larger exponents even if a double can hold the number. So larger ones,
    // and as many digits, are left to it.
    constexpr uint64_t kLargestExponent = 300;
    const char* const begin = at_;
    const bool is_negative = *at_ == '-';
    if (is_negative) ++at_;
    const bool begins_with_zero = *at_ == '0';
    uint64_t digits = 0, exponent = 0;
    const size_t whole = read_digits(&digits);
    if (whole == 0 || whole > kLargestExponent || (begins_with_zero && whole > 1)) return false;
    size_t decimals = 0;
    const bool has_point = *at_ == '.';
    if (has_point) {
      ++at_;
      decimals = read_digits(&digits);
      if (decimals == 0) return false;
    }
    const bool has_exponent = *at_ == 'e' || *at_ == 'E';
    if (has_exponent) {
      ++at_;
      if (*at_ == '+' || *at_ == '-') ++at_;
      const size_t count = read_digits(&exponent);
      if (count == 0 || count > 3 || exponent > kLargestExponent) return false;
    }
    if (!has_exponent && whole + decimals <= kMostDigits) {
      const auto integer = static_cast<int64_t>(digits);
      if (!has_point && (integer != 0 || !is_negative))
        return document_->Int64(is_negative ? -integer : integer);
      double number = 0;
      if (divide_by_power_of_ten(digits, decimals, &number))
        return document_->Double(is_negative ? -number : number);
    }
    return numbers_.RawNumber(begin, static_cast<rapidjson::SizeType>(at_ - begin), true);
  }

  const char* at_;
  json::Document* document_;
  json::ExactBuilder numbers_;
};

bool read_quickly(const std::string& json, json::Document* document) {
  bool is_read = false;
  const auto generate = [&](json::Document& target) {
    is_read = QuickReader(json.c_str(), &target).read();
    return is_read;
  };
  document->Populate(generate);
  return is_read;
}

[[noreturn]] void fail(const std::string& words, size_t byte) {
  throw Error(SIDECALL_CONTRACT_INVALID,
              "contract: not valid JSON: " + words + " (byte " + std::to_string(byte) + ")");
}

}  // namespace

void parse_json(const std::string& json, json::Document* document) {
  // RapidJSON would stop at a NUL.
  if (const size_t nul = json.find('\0'); nul != std::string::npos) fail("a NUL", nul);
  const bool is_text = is_utf8(json);
  if (is_text && read_quickly(json, document)) return;
  size_t begin = 0;
  rapidjson::ParseResult result;
  const auto parse = [&](auto& stream) { result = json::parse_exactly(&stream, document); };
  if (is_text) {
    begin = json.compare(0, kMark.size(), kMark) == 0 ? kMark.size() : 0;
    // Reads up to the NUL that ends every std::string.
    rapidjson::StringStream stream(json.c_str() + begin);
    parse(stream);
  } else {
    // A truncated UTF-8 character would lead the reader past that NUL. This stream is slower, but
    // knows where the text ends.
    rapidjson::MemoryStream memory(json.data(), json.size());
    rapidjson::EncodedInputStream<rapidjson::UTF8<>, rapidjson::MemoryStream> stream(memory);
    parse(stream);
  }
  if (!result.IsError()) return;
  const bool is_number = result.Code() == rapidjson::kParseErrorTermination;
  fail(is_number ? "a number that float64 cannot hold"
                 : parser_words(rapidjson::GetParseError_En(result.Code())),
       begin + result.Offset());
}

}  // namespace sidecall
