// Derived parts of a signature; see signature.h.
#include "signature.h"

#include <sidecall/sidecall.h>

namespace sidecall {
namespace {

using Ids = std::unordered_map<std::string_view, int32_t, SeededHash>;

std::vector<std::vector<int32_t>> number_dims(const std::vector<TensorSpec>& specs, Ids* ids) {
  std::vector<std::vector<int32_t>> all;
  all.reserve(specs.size());
  for (const TensorSpec& spec : specs) {
    all.emplace_back(spec.dims.size(), -1);
    for (size_t i = 0; i < spec.dims.size(); ++i) {
      if (spec.dims[i] >= 0 || spec.dim_names[i].empty()) continue;
      all.back()[i] = ids->emplace(spec.dim_names[i], static_cast<int32_t>(ids->size())).first->second;
    }
  }
  return all;
}

}  // namespace

void Signature::index_tensors() {
  for (size_t i = 0; i < inputs.size(); ++i) input_names.add(inputs[i].name, i);
  for (size_t i = 0; i < outputs.size(); ++i) output_names.add(outputs[i].name, i);
  Ids ids;
  input_dim_ids = number_dims(inputs, &ids);
  output_dim_ids = number_dims(outputs, &ids);
  num_dim_ids = ids.size();
  checks.resize(inputs.size());
  output_width.resize(outputs.size());
}

void Signature::index_records() {
  for (size_t i = 0; i < features.size(); ++i) {
    const Feature& feature = features[i];
    feature_names.add(feature.name, i);
    InputCheck& check = checks[static_cast<size_t>(feature.input)];
    check.feature_at.resize(static_cast<size_t>(feature.width));
    check.feature_at[static_cast<size_t>(feature.column)] = static_cast<int32_t>(i);
    const bool is_float = feature.tensor_dtype == SIDECALL_FLOAT32 || feature.tensor_dtype == SIDECALL_FLOAT64;
    if (is_float && !feature.nullable) check.has_nan_check = true;
    if (feature.is_closed && feature.tensor_dtype != SIDECALL_STRING) check.closed_features.push_back(static_cast<int32_t>(i));
  }
  for (size_t i = 0; i < columns.size(); ++i) {
    column_names.add(columns[i].name, i);
    if (has_contract) ++output_width[static_cast<size_t>(columns[i].output)];
  }
}

}  // namespace sidecall
