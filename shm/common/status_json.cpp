// Checks the answer to STATUS with a streaming parser, without building a document; see
// status_json.h.
#include "status_json.h"

#include <rapidjson/memorystream.h>

#include "base/json/json.h"

namespace sidecall::shm {
namespace {

constexpr int kMaxLevels = 64;

// Stops the parser at a value outside of an object, and when values are nested too deeply.
struct LevelCounter : rapidjson::BaseReaderHandler<rapidjson::UTF8<>, LevelCounter> {
  bool Default() { return levels > 0; }
  bool StartObject() { return ++levels <= kMaxLevels; }
  bool StartArray() { return levels > 0 && ++levels <= kMaxLevels; }
  bool EndObject(rapidjson::SizeType) { return --levels >= 0; }
  bool EndArray(rapidjson::SizeType) { return --levels >= 0; }

  int levels = 0;
};

}  // namespace

bool is_status_json(std::string_view text) {
  rapidjson::MemoryStream stream(text.data(), text.size());
  LevelCounter counter;
  return !json::Reader().Parse<rapidjson::kParseIterativeFlag>(stream, counter).IsError();
}

}  // namespace sidecall::shm
