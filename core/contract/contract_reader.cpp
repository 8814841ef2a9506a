// Typed access to contract JSON; see contract_reader.h.
#include "contract_reader.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>

#include "base/text/utf8.h"
#include "core/error.h"

namespace sidecall {
namespace {

constexpr int kMaxDepth = 64;
constexpr int64_t kFormat = 5;
constexpr size_t kMaxKeyInPath = 100;  // keeps paths short, because a key can have any length

std::string with_key(const std::string& path, std::string_view key) {
  std::string_view shown = key.substr(0, kMaxKeyInPath);
  if (shown.size() < key.size()) shown = shown.substr(0, utf8_length(shown));
  std::string whole = path == "/" ? "" : path + ".";
  whole.append(shown);
  return shown.size() < key.size() ? whole.append("...") : whole;
}

std::string_view text_of(const json::Value& string) {
  return {string.GetString(), string.GetStringLength()};
}

// Most keys differ in their first character, so they are rarely compared as a whole.
bool are_equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && (a.empty() || (a.front() == b.front() && a == b));
}

bool is_nested(const json::Value& value) { return value.IsObject() || value.IsArray(); }

// One step on the path from the root. The text of the path is made for errors only.
struct Step {
  const Step* before;
  std::string_view key;  // if it is a member of an object
  size_t index;          // if it is an element of an array
  bool is_member;
};

std::string path_to(const Step* step) {
  if (step == nullptr) return "/";
  const std::string before = path_to(step->before);
  return step->is_member ? with_key(before, step->key)
                         : before + "[" + std::to_string(step->index) + "]";
}

// The path of `wanted`, if it is `value`, to which `step` leads, or lies within it. Does not look
// deeper than check_keys(), so all nodes are found.
std::optional<std::string> find_path(const json::Value& value, const json::Value* wanted,
                                     const Step* step, int depth) {
  if (&value == wanted) return path_to(step);
  if (depth > kMaxDepth) return std::nullopt;
  if (value.IsArray()) {
    for (rapidjson::SizeType i = 0; i < value.Size(); ++i) {
      const Step next{step, {}, i, false};
      if (auto found = find_path(value[i], wanted, &next, depth + 1)) return found;
    }
  }
  if (!value.IsObject()) return std::nullopt;
  for (const auto& entry : value.GetObject()) {
    const Step next{step, text_of(entry.name), 0, true};
    if (auto found = find_path(entry.value, wanted, &next, depth + 1)) return found;
  }
  return std::nullopt;
}

// A key that the object has twice; nullopt if there is none.
std::optional<std::string_view> repeated_key(const json::Value& object) {
  constexpr rapidjson::SizeType kFew = 16;  // comparing them all is quicker than sorting them
  const auto begin = object.MemberBegin(), end = object.MemberEnd();
  bool may_repeat = object.MemberCount() > kFew;
  for (auto a = begin; !may_repeat && a != end; ++a) {
    for (auto b = begin; !may_repeat && b != a; ++b)
      may_repeat = are_equal(text_of(a->name), text_of(b->name));
  }
  if (!may_repeat) return std::nullopt;
  std::vector<std::string_view> keys;
  keys.reserve(object.MemberCount());
  for (auto entry = begin; entry != end; ++entry) keys.push_back(text_of(entry->name));
  std::sort(keys.begin(), keys.end());
  const auto twice = std::adjacent_find(keys.begin(), keys.end());
  if (twice == keys.end()) return std::nullopt;
  return *twice;
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
  const std::string path = this->path();
  const Fault fault{SIDECALL_CONTRACT_INVALID, -1, path, expected, got};
  throw Error(fault, "contract: " + path + ": expected " + expected + ", got " + got);
}

std::string JsonNode::path() const {
  if (value_ != nullptr) return find_path(*root_, value_, nullptr, 0).value_or("");
  return with_key(find_path(*root_, object_, nullptr, 0).value_or(""), key_);
}

JsonNode JsonNode::member(std::string_view key, const json::Value* found) const {
  JsonNode node(root_, found);
  if (found == nullptr) {
    node.object_ = value_;
    node.key_ = key;
  }
  return node;
}

JsonNode JsonNode::member(std::string_view key) const {
  if (!is_object()) fail("an object", kind());
  for (const auto& entry : value_->GetObject()) {
    if (are_equal(text_of(entry.name), key)) return member(key, &entry.value);
  }
  return member(key, nullptr);
}

JsonElements JsonNode::elements() const {
  if (!is_array()) fail("an array", kind());
  return JsonElements(*this);
}

JsonNode JsonNode::element(size_t index) const {
  return {root_, &(*value_)[static_cast<rapidjson::SizeType>(index)]};
}

size_t JsonNode::size() const {
  if (value_ == nullptr || !value_->IsArray()) fail("an array", kind());
  return value_->Size();
}

void JsonNode::check_keys(const json::Value& value, int depth) const {
  if (depth > kMaxDepth)
    JsonNode(root_, &value).fail("at most " + std::to_string(kMaxDepth) + " levels", "more");
  if (value.IsArray()) {
    for (const json::Value& element : value.GetArray()) {
      if (is_nested(element)) check_keys(element, depth + 1);
    }
  }
  if (!value.IsObject()) return;
  for (const auto& entry : value.GetObject()) {
    // RapidJSON reads the escape "\ud800" as bytes that are not UTF-8. A path must not show them.
    if (!is_utf8(text_of(entry.name)))
      JsonNode(root_, &value).fail("keys in UTF-8", "half of a surrogate pair");
    if (is_nested(entry.value)) check_keys(entry.value, depth + 1);
  }
  if (const auto twice = repeated_key(value))
    JsonNode(root_, &value).fail("each key once", "'" + std::string(*twice) + "' twice");
}

void JsonNode::require_unique_keys() const { check_keys(*value_, 0); }

bool JsonNode::holds_arrays() const {
  return is_array() && !value_->Empty() && value_->Begin()->IsArray();
}

JsonMembers::JsonMembers(const JsonNode& object) : object_(object) {
  if (!object_.is_object()) return;
  for (const auto& entry : object_.value_->GetObject())
    values_.emplace(text_of(entry.name), &entry.value);
}

JsonNode JsonMembers::member(std::string_view key) const {
  if (!object_.is_object()) object_.fail("an object", object_.kind());
  const auto found = values_.find(key);
  return object_.member(key, found == values_.end() ? nullptr : found->second);
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
    case SIDECALL_DTYPE_DATETIME:
      to->kind = Value::Kind::kString;
      if (!from.IsString()) return false;
      to->text = std::make_shared<const std::string>(from.GetString(), from.GetStringLength());
      return is_utf8(*to->text);
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
      value.text = std::make_shared<const std::string>(text());
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

void JsonNode::append_values(int32_t dtype, std::vector<Value>* values) const {
  const size_t count = size(), before = values->size();
  values->resize(before + count);
  for (size_t i = 0; i < count; ++i) {
    Value& value = (*values)[before + i];
    if (!read((*value_)[static_cast<rapidjson::SizeType>(i)], dtype, &value))
      value = element(i).value(dtype);
  }
}

int32_t feature_dtype_from_name(std::string_view name) noexcept {
  return name == dtype_name(SIDECALL_DTYPE_DATETIME) ? SIDECALL_DTYPE_DATETIME
                                                     : dtype_from_name(name);
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
  const JsonNode root(document);
  root.require_unique_keys();
  const int64_t format = root.member("format").integer();
  if (format != kFormat) {
    const std::string expected = std::to_string(kFormat), got = std::to_string(format);
    throw Error({SIDECALL_CONTRACT_FORMAT, -1, "format", expected, got},
                "contract: expected format " + expected + ", got " + got +
                    ": export or serve the model with the version of sidecall that opens it");
  }
  return root;
}

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
  if (value.kind == Value::Kind::kString) return *value.text;
  if (value.kind == Value::Kind::kBool) return value.integer != 0 ? "true" : "false";
  return std::to_string(value.integer);
}

}  // namespace sidecall
