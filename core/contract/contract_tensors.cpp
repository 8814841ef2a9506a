// Derives tensors from a contract without a graph, for a model that stays in Python. Used by
// servers of a function; see docs/contract.md.
#include <algorithm>
#include <unordered_map>

#include "contract_reader.h"
#include "core/hash.h"

namespace sidecall {
namespace {

// The element type that one feature needs. It depends on the type of the feature and on how a
// missing value is written.
int32_t element_type(const JsonNode& feature) {
  const std::string name = feature.member("type").text();
  const int32_t dtype = feature_dtype_from_name(name);
  const JsonNode missing = feature.member("missing");
  switch (dtype) {
    case SIDECALL_DTYPE_STRING:
    case SIDECALL_DTYPE_FLOAT32:
    case SIDECALL_DTYPE_FLOAT64:
      return dtype;
    case SIDECALL_DTYPE_BOOL:
    case SIDECALL_DTYPE_INT64:
      // The only string that is allowed here is "nan", which needs a floating-point tensor.
      if (missing.is_string()) return SIDECALL_DTYPE_FLOAT64;
      return missing.exists() ? SIDECALL_DTYPE_INT64 : dtype;
    case SIDECALL_DTYPE_DATETIME:
      return SIDECALL_DTYPE_INT64;
    default:
      feature.member("type").fail("float32, float64, int64, bool, string or datetime",
                                  "'" + name + "'");
  }
}

TensorSpec table(const std::string& name, int32_t dtype, int64_t width) {
  return {name, dtype, {-1, width}, {"N", ""}};
}

using Places = std::unordered_map<std::string, size_t, SeededHash>;  // index of each input, by name

void add_feature(const JsonNode& feature, Places* places, std::vector<TensorSpec>* inputs) {
  const std::string name = feature.member("input").text();
  if (name.empty() || name.find('\0') != std::string::npos)
    feature.member("input").fail("a name", "an empty one or one with a NUL");
  const int32_t dtype = element_type(feature);
  const int64_t column = feature.member("column").integer();
  if (column < 0 || column >= kMaxWidth)
    feature.member("column").fail("0 to " + std::to_string(kMaxWidth - 1), std::to_string(column));
  const auto [place, is_new] = places->emplace(name, inputs->size());
  if (is_new) return inputs->push_back(table(name, dtype, column + 1));
  TensorSpec* const found = &(*inputs)[place->second];
  found->dims[1] = std::max(found->dims[1], column + 1);
  if (found->dtype == dtype) return;
  if (found->dtype == SIDECALL_DTYPE_STRING || dtype == SIDECALL_DTYPE_STRING)
    feature.member("type").fail("the type of the other features of input '" + name + "'",
                                feature.member("type").text());
  found->dtype = SIDECALL_DTYPE_FLOAT64;
}

TensorSpec output_tensor(const JsonNode& output) {
  const std::string name = output.member("name").text();
  if (name.empty() || name.find('\0') != std::string::npos)
    output.member("name").fail("a name", "an empty one or one with a NUL");
  const JsonNode type = output.member("type");
  const int32_t dtype = dtype_from_name(type.text());
  if (dtype == 0) type.fail("an element type", "'" + type.text() + "'");
  const OutputLayout layout = parse_layout(output);
  if (layout.has_members || layout.has_width) return table(name, dtype, layout.width);
  return {name, dtype, {-1}, {"N"}};
}

}  // namespace

void tensors_of_contract(const std::string& json, const std::string& where,
                         std::vector<TensorSpec>* inputs, std::vector<TensorSpec>* outputs) {
  at_place(where, [&] {
    json::Document document;
    const JsonNode root = open_contract(json, &document);
    Places places;
    for (const JsonNode& feature : root.member("features").elements())
      add_feature(feature, &places, inputs);
    for (const JsonNode& output : root.member("outputs").elements())
      outputs->push_back(output_tensor(output));
  });
}

}  // namespace sidecall
