// Parses a line of JSON again to find the places of its values; see json_places.hpp.
#include "json_places.hpp"

#include <algorithm>
#include <charconv>

#include "base/json/json.h"
#include "text.hpp"

namespace sidecall::cli {
namespace {

constexpr unsigned kParseFlags =
    rapidjson::kParseIterativeFlag | rapidjson::kParseNumbersAsStringsFlag;

size_t begin_of(std::string_view line, std::string_view part) {
  return static_cast<size_t>(part.data() - line.data());
}

}  // namespace

std::string_view trimmed(std::string_view line) {
  const size_t begin = line.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return line.substr(0, 0);
  return line.substr(begin, line.find_last_not_of(" \t") - begin + 1);
}

size_t literal_length(std::string_view text) {
  size_t at = 1;
  while (at < text.size() && text[at] != '"') at += text[at] == '\\' ? 2 : 1;
  return std::min(at + 1, text.size());
}

size_t place_of_problem(std::string_view line, std::string* message) {
  const std::string_view record = trimmed(line);
  const size_t begin = begin_of(line, record);
  // The message of the library ends with the offset of the byte in the record: " (byte 12)".
  const size_t note = message->rfind(" (byte ");
  if (note != std::string::npos && message->back() == ')') {
    size_t byte = 0;
    const char* end = message->data() + message->size() - 1;
    if (std::from_chars(message->data() + note + 7, end, byte).ptr == end) {
      message->resize(note);
      return begin + std::min(byte, record.size());
    }
  }
  return begin;
}

struct JsonPlaces::Handler : rapidjson::BaseReaderHandler<rapidjson::UTF8<>, Handler> {
  Handler(JsonPlaces& places, const std::string& text, rapidjson::StringStream& stream)
      : places_(places), text_(text), stream_(stream) {}

  bool Default() { return true; }
  bool StartObject() { return ++depth_ > 0; }
  bool EndObject(rapidjson::SizeType) { return --depth_ >= 0; }
  bool StartArray() { return ++depth_ > 0; }
  bool EndArray(rapidjson::SizeType) { return --depth_ >= 0; }
  bool Key(const char* name, rapidjson::SizeType length, bool) {
    if (depth_ != 1) return true;
    // The parser works on a copy of the stream while it reads a string, and updates the stream only
    // after the key. So the position here is that of the key.
    const size_t key = stream_.Tell();
    const size_t value = text_.find_first_not_of(
        " \t\r\n:", key + literal_length(std::string_view(text_).substr(key)));
    places_.members_.push_back(
        {std::string(name, length), places_.record_ + std::min(value, text_.size())});
    return true;
  }

 private:
  JsonPlaces& places_;
  const std::string& text_;
  rapidjson::StringStream& stream_;
  int depth_ = 0;
};

JsonPlaces::JsonPlaces(std::string_view line) : record_(begin_of(line, trimmed(line))) {
  const std::string text(trimmed(line));
  rapidjson::StringStream stream(text.c_str());
  Handler handler(*this, text, stream);
  json::Reader().Parse<kParseFlags>(stream, handler);
}

size_t JsonPlaces::of(std::string_view name) const {
  const auto found = std::find_if(members_.begin(), members_.end(),
                                  [&](const Member& member) { return member.name == name; });
  return found == members_.end() ? record_ : found->place;
}

}  // namespace sidecall::cli
