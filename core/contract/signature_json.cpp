// Writes and reads signatures as text; see signature_json.h.
#include "signature_json.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "base/text/datetime.h"
#include "contract_reader.h"
#include "core/error.h"
#include "core/hash.h"

namespace sidecall {
namespace {

using Writer = json::Writer;

constexpr size_t kMaxRank = 16;  // the largest rank of a tensor on a channel

void write_string(Writer* writer, const std::string& text) {
  writer->String(text.c_str(), static_cast<rapidjson::SizeType>(text.size()));
}

void write_member(Writer* writer, const char* key, const std::string& text) {
  writer->Key(key);
  write_string(writer, text);
}

void write_member(Writer* writer, const char* key, int64_t number) {
  writer->Key(key);
  writer->Int64(number);
}

void write_dims(Writer* writer, const Dims& dims) {
  writer->StartArray();
  for (const int64_t dim : dims) writer->Int64(dim);
  writer->EndArray();
}

void write_tensors(Writer* writer, const char* key, const std::vector<TensorSpec>& specs) {
  writer->Key(key);
  writer->StartArray();
  for (const TensorSpec& spec : specs) {
    writer->StartObject();
    write_member(writer, "name", spec.name);
    write_member(writer, "dtype", dtype_name(spec.dtype));
    writer->Key("dims");
    if (spec.is_shaped) write_dims(writer, spec.dims);
    else writer->Null();
    writer->Key("dim_names");
    writer->StartArray();
    for (const std::string& name : spec.dim_names) write_string(writer, name);
    writer->EndArray();
    writer->EndObject();
  }
  writer->EndArray();
}

void write_missing(Writer* writer, const Feature& feature) {
  writer->Key("missing");
  if (feature.tensor_dtype == SIDECALL_DTYPE_STRING) write_string(writer, feature.missing_string);
  else if (feature.tensor_dtype == SIDECALL_DTYPE_INT64) writer->Int64(feature.missing_int);
  else writer->String("nan");
}

void write_number(Writer* writer, double number) {
  std::isinf(number) ? writer->String(number > 0 ? "inf" : "-inf") : writer->Double(number);
}
void write_number(Writer* writer, int64_t number) { writer->Int64(number); }

void write_allowed(Writer* writer, const Feature& feature) {
  writer->Key("allowed");
  writer->StartArray();
  std::vector<std::string> strings(feature.allowed_strings.begin(), feature.allowed_strings.end());
  std::sort(strings.begin(), strings.end());
  for (const std::string& text : strings) write_string(writer, text);
  std::vector<double> numbers;
  for (const double number : feature.allowed_numbers) {
    if (!std::isnan(number)) numbers.push_back(number);  // `nullable` alone decides about NaN
  }
  std::sort(numbers.begin(), numbers.end());
  for (const double number : numbers) write_number(writer, number);
  writer->EndArray();
}

template <typename Number>
void write_intervals(Writer* writer, const std::vector<Interval<Number>>& intervals) {
  for (const Interval<Number>& interval : intervals) {
    writer->StartArray();
    write_number(writer, interval.low);
    write_number(writer, interval.high);
    writer->EndArray();
  }
}

void write_domain(Writer* writer, const Domain& domain) {
  writer->Key("domain");
  writer->StartArray();
  write_intervals(writer, domain.numbers);
  write_intervals(writer, domain.integers);
  writer->EndArray();
}

void write_feature(Writer* writer, const Feature& feature) {
  writer->StartObject();
  write_member(writer, "name", feature.name);
  write_member(writer, "dtype", dtype_name(feature.dtype));
  write_member(writer, "input", feature.input);
  write_member(writer, "column", feature.column);
  if (feature.is_datetime()) {
    write_member(writer, "unit", unit_name(feature.per_second));
    if (!feature.zone.empty()) write_member(writer, "zone", feature.zone);
    if (feature.epoch_per_second != 0)
      write_member(writer, "epoch", unit_name(feature.epoch_per_second));
  }
  if (feature.nullable) write_missing(writer, feature);
  if (feature.is_closed) write_allowed(writer, feature);
  if (feature.domain.exists()) write_domain(writer, feature.domain);
  if (!feature.takes_empty) {
    writer->Key("empty");
    writer->Bool(false);
  }
  writer->EndObject();
}

void write_column(Writer* writer, const Column& column) {
  writer->StartObject();
  write_member(writer, "name", column.name);
  write_member(writer, "key", column.key);
  write_member(writer, "dtype", dtype_name(column.dtype));
  write_member(writer, "output", column.output);
  write_member(writer, "column", column.column);
  write_member(writer, "form", column.form);
  writer->EndObject();
}

template <typename Items, typename Write>
void write_list(Writer* writer, const char* key, const Items& items, Write write) {
  writer->Key(key);
  writer->StartArray();
  for (const auto& item : items) write(writer, item);
  writer->EndArray();
}

// `may_lack_shape`: `dims` may be null, which means that the graph declares no shape.
TensorSpec read_tensor(const JsonNode& node, bool may_lack_shape) {
  TensorSpec spec;
  const JsonNode name = node.member("name"), dtype = node.member("dtype"),
                 dims = node.member("dims"), dim_names = node.member("dim_names");
  spec.name = name.text();
  if (spec.name.find('\0') != std::string::npos) name.fail("a name", "one with a NUL");
  spec.dtype = dtype_from_name(dtype.text());
  if (spec.dtype == 0) dtype.fail("an element type", "'" + dtype.text() + "'");
  spec.is_shaped = !(may_lack_shape && dims.is_null());
  if (!spec.is_shaped) return spec;
  if (dims.size() > kMaxRank)
    dims.fail("at most " + std::to_string(kMaxRank) + " dimensions", std::to_string(dims.size()));
  for (const JsonNode& dim : dims.elements()) {
    spec.dims.push_back(dim.integer());
    if (spec.dims.back() < -1) dim.fail("a dimension, or -1", std::to_string(spec.dims.back()));
  }
  spec.dim_names.resize(spec.dims.size());
  if (!dim_names.exists()) return spec;
  if (dim_names.size() != spec.dims.size())
    dim_names.fail(std::to_string(spec.dims.size()) + " names", std::to_string(dim_names.size()));
  const JsonElements names = dim_names.elements();
  for (size_t i = 0; i < names.size(); ++i) {
    spec.dim_names[i] = names[i].text();
    if (spec.dim_names[i].find('\0') != std::string::npos)
      names[i].fail("a name", "one with a NUL");
  }
  return spec;
}

void read_tensors(const JsonNode& list, bool may_lack_shapes, std::vector<TensorSpec>* specs) {
  std::unordered_set<std::string, SeededHash> names;
  for (const JsonNode& node : list.elements()) {
    TensorSpec spec = read_tensor(node, may_lack_shapes);
    if (!names.insert(spec.name).second)
      node.member("name").fail("a unique name", "'" + spec.name + "' again");
    specs->push_back(std::move(spec));
  }
}

}  // namespace

std::string signature_text(const Signature& signature) {
  json::Buffer buffer;
  Writer tensors(buffer);
  tensors.StartObject();
  write_tensors(&tensors, "inputs", signature.inputs);
  write_tensors(&tensors, "outputs", signature.outputs);
  tensors.EndObject();
  buffer.Put('\n');
  if (signature.has_contract) {
    Writer records(buffer);
    records.StartObject();
    write_list(&records, "features", signature.features, write_feature);
    write_list(&records, "columns", signature.columns, write_column);
    records.EndObject();
  }
  return {buffer.GetString(), buffer.GetSize()};
}

void read_signature_text(std::string_view text, const std::string& where, int32_t status,
                         std::vector<TensorSpec>* inputs, std::vector<TensorSpec>* outputs) {
  try {
    const std::string json(text);
    json::Document document;
    parse_json(json, &document);
    const JsonNode root(&document);
    root.require_unique_keys();
    read_tensors(root.member("inputs"), false, inputs);
    read_tensors(root.member("outputs"), true, outputs);
  } catch (const Error& error) {
    Fault fault = error.faults().empty() ? Fault() : error.faults().front();
    fault.status = status;
    std::string words = error.what();
    constexpr std::string_view kContract = "contract: ";  // JsonNode writes this prefix
    if (words.compare(0, kContract.size(), kContract) == 0)
      words = "signature: " + words.substr(kContract.size());
    throw Error(fault, where.empty() ? words : where + ": " + words);
  }
}

}  // namespace sidecall
