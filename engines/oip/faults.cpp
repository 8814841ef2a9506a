// Reads the faults of an error; see faults.h.
#include "faults.h"

#include <rapidjson/encodedstream.h>
#include <rapidjson/memorystream.h>
#include <sidecall/sidecall.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/json/fault_json.h"
#include "base/json/json_document.h"
#include "core/call/fault_list.h"
#include "core/text.h"

namespace sidecall {
namespace {

// The kinds of things that a fault can name.
constexpr const char* kKinds[] = {"feature", "input", "output", "column", "step"};

std::string text_at(const json::Value& object, const char* key) {
  const auto found = object.FindMember(key);
  if (found == object.MemberEnd() || !found->value.IsString()) return "";
  return printable(std::string(found->value.GetString(), found->value.GetStringLength()));
}

bool read_fault(const json::Value& object, Fault* fault) {
  if (!object.IsObject()) return false;
  fault->status = status_of_name(text_at(object, "status"));
  const auto* const kind = std::find_if(std::begin(kKinds), std::end(kKinds),
                                        [&](const char* each) { return object.HasMember(each); });
  if (fault->status == SIDECALL_OK) return false;
  fault->what = kind == std::end(kKinds) ? kRecords : *kind;
  fault->name = text_at(object, fault->what);
  fault->expected = text_at(object, "expected");
  fault->got = text_at(object, "got");
  const auto row = object.FindMember("row");
  if (row != object.MemberEnd() && row->value.IsInt64()) fault->row = row->value.GetInt64();
  return true;
}

}  // namespace

std::vector<Fault> read_faults(std::string_view text, size_t* total) {
  json::Document document;
  rapidjson::MemoryStream memory(text.data(), text.size());
  rapidjson::EncodedInputStream<rapidjson::UTF8<>, rapidjson::MemoryStream> stream(memory);
  std::vector<Fault> faults;
  if (json::parse_exactly(&stream, &document).IsError() || !document.IsObject()) return faults;
  const auto list = document.FindMember("faults");
  if (list == document.MemberEnd() || !list->value.IsArray()) return faults;
  for (const json::Value& each : list->value.GetArray()) {
    Fault fault;
    if (faults.size() == FaultList::kMaxKept || !read_fault(each, &fault)) break;
    faults.push_back(std::move(fault));
  }
  const auto count = document.FindMember("num_faults");
  *total = faults.size();
  if (count != document.MemberEnd() && count->value.IsUint64())
    *total = std::max<size_t>(*total, count->value.GetUint64());
  return faults;
}

}  // namespace sidecall
