// Describes the types of a model's records; see record_types.h.
#include "record_types.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "base/text/datetime.h"
#include "core/contract/contract_reader.h"
#include "core/contract/feature_refusal.h"
#include "core/hash.h"

namespace sidecall {
namespace {

constexpr double kMaxSafeInteger = 9007199254740991;  // 2^53 - 1
constexpr double kTwoTo63 = 9223372036854775808.0;

Value allowed_number(const JsonNode& node, FeatureType* type) {
  const double number = node.is_bool() ? static_cast<double>(node.boolean()) : node.number();
  const bool is_whole =
      number == std::floor(number) && std::fabs(number) <= kMaxSafeInteger;  // false for NaN
  Value value;
  value.number = number == 0 ? 0 : number;  // not -0
  if (type->dtype != SIDECALL_DTYPE_INT64) {
    value.kind = Value::Kind::kFloat;
    type->has_exact_values = type->has_exact_values && std::isfinite(number);
  } else if (is_whole) {
    value.kind = Value::Kind::kInt;
    value.integer = static_cast<int64_t>(number);
  } else {
    value.kind = Value::Kind::kFloat;
    type->has_exact_values = false;
  }
  return value;
}

void read_allowed(const JsonNode& list, FeatureType* type) {
  type->is_closed = list.exists();
  if (!type->is_closed) return;
  for (const JsonNode& node : list.elements()) {
    Value value;
    if (type->dtype == SIDECALL_DTYPE_STRING) {
      value.kind = Value::Kind::kString;
      value.text = std::make_shared<const std::string>(node.text());
    } else if (type->dtype == SIDECALL_DTYPE_BOOL) {
      value.kind = Value::Kind::kBool;
      value.integer = (node.is_bool() ? node.boolean() : node.number() != 0) ? 1 : 0;
    } else {
      value = allowed_number(node, type);
    }
    type->allowed.push_back(std::move(value));
  }
}

// The shortest decimal form of a float32 number, read as a double: 0.1 for 0.1f, which itself is
// 0.10000000149011612. Infinities stay.
double short_form(double number) {
  char text[32];  // the longest text has 15 characters
  const char* end = std::to_chars(text, text + sizeof text, static_cast<float>(number)).ptr;
  double read = number;
  if (std::isfinite(number)) std::from_chars(text, end, read);
  return read;
}

// The smallest and the largest integer of an interval. An end beyond int64 becomes the end of
// int64.
Interval<int64_t> whole_numbers(const Interval<double>& interval) {
  const auto bounded = [](double number) {
    if (number >= kTwoTo63) return std::numeric_limits<int64_t>::max();
    if (number < -kTwoTo63) return std::numeric_limits<int64_t>::min();
    return static_cast<int64_t>(number);
  };
  return {bounded(std::ceil(interval.low)), bounded(std::floor(interval.high))};
}

void read_domain(const Feature& feature, FeatureType* type) {
  const Domain& domain = feature.domain;
  type->has_holes = domain.has_holes();
  if (domain.exists()) type->expected = describe_domain(feature);
  if (!domain.integers.empty())
    type->integers = {domain.integers.front().low, domain.integers.back().high};
  if (domain.numbers.empty()) return;
  Interval<double> ends{domain.numbers.front().low, domain.numbers.back().high};
  if (feature.tensor_dtype == SIDECALL_DTYPE_FLOAT32)
    ends = {std::min(ends.low, short_form(ends.low)), std::max(ends.high, short_form(ends.high))};
  if (feature.dtype == SIDECALL_DTYPE_INT64) type->integers = whole_numbers(ends);
  else type->numbers = ends;
}

FeatureType feature_type(const Feature& feature, const JsonNode& node) {
  FeatureType type;
  type.name = feature.name;
  type.dtype = feature.dtype;
  type.is_nullable = feature.nullable;
  type.takes_empty = feature.takes_empty;
  type.has_zone = !feature.zone.empty();
  type.takes_number = feature.epoch_per_second != 0;
  if (feature.is_datetime()) type.unit = unit_name(feature.per_second);
  read_allowed(node.member("allowed"), &type);
  read_domain(feature, &type);
  // No text of a datetime stands for the count that is reserved.
  if (!feature.is_datetime() && feature.nullable && feature.tensor_dtype == SIDECALL_DTYPE_INT64 &&
      feature.domain.holds(feature.missing_int))
    type.reserved = feature.missing_int;
  return type;
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

std::vector<Value> classes_of(const Nodes& labels, const OutputType& output) {
  const Value::Kind wanted = output.dtype == SIDECALL_DTYPE_STRING ? Value::Kind::kString
                             : output.dtype == SIDECALL_DTYPE_BOOL ? Value::Kind::kBool
                                                                   : Value::Kind::kInt;
  const auto found = labels.find(output.name);
  if (found == labels.end()) return {};
  std::vector<Value> classes = parse_classes(found->second);
  const auto differs = [wanted](const Value& value) { return value.kind != wanted; };
  if (std::any_of(classes.begin(), classes.end(), differs)) classes.clear();
  return classes;
}

std::vector<OutputType> output_types(const Signature& signature, const JsonNode& contract) {
  std::vector<OutputType> outputs;
  const Nodes labels = label_nodes(contract);
  const std::vector<Column>& columns = signature.columns;
  for (size_t first = 0, last = 0; first < columns.size(); first = last) {
    const Column& column = columns[first];
    OutputType type;
    type.name = signature.outputs[static_cast<size_t>(column.output)].name;
    type.dtype = column.dtype;
    type.form = column.form;
    for (; last < columns.size() && columns[last].output == column.output; ++last)
      type.keys.push_back(columns[last].key);
    if (type.form != SIDECALL_FORM_MEMBER) type.classes = classes_of(labels, type);
    outputs.push_back(std::move(type));
  }
  return outputs;
}

}  // namespace

RecordTypes record_types(const Signature& signature, const Contract* contract,
                         const std::string& id) {
  RecordTypes types;
  types.id = id;
  if (contract == nullptr) return types;
  types.has_contract = true;
  types.name = contract->name;
  types.version = contract->version;
  json::Document document;
  parse_json(contract->text, &document);
  const JsonNode root(&document);
  const JsonElements nodes = root.member("features").elements();
  for (size_t i = 0; i < signature.features.size(); ++i)
    types.features.push_back(feature_type(signature.features[i], nodes[i]));
  types.outputs = output_types(signature, root);
  return types;
}

}  // namespace sidecall
