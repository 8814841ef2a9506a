// Typed access to contract JSON; see contract_reader.h.
#include "contract_reader.h"

#include <cmath>
#include <limits>

#include "error.h"

namespace sidecall {

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
  throw Error(SIDECALL_CONTRACT_INVALID, "contract: " + path_ + ": expected " + expected + ", got " + got);
}

JsonNode JsonNode::member(const char* key) const {
  if (value_ == nullptr || !value_->IsObject()) fail("an object", kind());
  const auto found = value_->FindMember(key);
  const std::string path = path_ == "/" ? std::string(key) : path_ + "." + key;
  return {found == value_->MemberEnd() ? nullptr : &found->value, path};
}

std::vector<JsonNode> JsonNode::elements() const {
  if (value_ == nullptr || !value_->IsArray()) fail("an array", kind());
  std::vector<JsonNode> nodes;
  nodes.reserve(value_->Size());
  for (rapidjson::SizeType i = 0; i < value_->Size(); ++i) nodes.emplace_back(&(*value_)[i], path_ + "[" + std::to_string(i) + "]");
  return nodes;
}

std::string JsonNode::text() const {
  if (!is_string()) fail("a string", kind());
  return {value_->GetString(), value_->GetStringLength()};
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

Value JsonNode::value(int32_t dtype) const {
  Value value;
  if (!exists()) return value;
  switch (dtype) {
    case SIDECALL_STRING:
      value.kind = Value::Kind::kString;
      value.text = text();
      break;
    case SIDECALL_BOOL:
      value.kind = Value::Kind::kBool;
      value.integer = boolean() ? 1 : 0;
      break;
    case SIDECALL_FLOAT32:
    case SIDECALL_FLOAT64:
    case SIDECALL_FLOAT16:
      value.kind = Value::Kind::kFloat;
      value.number = number();
      break;
    default:
      value.kind = Value::Kind::kInt;
      value.integer = integer();
  }
  return value;
}

std::vector<Value> parse_classes(const JsonNode& output) {
  std::vector<Value> classes;
  const JsonNode list = output.member("classes");
  if (!list.exists()) return classes;
  for (const JsonNode& node : list.elements()) {
    const int32_t dtype = node.is_string() ? SIDECALL_STRING : node.is_bool() ? SIDECALL_BOOL : SIDECALL_INT64;
    classes.push_back(node.value(dtype));
    if (classes.back().kind != classes.front().kind) node.fail("a class of the same type as the first", "another type");
  }
  return classes;
}

std::string class_text(const Value& value) {
  if (value.kind == Value::Kind::kString) return value.text;
  if (value.kind == Value::Kind::kBool) return value.integer != 0 ? "true" : "false";
  return std::to_string(value.integer);
}

}  // namespace sidecall
