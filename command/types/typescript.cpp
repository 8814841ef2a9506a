// Writes the TypeScript declaration of a model; see typescript.h. Names and classes may hold any
// text, so all of them go through quoted() or comment_text().
#include "typescript.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "base/text/number.h"
#include "record_types.h"
#include "typescript_text.h"

namespace sidecall {
namespace {

using typescript::array_of;
using typescript::comment_text;
using typescript::Members;
using typescript::quoted;
using typescript::union_of;

constexpr int64_t kMaxSafeInteger = (INT64_C(1) << 53) - 1;

bool is_safe(int64_t integer) { return integer >= -kMaxSafeInteger && integer <= kMaxSafeInteger; }

// The type of the data that `run` returns for a tensor of this element type.
const char* data_type(int32_t dtype) {
  switch (dtype) {
    case SIDECALL_DTYPE_FLOAT32:
      return "Float32Array";
    case SIDECALL_DTYPE_FLOAT64:
      return "Float64Array";
    case SIDECALL_DTYPE_FLOAT16:
      return "Float16Data";
    case SIDECALL_DTYPE_INT8:
      return "Int8Array";
    case SIDECALL_DTYPE_INT16:
      return "Int16Array";
    case SIDECALL_DTYPE_INT32:
      return "Int32Array";
    case SIDECALL_DTYPE_INT64:
      return "BigInt64Array";
    case SIDECALL_DTYPE_UINT16:
    case SIDECALL_DTYPE_BFLOAT16:
      return "Uint16Array";
    case SIDECALL_DTYPE_UINT32:
      return "Uint32Array";
    case SIDECALL_DTYPE_UINT64:
      return "BigUint64Array";
    case SIDECALL_DTYPE_STRING:
      return "string[]";
    default:
      return "Uint8Array";
  }
}

// The type of one value in a record: of a feature or of an answer.
std::string value_type(int32_t dtype) {
  switch (dtype) {
    case SIDECALL_DTYPE_STRING:
      return "string";
    case SIDECALL_DTYPE_BOOL:
      return "boolean";
    case SIDECALL_DTYPE_INT64:
    case SIDECALL_DTYPE_UINT64:
      return "number | bigint";
    default:
      return "number";
  }
}

// The literal type of one class. An integer class becomes a number literal if its absolute value is
// less than 2^53, otherwise a bigint literal.
std::string class_literal(const Value& value) {
  if (value.kind == Value::Kind::kString) return quoted(*value.text);
  if (value.kind == Value::Kind::kBool) return value.integer != 0 ? "true" : "false";
  return std::to_string(value.integer) + (is_safe(value.integer) ? "" : "n");
}

// The literals that a record may hold for a closed list of values. A whole number of an int64
// feature may also be a bigint.
std::vector<std::string> allowed_literals(const FeatureType& feature) {
  std::vector<std::string> literals;
  std::vector<std::string> bigints;
  for (const Value& value : feature.allowed) {
    if (value.kind == Value::Kind::kString || value.kind == Value::Kind::kBool) {
      literals.push_back(class_literal(value));
      continue;
    }
    literals.push_back(number_text(value.number));
    if (value.kind == Value::Kind::kInt) bigints.push_back(std::to_string(value.integer) + "n");
  }
  literals.insert(literals.end(), bigints.begin(), bigints.end());
  return literals;
}

std::vector<std::string> feature_types(const FeatureType& feature) {
  std::vector<std::string> types;
  if (feature.is_closed && feature.allowed.empty()) types.emplace_back("never");
  else if (feature.is_closed && feature.has_exact_values) types = allowed_literals(feature);
  if (feature.dtype == SIDECALL_DTYPE_DATETIME) {
    types.emplace_back("string");
    if (feature.has_zone) types.emplace_back("Date");
    if (feature.takes_number) types.emplace_back("number | bigint");
  }
  if (types.empty()) types.push_back(value_type(feature.dtype));
  if (feature.is_nullable) types.emplace_back("null");
  return types;
}

// A sentence about a constraint on the values that a TypeScript type cannot express; "" if there is
// none.
std::string about_feature(const FeatureType& feature) {
  if (feature.dtype == SIDECALL_DTYPE_DATETIME && feature.expected.empty()) {
    return feature.has_zone ? "Takes text with a time zone, such as '2026-01-31T12:30:00Z'."
                            : "Takes text without a time zone, such as '2026-01-31T12:30:00'.";
  }
  if (!feature.expected.empty()) return "Takes " + feature.expected + ".";
  return feature.takes_empty ? "" : "Takes a string that is not empty.";
}

// Whether every object of JavaScript inherits a member of this name. The compiler then takes an
// object that leaves out the property for one whose property has the wrong type.
bool is_inherited(const std::string& name) {
  constexpr const char* kInherited[] = {
      "constructor",    "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable",
      "toLocaleString", "toString",       "valueOf"};
  return std::find(std::begin(kInherited), std::end(kInherited), name) != std::end(kInherited);
}

std::string features_type(const RecordTypes& types) {
  Members members(1);
  for (const FeatureType& feature : types.features) {
    std::string about = about_feature(feature);
    const bool is_required = feature.is_nullable && is_inherited(feature.name);
    if (is_required)
      about += (about.empty() ? "" : " ") +
               std::string("Write null for a missing value: every object inherits this name.");
    members.add(feature.name, feature.is_nullable && !is_required,
                union_of(feature_types(feature), 3), about);
  }
  return members.text();
}

std::string output_type(const OutputType& output) {
  if (output.form == SIDECALL_FORM_MEMBER) {
    Members members(2);
    for (const std::string& key : output.keys) members.add(key, false, value_type(output.dtype));
    return members.text();
  }
  std::vector<std::string> values;
  for (const Value& value : output.classes) values.push_back(class_literal(value));
  if (values.empty()) values.push_back(value_type(output.dtype));
  const std::string type = union_of(std::move(values), 3);
  return output.form == SIDECALL_FORM_ELEMENT ? array_of(type) : type;
}

std::string answer_type(const RecordTypes& types) {
  Members members(1);
  for (const OutputType& output : types.outputs)
    members.add(output.name, false, output_type(output));
  return members.text();
}

// The type of the data that `run` accepts for a tensor of this element type. For a float32 or
// float64 input it accepts both widths.
std::string taken_type(int32_t dtype) {
  return dtype == SIDECALL_DTYPE_FLOAT32 || dtype == SIDECALL_DTYPE_FLOAT64
             ? "Float32Array | Float64Array"
             : data_type(dtype);
}

std::string inputs_type(const std::vector<TensorSpec>& specs) {
  Members members(1);
  for (const TensorSpec& spec : specs)
    members.add(spec.name, false, "TensorLike<" + taken_type(spec.dtype) + ">");
  return members.text();
}

std::string outputs_type(const std::vector<TensorSpec>& specs) {
  Members members(1);
  for (const TensorSpec& spec : specs)
    members.add(spec.name, false, std::string("Tensor<") + data_type(spec.dtype) + ">");
  return members.text();
}

// The types of `call.inputs`. A numeric input is a read-only property: a typed array over memory of
// the call. A string input is a property to which the user assigns an array.
std::string views_type(const std::vector<TensorSpec>& specs) {
  Members members(1);
  for (const TensorSpec& spec : specs) {
    if (spec.dtype == SIDECALL_DTYPE_STRING)
      members.add(spec.name, false, "TensorLike<string[]> | undefined");
    else members.add_readonly(spec.name, data_type(spec.dtype));
  }
  return members.text();
}

// Imports only what the declaration uses, so that linters accept it.
std::string import_line(const Signature& signature) {
  const auto is_half = [](const TensorSpec& spec) { return spec.dtype == SIDECALL_DTYPE_FLOAT16; };
  const bool has_half = std::any_of(signature.inputs.begin(), signature.inputs.end(), is_half) ||
                        std::any_of(signature.outputs.begin(), signature.outputs.end(), is_half);
  std::string names = has_half ? "Float16Data, Tensor" : "Tensor";
  if (!signature.inputs.empty()) names += ", TensorLike";
  return "import type { " + names + " } from 'sidecall'\n\n";
}

std::string heading(const RecordTypes& types, const std::string& name) {
  std::string text = "/**\n * ";
  if (!types.name.empty()) text += "Model '" + comment_text(types.name) + "'";
  else text += "A model without a name";
  if (!types.version.empty()) text += ", version " + comment_text(types.version);
  text += ", id " + comment_text(types.id) + ".\n";
  if (!types.has_contract)
    text += " * The file carries no contract: `run` takes tensors; `predict` needs a contract.\n";
  return text + " * Written by `sidecall types`, for `open<" + name +
         ">(...)`.\n * Generate this file again when the model changes.\n */\n";
}

}  // namespace

std::string typescript_declaration(const Signature& signature, const Contract* contract,
                                   const std::string& id, const std::string& name) {
  const RecordTypes types = record_types(signature, contract, id);
  std::string text =
      import_line(signature) + heading(types, name) + "export interface " + name + " {\n";
  const auto member = [&](const char* key, const char* about, const std::string& type) {
    text += std::string("  /** ") + about + " */\n  " + key + ": " + type + "\n";
  };
  member("features", "A record that `predict` takes.",
         types.has_contract ? features_type(types) : "never");
  member("answer", "The record that `predict` returns.",
         types.has_contract ? answer_type(types) : "never");
  member("inputs", "Tensors that `run` takes.", inputs_type(signature.inputs));
  member("outputs", "Tensors that `run` returns.", outputs_type(signature.outputs));
  member("views", "The inputs of a call.", views_type(signature.inputs));
  return text + "}\n";
}

}  // namespace sidecall
