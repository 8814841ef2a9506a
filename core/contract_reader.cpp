// Typed access to contract JSON; see contract_reader.h.
#include "contract_reader.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/utf8.h"
#include "error.h"

namespace sidecall {
namespace {

constexpr int kMaxDepth = 64;
constexpr int64_t kFormat = 2;  // the newest
constexpr const char* kFormats = "1 or 2";
constexpr size_t kMaxKeyInPath = 100;  // keeps paths short, because a key can have any length

// Allocates once, because a path is made for every member and element that is read.
std::string with_key(const std::string& path, std::string_view key) {
  std::string_view shown = key.substr(0, kMaxKeyInPath);
  if (shown.size() < key.size()) shown = shown.substr(0, utf8_length(shown));
  std::string whole;
  whole.reserve(path.size() + shown.size() + 4);
  if (path != "/") whole.append(path).append(1, '.');
  whole.append(shown);
  if (shown.size() < key.size()) whole.append("...");
  return whole;
}

std::string with_index(const std::string& path, size_t index) {
  const std::string number = std::to_string(index);
  std::string whole;
  whole.reserve(path.size() + number.size() + 2);
  return whole.append(path).append(1, '[').append(number).append(1, ']');
}

// One step on the path from the root. The text of the path is made for errors only.
struct Step {
  const Step* before;
  std::string_view key;  // if it is a member of an object
  size_t index;          // if it is an element of an array
  bool is_member;
};

std::string path_to(const std::string& root, const Step* step) {
  if (step == nullptr) return root;
  const std::string before = path_to(root, step->before);
  return step->is_member ? with_key(before, step->key) : with_index(before, step->index);
}

bool is_nested(const json::Value& value) { return value.IsObject() || value.IsArray(); }

void check_keys(const json::Value& value, const std::string& root, const Step* step, int depth) {
  const auto fail = [&](const std::string& expected, const std::string& got) {
    JsonNode(&value, path_to(root, step)).fail(expected, got);
  };
  if (depth > kMaxDepth) fail("at most " + std::to_string(kMaxDepth) + " levels", "more");
  if (value.IsArray()) {
    for (rapidjson::SizeType i = 0; i < value.Size(); ++i) {
      const Step next{step, {}, i, false};
      if (is_nested(value[i])) check_keys(value[i], root, &next, depth + 1);
    }
  }
  if (!value.IsObject()) return;
  std::vector<std::string_view> keys;
  keys.reserve(value.MemberCount());
  for (const auto& entry : value.GetObject()) {
    keys.emplace_back(entry.name.GetString(), entry.name.GetStringLength());
    // RapidJSON reads the escape "\ud800" as bytes that are not UTF-8. A path must not show them.
    if (!is_utf8(keys.back())) fail("keys in UTF-8", "half of a surrogate pair");
    const Step next{step, keys.back(), 0, true};
    if (is_nested(entry.value)) check_keys(entry.value, root, &next, depth + 1);
  }
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  if (twice != keys.end()) fail("each key once", "'" + std::string(*twice) + "' twice");
}

}  // namespace

const char* JsonNode::kind() const {
  if (value_ == nullptr) return "nothing";
  switch (value_->GetType()) {
    case rapidjson::kNullType:
      return "null";
    case rapidjson::kFalseType:
    case rapidjson::kTrueType:
      return "a boolean";
    case rapidjson::kObjectType:
      return "an object";
    case rapidjson::kArrayType:
      return "an array";
    case rapidjson::kStringType:
      return "a string";
    default:
      return "a number";
  }
}

void JsonNode::fail(const std::string& expected, const std::string& got) const {
  const Fault fault{SIDECALL_CONTRACT_INVALID, -1, path_, expected, got};
  throw Error(fault, "contract: " + path_ + ": expected " + expected + ", got " + got);
}

JsonNode JsonNode::member(const char* key) const {
  if (value_ == nullptr || !value_->IsObject()) fail("an object", kind());
  const auto found = value_->FindMember(key);
  return {found == value_->MemberEnd() ? nullptr : &found->value, with_key(path_, key)};
}

std::vector<JsonNode> JsonNode::elements() const {
  if (value_ == nullptr || !value_->IsArray()) fail("an array", kind());
  std::vector<JsonNode> nodes;
  nodes.reserve(value_->Size());
  for (size_t i = 0; i < value_->Size(); ++i) nodes.push_back(element(i));
  return nodes;
}

JsonNode JsonNode::element(size_t index) const {
  return {&(*value_)[static_cast<rapidjson::SizeType>(index)], with_index(path_, index)};
}

size_t JsonNode::size() const {
  if (value_ == nullptr || !value_->IsArray()) fail("an array", kind());
  return value_->Size();
}

void JsonNode::require_unique_keys() const { check_keys(*value_, path_, nullptr, 0); }

bool JsonNode::holds_arrays() const {
  return is_array() && !value_->Empty() && value_->Begin()->IsArray();
}

JsonMembers::JsonMembers(JsonNode object) : object_(std::move(object)) {
  if (!object_.is_object()) return;
  for (const auto& entry : object_.value_->GetObject())
    values_.emplace(std::string_view(entry.name.GetString(), entry.name.GetStringLength()),
                    &entry.value);
}

JsonNode JsonMembers::member(const std::string& key) const {
  if (!object_.is_object()) object_.fail("an object", object_.kind());
  const auto found = values_.find(key);
  return {found == values_.end() ? nullptr : found->second, with_key(object_.path_, key)};
}

std::string JsonNode::text() const {
  if (!is_string()) fail("a string", kind());
  std::string text(value_->GetString(), value_->GetStringLength());
  if (!is_utf8(text)) fail("text", "half of a surrogate pair");
  return text;
}

int64_t JsonNode::integer() const {
  if (value_ == nullptr || !value_->IsInt64()) fail("an integer", kind());
  return value_->GetInt64();
}

double JsonNode::number() const {
  if (is_string()) {
    const std::string word = text();
    if (word == "nan") return std::numeric_limits<double>::quiet_NaN();
    if (word == "inf") return std::numeric_limits<double>::infinity();
    if (word == "-inf") return -std::numeric_limits<double>::infinity();
  }
  if (value_ == nullptr || !value_->IsNumber()) fail("a number", kind());
  return value_->GetDouble();
}

bool JsonNode::boolean() const {
  if (!is_bool()) fail("a boolean", kind());
  return value_->GetBool();
}

// Handles the common cases. Returns false if value() must convert or refuse the value.
bool JsonNode::read(const json::Value& from, int32_t dtype, Value* to) {
  if (from.IsNull()) return true;
  switch (dtype) {
    case SIDECALL_DTYPE_STRING:
      to->kind = Value::Kind::kString;
      if (from.IsString()) to->text.assign(from.GetString(), from.GetStringLength());
      return from.IsString() && is_utf8(to->text);
    case SIDECALL_DTYPE_BOOL:
      to->kind = Value::Kind::kBool;
      to->integer = from.IsTrue() ? 1 : 0;
      return from.IsBool();
    case SIDECALL_DTYPE_FLOAT32:
    case SIDECALL_DTYPE_FLOAT64:
    case SIDECALL_DTYPE_FLOAT16:
      to->kind = Value::Kind::kFloat;
      if (from.IsNumber()) to->number = from.GetDouble();
      return from.IsNumber();
    default:
      to->kind = Value::Kind::kInt;
      if (from.IsInt64()) to->integer = from.GetInt64();
      return from.IsInt64();
  }
}

Value JsonNode::value(int32_t dtype) const {
  Value value;
  if (value_ == nullptr || read(*value_, dtype, &value)) return value;
  switch (value.kind) {
    case Value::Kind::kString:
      value.text = text();
      break;
    case Value::Kind::kBool:
      fail("a boolean", kind());
    case Value::Kind::kInt:
      fail("an integer", kind());
    default:
      value.number = number();
  }
  return value;
}

std::vector<Value> JsonNode::values(int32_t dtype) const {
  std::vector<Value> values(size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (!read((*value_)[static_cast<rapidjson::SizeType>(i)], dtype, &values[i]))
      values[i] = element(i).value(dtype);
  }
  return values;
}

std::vector<Value> parse_classes(const JsonNode& output) {
  std::vector<Value> classes;
  const JsonNode list = output.member("classes");
  if (!list.exists()) return classes;
  std::set<std::string> texts;
  for (const JsonNode& node : list.elements()) {
    const int32_t dtype = node.is_string() ? SIDECALL_DTYPE_STRING
                          : node.is_bool() ? SIDECALL_DTYPE_BOOL
                                           : SIDECALL_DTYPE_INT64;
    classes.push_back(node.value(dtype));
    if (classes.back().kind != classes.front().kind)
      node.fail("a class of the same type as the first", "another type");
    if (!texts.insert(class_text(classes.back())).second)
      node.fail("each class once", "one class twice");
  }
  return classes;
}

JsonNode open_contract(const std::string& json, json::Document* document) {
  parse_json(json, document);
  const JsonNode root(document, "/");
  root.require_unique_keys();
  const int64_t format = root.member("format").integer();
  if (format < 1 || format > kFormat) {
    throw Error(
        {SIDECALL_CONTRACT_FORMAT, -1, "format", kFormats, std::to_string(format)},
        std::string("contract: expected format ") + kFormats + ", got " + std::to_string(format));
  }
  return root;
}

bool reports_refusals(const JsonNode& contract) { return contract.member("format").integer() >= 2; }

OutputLayout parse_layout(const JsonNode& output) {
  const std::string role = output.member("role").text();
  const bool by_class = role == "probabilities" || role == "scores" || role == "prediction";
  if (!by_class && role != "label" && role != "transformed")
    output.member("role").fail("label, probabilities, prediction, scores or transformed",
                               "'" + role + "'");
  OutputLayout layout;
  layout.classes = parse_classes(output);
  layout.has_width = output.member("width").exists();
  layout.has_members = by_class && !layout.classes.empty();
  if (layout.has_members) layout.width = static_cast<int64_t>(layout.classes.size());
  else if (layout.has_width) layout.width = output.member("width").integer();
  if (layout.width < 1 || layout.width > kMaxWidth)
    output.member("width").fail("1 to " + std::to_string(kMaxWidth), std::to_string(layout.width));
  return layout;
}

std::string class_text(const Value& value) {
  if (value.kind == Value::Kind::kString) return value.text;
  if (value.kind == Value::Kind::kBool) return value.integer != 0 ? "true" : "false";
  return std::to_string(value.integer);
}

}  // namespace sidecall
