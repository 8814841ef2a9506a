// Computes the derived parts of a signature; see signature.h.
#include "signature.h"

#include <sidecall/sidecall.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace sidecall {
namespace {

constexpr float kInfinity32 = std::numeric_limits<float>::infinity();
constexpr double kInfinity64 = std::numeric_limits<double>::infinity();

using Ids = std::unordered_map<std::string_view, int32_t, SeededHash>;

std::vector<std::vector<int32_t>> number_dims(const std::vector<TensorSpec>& specs, Ids* ids) {
  std::vector<std::vector<int32_t>> all;
  all.reserve(specs.size());
  for (const TensorSpec& spec : specs) {
    all.emplace_back(spec.dims.size(), -1);
    for (size_t i = 0; i < spec.dims.size(); ++i) {
      if (spec.dims[i] >= 0 || spec.dim_names[i].empty()) continue;
      all.back()[i] =
          ids->emplace(spec.dim_names[i], static_cast<int32_t>(ids->size())).first->second;
    }
  }
  return all;
}

// Narrows the bounds of the column of a feature to the values that the feature accepts.
template <typename Number, typename End>
void bound(const Feature& feature, const std::vector<Interval<End>>& intervals, Number lowest,
           Number highest, InputCheck* check) {
  const bool refuses_missing = std::is_floating_point_v<Number> && !feature.nullable;
  // The smallest integer is never a value of a datetime: the check then looks at each value.
  const bool reserves_lowest = feature.is_datetime() && !feature.nullable;
  if (intervals.empty() && !refuses_missing && !reserves_lowest) return;
  const auto width = static_cast<size_t>(feature.width),
             column = static_cast<size_t>(feature.column);
  if (std::holds_alternative<std::monostate>(check->bounds)) {
    check->bounds =
        Bounds<Number>{std::vector<Number>(width, lowest), std::vector<Number>(width, highest),
                       std::vector<typename Bounds<Number>::Word>(width, 0)};
  }
  auto& bounds = std::get<Bounds<Number>>(check->bounds);
  bounds.refuses_missing[column] = refuses_missing ? -1 : 0;
  if (reserves_lowest) bounds.low[column] = lowest + 1;
  if (intervals.empty()) return;
  bounds.low[column] = std::max(bounds.low[column], static_cast<Number>(intervals.front().low));
  bounds.high[column] = static_cast<Number>(intervals.back().high);
}

void bound(const Feature& feature, InputCheck* check) {
  switch (feature.tensor_dtype) {
    case SIDECALL_DTYPE_FLOAT32:
      return bound<float>(feature, feature.domain.numbers, -kInfinity32, kInfinity32, check);
    case SIDECALL_DTYPE_FLOAT64:
      return bound<double>(feature, feature.domain.numbers, -kInfinity64, kInfinity64, check);
    case SIDECALL_DTYPE_INT64:
      return bound<int64_t>(feature, feature.domain.integers, INT64_MIN, INT64_MAX, check);
    default:
      return;
  }
}

}  // namespace

// Whether a number beyond the range of float32 is accepted. It rounds to an infinity in the tensor,
// so it is accepted only if the contract says that the model accepts that infinity.
bool Feature::takes_beyond_float32(double value) const {
  const bool is_float = dtype == SIDECALL_DTYPE_FLOAT32 || dtype == SIDECALL_DTYPE_FLOAT64;
  return is_float && domain.holds(std::copysign(kInfinity64, value));
}

void Feature::find_plain_range() {
  const bool is_float = dtype == SIDECALL_DTYPE_FLOAT32 || dtype == SIDECALL_DTYPE_FLOAT64;
  if (!is_float || is_closed || domain.has_holes()) return;
  const double largest =
      tensor_dtype == SIDECALL_DTYPE_FLOAT32 ? std::numeric_limits<float>::max() : kInfinity64;
  plain_low = -largest;
  plain_high = largest;
  if (domain.numbers.empty()) return;
  plain_low = std::max(plain_low, domain.numbers.front().low);
  plain_high = std::min(plain_high, domain.numbers.front().high);
}

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

void Signature::drop_last_output() {
  output_names.remove(outputs.back().name);
  outputs.pop_back();
  output_dim_ids.pop_back();
  output_width.pop_back();
}

void Signature::index_records() {
  for (size_t i = 0; i < features.size(); ++i) {
    Feature& feature = features[i];
    feature.find_plain_range();
    feature_names.add(feature.name, i);
    InputCheck& check = checks[static_cast<size_t>(feature.input)];
    check.feature_at.resize(static_cast<size_t>(feature.width));
    check.feature_at[static_cast<size_t>(feature.column)] = static_cast<int32_t>(i);
    bound(feature, &check);
    const bool is_listed = feature.is_closed || feature.domain.has_holes();
    if (is_listed && feature.tensor_dtype != SIDECALL_DTYPE_STRING)
      check.listed_features.push_back(static_cast<int32_t>(i));
  }
  column_names.reserve(columns.size());
  for (size_t i = 0; i < columns.size(); ++i) {
    column_names.add(columns[i].name, i);
    if (has_contract) ++output_width[static_cast<size_t>(columns[i].output)];
  }
}

}  // namespace sidecall
