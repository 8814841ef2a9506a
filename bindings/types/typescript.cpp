// Writes the TypeScript declaration of a model; see typescript.h. Names and classes may hold any
// text, so all of them go through quoted() or comment_text().
#include "typescript.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <vector>

#include "base/number.h"
#include "core/contract_reader.h"
#include "core/error.h"
#include "core/feature_refusal.h"
#include "core/hash.h"
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
  if (value.kind == Value::Kind::kString) return quoted(value.text);
  if (value.kind == Value::Kind::kBool) return value.integer != 0 ? "true" : "false";
  return std::to_string(value.integer) + (is_safe(value.integer) ? "" : "n");
}

// The literals that a record may hold for a closed list of values. Empty if TypeScript has no
// literal for one of the values.
std::vector<std::string> allowed_literals(const JsonNode& allowed, int32_t dtype) {
  std::vector<std::string> literals;
  std::vector<std::string> bigints;
  for (const JsonNode& node : allowed.elements()) {
    if (dtype == SIDECALL_DTYPE_STRING) {
      literals.push_back(quoted(node.text()));
    } else if (dtype == SIDECALL_DTYPE_BOOL) {
      const bool flag = node.is_bool() ? node.boolean() : node.number() != 0;
      literals.emplace_back(flag ? "true" : "false");
    } else {
      const double number = node.is_bool() ? static_cast<double>(node.boolean()) : node.number();
      if (!std::isfinite(number)) return {};
      const bool is_whole =
          number == std::floor(number) && std::fabs(number) <= static_cast<double>(kMaxSafeInteger);
      if (dtype == SIDECALL_DTYPE_INT64 && !is_whole) return {};
      literals.push_back(number_text(number == 0 ? 0 : number));  // not -0
      if (dtype == SIDECALL_DTYPE_INT64)
        bigints.push_back(std::to_string(static_cast<int64_t>(number)) + "n");
    }
  }
  literals.insert(literals.end(), bigints.begin(), bigints.end());
  return literals;
}

std::vector<std::string> feature_types(const Feature& feature, const JsonNode& node) {
  const JsonNode allowed = node.member("allowed");
  std::vector<std::string> types;
  if (allowed.exists() && allowed.size() == 0) types.emplace_back("never");
  else if (allowed.exists()) types = allowed_literals(allowed, feature.dtype);
  if (types.empty()) types.push_back(value_type(feature.dtype));
  if (feature.nullable) types.emplace_back("null");
  return types;
}

// A sentence about a constraint on the values that a TypeScript type cannot express; "" if there is
// none.
std::string about_feature(const Feature& feature) {
  if (feature.domain.exists()) return "Takes " + describe_domain(feature) + ".";
  return feature.takes_empty ? "" : "Takes a string that is not empty.";
}

std::string features_type(const Signature& signature, const JsonNode& contract) {
  Members members(1);
  const JsonElements nodes = contract.member("features").elements();
  for (size_t i = 0; i < signature.features.size(); ++i) {
    const Feature& feature = signature.features[i];
    members.add(feature.name, feature.nullable, union_of(feature_types(feature, nodes[i]), 3),
                about_feature(feature));
  }
  return members.text();
}

using Nodes = std::unordered_map<std::string, JsonNode, SeededHash>;

// The nodes of the contract that describe outputs with the role label, by the name of the output.
Nodes label_nodes(const JsonNode& contract) {
  Nodes labels;
  for (const JsonNode& node : contract.member("outputs").elements()) {
    if (node.member("role").text() == "label") labels.emplace(node.member("name").text(), node);
  }
  return labels;
}

// The classes of an output as literals. Empty if the output has no classes, or if the classes are
// not of the type of the output's values.
std::vector<std::string> class_literals(const Nodes& labels, const std::string& output,
                                        int32_t dtype) {
  const Value::Kind wanted = dtype == SIDECALL_DTYPE_STRING ? Value::Kind::kString
                             : dtype == SIDECALL_DTYPE_BOOL ? Value::Kind::kBool
                                                            : Value::Kind::kInt;
  const auto found = labels.find(output);
  if (found == labels.end()) return {};
  std::vector<std::string> literals;
  for (const Value& value : parse_classes(found->second)) {
    if (value.kind != wanted) return {};
    literals.push_back(class_literal(value));
  }
  return literals;
}

// The type of one output. Its columns are those from `first` up to, but not including, `last`.
std::string output_type(const Signature& signature, const Nodes& labels, size_t first,
                        size_t last) {
  const Column& column = signature.columns[first];
  const std::string& output = signature.outputs[static_cast<size_t>(column.output)].name;
  if (column.form == SIDECALL_FORM_MEMBER) {
    Members members(2);
    for (size_t i = first; i < last; ++i)
      members.add(signature.columns[i].key, false, value_type(column.dtype));
    return members.text();
  }
  std::vector<std::string> values = class_literals(labels, output, column.dtype);
  if (values.empty()) values.push_back(value_type(column.dtype));
  const std::string type = union_of(std::move(values), 3);
  return column.form == SIDECALL_FORM_ELEMENT ? array_of(type) : type;
}

std::string answer_type(const Signature& signature, const JsonNode& contract) {
  Members members(1);
  const Nodes labels = label_nodes(contract);
  for (size_t first = 0, last = 0; first < signature.columns.size(); first = last) {
    const int32_t output = signature.columns[first].output;
    while (last < signature.columns.size() && signature.columns[last].output == output) ++last;
    members.add(signature.outputs[static_cast<size_t>(output)].name, false,
                output_type(signature, labels, first, last));
  }
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

std::string heading(const Contract* contract, const std::string& id, const std::string& name) {
  std::string text = "/**\n * ";
  if (contract != nullptr && !contract->name.empty())
    text += "Model '" + comment_text(contract->name) + "'";
  else text += "A model without a name";
  if (contract != nullptr && !contract->version.empty())
    text += ", version " + comment_text(contract->version);
  text += ", id " + comment_text(id) + ".\n";
  if (contract == nullptr)
    text += " * The file carries no contract: `run` takes tensors; `predict` needs a contract.\n";
  return text + " * Written by `sidecall types`, for `open<" + name +
         ">(...)`.\n * Generate this file again when the model changes.\n */\n";
}

}  // namespace

std::string typescript_declaration(const Signature& signature, const Contract* contract,
                                   const std::string& id, const std::string& name) {
  json::Document document;
  if (contract != nullptr) parse_json(contract->text, &document);
  const JsonNode root(&document);
  std::string text =
      import_line(signature) + heading(contract, id, name) + "export interface " + name + " {\n";
  const auto member = [&](const char* key, const char* about, const std::string& type) {
    text += std::string("  /** ") + about + " */\n  " + key + ": " + type + "\n";
  };
  member("features", "A record that `predict` takes.",
         contract == nullptr ? "never" : features_type(signature, root));
  member("answer", "The record that `predict` returns.",
         contract == nullptr ? "never" : answer_type(signature, root));
  member("inputs", "Tensors that `run` takes.", inputs_type(signature.inputs));
  member("outputs", "Tensors that `run` returns.", outputs_type(signature.outputs));
  member("views", "The inputs of a call.", views_type(signature.inputs));
  return text + "}\n";
}

}  // namespace sidecall
