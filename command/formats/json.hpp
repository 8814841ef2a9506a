// Reads and writes JSON for the commands, with RapidJSON. Readers are tolerant: for a key that is
// absent or has a value of another type they return a default.
#pragma once

#include <rapidjson/prettywriter.h>

#include <string>
#include <string_view>

#include "base/json/json.h"
#include "terminal/output.hpp"

namespace sidecall::cli {

using Json = json::Value;
using JsonDocument = json::Document;
using JsonWriter =
    rapidjson::PrettyWriter<json::Buffer, json::Encoding, json::Encoding, json::Memory>;

// Parses text that the library has already accepted. Returns an empty object for any other text.
// Text with more than 64 levels also gives an empty object, because RapidJSON writes and compares
// values recursively.
JsonDocument parse_json(std::string_view text);

// Returns the member `key`, or a null value. Works on values of any type, so that lookups can be
// chained.
const Json& at(const Json& value, const char* key);

// Returns strings as they are, other values as JSON text.
std::string text_of(const Json& value);
std::string text_at(const Json& value, const char* key);
bool true_at(const Json& value, const char* key);

// Returns the values of an array joined by ", ", at most `limit` of them.
std::string list_of(const Json& array, size_t limit);

inline void write_key(JsonWriter& json, std::string_view key) {
  json.Key(key.data(), static_cast<rapidjson::SizeType>(key.size()));
}
inline void write_text(JsonWriter& json, std::string_view text) {
  json.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
}
void write_member(JsonWriter& json, const char* key, std::string_view text);

// Returns the indented JSON that `write` produces. The text is complete before any of it is
// written, so stdout never receives only a part of it.
template <typename Write>
std::string to_json(Write write) {
  json::Buffer buffer;
  JsonWriter json(buffer);
  json.SetIndent(' ', 2);
  write(json);
  return printable({buffer.GetString(), buffer.GetSize()}, LineEnds::kKeep) + "\n";
}

}  // namespace sidecall::cli
