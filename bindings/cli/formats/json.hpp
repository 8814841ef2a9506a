// Reads and writes JSON for the commands, on RapidJSON. Readers are forgiving: a key that is absent or of another kind gives the fallback.
#pragma once

#define RAPIDJSON_HAS_STDSTRING 1
#include <rapidjson/document.h>
#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>

#include <string>
#include <string_view>

#include "terminal/output.hpp"

namespace sidecall::cli {

using Json = rapidjson::Value;
using JsonDocument = rapidjson::Document;
using JsonWriter = rapidjson::PrettyWriter<rapidjson::StringBuffer>;

// Parses text that the library has accepted before; an empty object for anything else, and for
// more than 64 levels: RapidJSON writes and compares values by recursion.
JsonDocument parse_json(std::string_view text);

// The member, or a null value. Safe on values of any kind, so that look-ups can be chained.
const Json& at(const Json& value, const char* key);

// Strings as they are, other values as JSON.
std::string text_of(const Json& value);
std::string text_at(const Json& value, const char* key);
bool true_at(const Json& value, const char* key);

// Values of an array joined by ", ", at most `limit` of them.
std::string list_of(const Json& array, size_t limit);

inline void write_key(JsonWriter& json, std::string_view key) {
  json.Key(key.data(), static_cast<rapidjson::SizeType>(key.size()));
}
inline void write_text(JsonWriter& json, std::string_view text) {
  json.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
}
void write_member(JsonWriter& json, const char* key, std::string_view text);

// Prints what `write` puts into an indented writer. Only complete texts reach stdout.
template <typename Write>
std::string to_json(Write write) {
  rapidjson::StringBuffer buffer;
  JsonWriter json(buffer);
  json.SetIndent(' ', 2);
  write(json);
  return printable({buffer.GetString(), buffer.GetSize()}, LineEnds::kKeep) + "\n";
}

}  // namespace sidecall::cli
