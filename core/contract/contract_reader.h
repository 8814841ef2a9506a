// Typed access to contract JSON with errors that name the place: "contract: features[2].type:
// expected a string, got a number". Used by the contract_*.cpp files, contract.cpp, golden.cpp and
// signature_json.cpp.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/json/json.h"
#include "contract.h"
#include "core/error.h"
#include "core/hash.h"

namespace sidecall {

// Parses the text of a contract, which must outlive the document. Throws CONTRACT_INVALID.
void parse_json(const std::string& json, json::Document* document);
void parse_json(std::string&& json, json::Document* document) = delete;

class JsonElements;

// A value of a document, or a member that is absent. The document must outlive its nodes. Errors
// name the path of the value. A node does not hold its path; fail() searches the document for it.
class JsonNode {
 public:
  explicit JsonNode(const json::Value* root) : root_(root), value_(root) {}

  bool exists() const { return value_ != nullptr && !value_->IsNull(); }
  bool is_null() const { return value_ != nullptr && value_->IsNull(); }
  // Throws if this is not an object. exists() of the result is false if the member is absent. The
  // key must outlive the result.
  JsonNode member(std::string_view key) const;
  JsonElements elements() const;  // throws if this is not an array

  std::string text() const;
  std::string text_or(const char* fallback) const { return exists() ? text() : fallback; }
  int64_t integer() const;
  double number() const;  // also accepts "nan", "inf" and "-inf"
  bool boolean() const;
  bool is_string() const { return value_ != nullptr && value_->IsString(); }
  bool is_object() const { return value_ != nullptr && value_->IsObject(); }
  bool is_bool() const { return value_ != nullptr && value_->IsBool(); }
  bool is_array() const { return value_ != nullptr && value_->IsArray(); }

  // Reads a value of a feature or output whose type is `dtype`; null gives a missing value.
  Value value(int32_t dtype) const;

  // Appends all values of an array. Makes no node for each value, because golden rows are the
  // largest part of a contract.
  void append_values(int32_t dtype, std::vector<Value>* values) const;
  size_t size() const;        // throws if this is not an array
  bool holds_arrays() const;  // whether this is an array whose first element is an array

  // Throws if this object, or one inside it, has the same key twice: JSON readers differ in which
  // of the two values they use. Also limits the depth.
  void require_unique_keys() const;

  [[noreturn]] void fail(const std::string& expected, const std::string& got) const;

 private:
  friend class JsonElements;
  friend class JsonMembers;
  JsonNode(const json::Value* root, const json::Value* value) : root_(root), value_(value) {}
  const char* kind() const;
  JsonNode member(std::string_view key, const json::Value* found) const;
  JsonNode element(size_t index) const;
  std::string path() const;
  void check_keys(const json::Value& value, int depth) const;
  static bool read(const json::Value& from, int32_t dtype, Value* to);

  const json::Value* root_;
  const json::Value* value_;  // nullptr if it is absent
  // If this is an absent member: the object that lacks it, and its key.
  const json::Value* object_ = nullptr;
  std::string_view key_;
};

// The elements of an array.
class JsonElements {
 public:
  class Iterator {
   public:
    Iterator(const JsonElements* list, size_t index) : list_(list), index_(index) {}
    JsonNode operator*() const { return (*list_)[index_]; }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return index_ != other.index_; }

   private:
    const JsonElements* list_;
    size_t index_;
  };

  explicit JsonElements(const JsonNode& array) : array_(array) {}
  size_t size() const { return array_.size(); }
  JsonNode operator[](size_t index) const { return array_.element(index); }
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, size()}; }

 private:
  const JsonNode array_;
};

// Makes look-ups of many members of one object fast: RapidJSON itself compares all keys for each
// look-up.
class JsonMembers {
 public:
  explicit JsonMembers(const JsonNode& object);
  JsonNode member(std::string_view key) const;  // see JsonNode::member()

 private:
  JsonNode object_;
  std::unordered_map<std::string_view, const json::Value*, SeededHash> values_;
};

// Parses a contract, which must outlive the document, and returns its root. Checks the format and
// that each key occurs once. Throws CONTRACT_INVALID, CONTRACT_FORMAT.
JsonNode open_contract(const std::string& json, json::Document* document);

// Reads `domain` and `empty` of a feature, whose types, `nullable` and `allowed` must have been
// read already.
void read_refusals(const JsonNode& node, Feature* feature);

// Reads `finite` of an output.
bool read_finite(const JsonNode& node, int32_t dtype);

// Reads `refused` of a contract, and removes the output that it names from the outputs of the
// graph.
void read_steps(const JsonNode& contract, bool has_graph, Signature* signature);

// Runs `body`. The messages of its errors begin with `where`, unless that is "".
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

// Reads the `verification` object. The result is empty if the object is absent or its source is
// "none".
Golden parse_golden(const JsonNode& contract, const Signature& signature);

// Reads `classes` of an output; they are strings, integers or bools. class_text() returns a class
// as text.
std::vector<Value> parse_classes(const JsonNode& output);
std::string class_text(const Value& value);

// The type of a feature with this name; 0 if there is none.
int32_t feature_dtype_from_name(std::string_view name) noexcept;

// The limit on the number of columns of all outputs together. Without it, a graph or contract could
// declare any number.
constexpr int64_t kMaxWidth = 1 << 20;

// How the columns of an output appear in a record.
struct OutputLayout {
  int64_t width = 1;
  bool has_members = false;  // as an object with one member per class
  // The contract gives `width`. The columns then appear as an array, unless has_members is true.
  bool has_width = false;
  std::vector<Value> classes;
};
OutputLayout parse_layout(const JsonNode& output);

}  // namespace sidecall
