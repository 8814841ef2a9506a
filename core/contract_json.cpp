// Parses the JSON of a contract; see contract_reader.h.
#include <rapidjson/encodedstream.h>
#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>

#include <charconv>
#include <string_view>

#include "base/utf8.h"
#include "contract_reader.h"
#include "error.h"
#include "text.h"

namespace sidecall {
namespace {

constexpr std::string_view kMark = "\xef\xbb\xbf";  // byte order mark of UTF-8
constexpr unsigned kParseFlags = rapidjson::kParseIterativeFlag |
                                 rapidjson::kParseNumbersAsStringsFlag |
                                 rapidjson::kParseValidateEncodingFlag;

// Passes RapidJSON's events on to the document, but reads numbers with the standard library.
// RapidJSON's full precision mode returns a wrong number for 0e-300 and for a zero with many
// decimals; its default mode rounds incorrectly.
class Builder {
 public:
  explicit Builder(json::Document* document) : document_(document) {}

  bool RawNumber(const char* text, rapidjson::SizeType length, bool) {
    const char* end = text + length;
    int64_t integer = 0;
    const auto whole = std::from_chars(text, end, integer);
    if (whole.ptr == end && whole.ec == std::errc()) return document_->Int64(integer);
    double number = 0;
    return std::from_chars(text, end, number).ec == std::errc() && document_->Double(number);
  }
  bool Null() { return document_->Null(); }
  bool Bool(bool flag) { return document_->Bool(flag); }
  bool String(const char* text, rapidjson::SizeType length, bool copy) {
    return document_->String(text, length, copy);
  }
  bool Key(const char* text, rapidjson::SizeType length, bool copy) {
    return document_->Key(text, length, copy);
  }
  bool StartObject() { return document_->StartObject(); }
  bool EndObject(rapidjson::SizeType count) { return document_->EndObject(count); }
  bool StartArray() { return document_->StartArray(); }
  bool EndArray(rapidjson::SizeType count) { return document_->EndArray(count); }
  // Numbers come as text, so RapidJSON never calls these.
  bool Double(double) { return false; }
  bool Int(int) { return false; }
  bool Uint(unsigned) { return false; }
  bool Int64(int64_t) { return false; }
  bool Uint64(uint64_t) { return false; }

 private:
  json::Document* document_;
};

[[noreturn]] void fail(const std::string& words, size_t byte) {
  throw Error(SIDECALL_CONTRACT_INVALID, "contract: expected JSON, got other text: " + words +
                                             " (byte " + std::to_string(byte) + ")");
}

}  // namespace

void parse_json(const std::string& json, json::Document* document) {
  // RapidJSON would stop at a NUL.
  if (const size_t nul = json.find('\0'); nul != std::string::npos) fail("a NUL", nul);
  size_t begin = 0;
  rapidjson::ParseResult result;
  const auto parse = [&](auto& stream) {
    const auto generate = [&](json::Document& target) {
      Builder builder(&target);
      json::Reader reader;
      result = reader.Parse<kParseFlags>(stream, builder);
      return !result.IsError();
    };
    document->Populate(generate);
  };
  if (is_utf8(json)) {
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
