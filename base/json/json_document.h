// Parses JSON into a RapidJSON document, with every number exact. RapidJSON's own full precision
// mode returns a wrong number for 0e-300 and for a zero with many decimals, and its default mode
// rounds incorrectly; so numbers are read with the standard library.
#pragma once

#include <rapidjson/error/error.h>

#include <charconv>
#include <cstdint>

#include "json.h"

namespace sidecall::json {

// Passes RapidJSON's events on to the document. Must be used with kExactFlags.
class ExactBuilder {
 public:
  explicit ExactBuilder(Document* document) : document_(document) {}

  // NOLINTBEGIN(readability-identifier-naming): RapidJSON calls these names.
  bool RawNumber(const char* text, rapidjson::SizeType length, bool) {
    const char* end = text + length;
    int64_t integer = 0;
    const auto whole = std::from_chars(text, end, integer);
    // An integer has no negative zero.
    if (whole.ptr == end && whole.ec == std::errc() && (integer != 0 || *text != '-'))
      return document_->Int64(integer);
    uint64_t natural = 0;
    const auto large = std::from_chars(text, end, natural);
    if (large.ptr == end && large.ec == std::errc()) return document_->Uint64(natural);
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
  // NOLINTEND(readability-identifier-naming)

 private:
  Document* document_;
};

inline constexpr unsigned kExactFlags = rapidjson::kParseIterativeFlag |
                                        rapidjson::kParseNumbersAsStringsFlag |
                                        rapidjson::kParseValidateEncodingFlag;

// Reads the stream to its end.
template <typename Stream>
rapidjson::ParseResult parse_exactly(Stream* stream, Document* document) {
  rapidjson::ParseResult result;
  const auto generate = [&](Document& target) {
    ExactBuilder builder(&target);
    Reader reader;
    result = reader.Parse<kExactFlags>(*stream, builder);
    return !result.IsError();
  };
  document->Populate(generate);
  return result;
}

}  // namespace sidecall::json
