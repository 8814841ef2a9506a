// Typed access to contract JSON with errors that name the place: "contract: features[2].type: expected a string, got a
// number". Used by contract.cpp, contract_tensors.cpp, golden.cpp and signature_json.cpp.
#pragma once

#include <rapidjson/document.h>

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "contract.h"
#include "error.h"
#include "hash.h"

namespace sidecall {

// Parses the text of a contract. Throws CONTRACT_INVALID.
void parse_json(const std::string& json, rapidjson::Document* document);

class JsonNode {
 public:
  JsonNode(const rapidjson::Value* value, std::string path)
      : value_(value), path_(std::move(path)) {}

  bool exists() const { return value_ != nullptr && !value_->IsNull(); }
  bool is_null() const { return value_ != nullptr && value_->IsNull(); }
  JsonNode member(
      const char* key) const;  // throws when this is no object; absent members do not exist
  std::vector<JsonNode> elements() const;  // throws when this is no array

  std::string text() const;
  std::string text_or(const char* fallback) const { return exists() ? text() : fallback; }
  int64_t integer() const;
  double number() const;  // "nan", "inf" and "-inf" too
  bool boolean() const;
  bool is_string() const { return value_ != nullptr && value_->IsString(); }
  bool is_object() const { return value_ != nullptr && value_->IsObject(); }
  bool is_bool() const { return value_ != nullptr && value_->IsBool(); }
  bool is_array() const { return value_ != nullptr && value_->IsArray(); }

  // A value of a feature or output of that type; missing for null.
  Value value(int32_t dtype) const;

  // All of an array, without a node for each: golden rows are most of a contract.
  std::vector<Value> values(int32_t dtype) const;
  size_t size() const;        // throws when this is no array
  bool holds_arrays() const;  // an array whose first element is one

  // Of this object and all below: readers differ in which of two equal keys they take. Not too deep either.
  void require_unique_keys() const;

  [[noreturn]] void fail(const std::string& expected, const std::string& got) const;

 private:
  friend class JsonMembers;
  const char* kind() const;
  JsonNode element(size_t index) const;
  static bool read(const rapidjson::Value& from, int32_t dtype, Value* to);

  const rapidjson::Value* value_;
  std::string path_;
};

// An object that is asked for many members: RapidJSON looks through all of them each time.
class JsonMembers {
 public:
  explicit JsonMembers(JsonNode object);
  JsonNode member(const std::string& key) const;  // as JsonNode::member

 private:
  JsonNode object_;
  std::unordered_map<std::string_view, const rapidjson::Value*, SeededHash> values_;
};

// The root of a contract of a format that is known, each key once. Throws CONTRACT_INVALID, CONTRACT_FORMAT.
JsonNode open_contract(const std::string& json, rapidjson::Document* document);

// Whether the contract is of a format that tells what the model refuses. In one of format 1 those keys mean nothing.
bool tells_refusals(const JsonNode& contract);

// `domain` and `empty` of a feature whose types, `nullable` and `allowed` have been read.
void read_refusals(const JsonNode& node, Feature* feature);

// `finite` of an output.
bool read_finite(const JsonNode& node, int32_t dtype);

// `refused` of a contract, whose output is taken off those of a graph.
void read_steps(const JsonNode& contract, bool has_graph, Signature* signature);

// Runs `body`, whose errors begin with `where`, unless that is "".
template <typename Body>
auto at_place(const std::string& where, Body body) {
  try {
    return body();
  } catch (const Error& error) {
    const Fault fault =
        error.faults().empty() ? Fault{error.status(), -1, "", "", ""} : error.faults().front();
    throw Error(fault, (where.empty() ? "" : where + ": ") + error.what());
  }
}

// The `verification` object. Fills nothing when it is absent or its source is "none".
Golden parse_golden(const JsonNode& contract, const Signature& signature);

// The type of `classes` and of a label's values: string, int64 or bool.
std::vector<Value> parse_classes(const JsonNode& output);
std::string class_text(const Value& value);

// All outputs together may have so many columns; a graph or contract may claim any.
constexpr int64_t kMaxWidth = 1 << 20;

// How an output's columns stand in a record.
struct OutputLayout {
  int64_t width = 1;
  bool has_members = false;  // an object by class
  bool has_width = false;    // "width" was given: an array, unless it has members
  std::vector<Value> classes;
};
OutputLayout parse_layout(const JsonNode& output);

}  // namespace sidecall
