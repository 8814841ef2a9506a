// Reads and writes JSON for the commands; see json.hpp.
#include "json.hpp"

namespace sidecall::cli {

namespace {

constexpr int kMaxLevels = 64;

// Counts brackets outside of strings. This is exact for JSON; the parser refuses other text.
bool is_too_deep(std::string_view text) {
  int level = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') in_string = !in_string;
    else if (in_string) i += c == '\\' ? 1 : 0;
    else if ((c == '{' || c == '[') && ++level > kMaxLevels) return true;
    else if (c == '}' || c == ']') --level;
  }
  return false;
}

}  // namespace

JsonDocument parse_json(std::string_view text) {
  JsonDocument document(rapidjson::kObjectType);
  if (is_too_deep(text)) return document;
  document.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseFullPrecisionFlag>(text.data(),
                                                                                      text.size());
  if (document.HasParseError() || !document.IsObject()) document.SetObject();
  return document;
}

const Json& at(const Json& value, const char* key) {
  static const Json nothing;
  if (!value.IsObject()) return nothing;
  const auto member = value.FindMember(key);
  return member == value.MemberEnd() ? nothing : member->value;
}

std::string text_of(const Json& value) {
  if (value.IsNull()) return "";
  if (value.IsString()) return std::string(value.GetString(), value.GetStringLength());
  json::Buffer buffer;
  json::Writer writer(buffer);
  value.Accept(writer);
  return std::string(buffer.GetString(), buffer.GetSize());
}

std::string text_at(const Json& value, const char* key) { return text_of(at(value, key)); }

bool true_at(const Json& value, const char* key) { return at(value, key).IsTrue(); }

std::string list_of(const Json& array, size_t limit) {
  if (!array.IsArray()) return "";
  std::string result;
  for (rapidjson::SizeType i = 0; i < array.Size(); ++i) {
    if (i == limit) return result + ", ... (" + std::to_string(array.Size()) + ")";
    result += (i ? ", " : "") + text_of(array[i]);
  }
  return result;
}

void write_member(JsonWriter& json, const char* key, std::string_view text) {
  json.Key(key);
  write_text(json, text);
}

}  // namespace sidecall::cli
