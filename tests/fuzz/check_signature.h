// The invariants of every signature and contract that was accepted. Used by the targets
// `signature`, `contract` and `manifest`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "check.h"
#include "core/contract/contract.h"
#include "core/contract/signature.h"

namespace fuzz {

inline void check_tensors(const std::vector<sidecall::TensorSpec>& tensors) {
  std::set<std::string> names;
  for (const sidecall::TensorSpec& tensor : tensors) {
    require(sidecall::is_utf8_without_nul(tensor.name), "names in UTF-8");
    require(names.insert(tensor.name).second, "each name once");
    require(sidecall::is_dtype(tensor.dtype), "a known type");
    require(tensor.dim_names.size() == tensor.dims.size(), "a name for each dimension");
    for (const int64_t dim : tensor.dims) require(dim >= -1, "sizes, or -1 for a free one");
  }
}

template <typename Number>
void check_domain(const std::vector<sidecall::Interval<Number>>& intervals) {
  for (size_t i = 0; i < intervals.size(); ++i) {
    require(intervals[i].low <= intervals[i].high, "ends that are numbers, the low one first");
    require(i == 0 || intervals[i - 1].high < intervals[i].low,
            "intervals that ascend and are disjoint");
  }
}

// Checks the numbers of a signature that code uses as indices without further checks.
inline void check_signature(const sidecall::Signature& signature,
                            const sidecall::Contract& contract) {
  for (size_t i = 0; i < signature.features.size(); ++i) {
    const sidecall::Feature& feature = signature.features[i];
    require(feature.input >= 0 && static_cast<size_t>(feature.input) < signature.inputs.size(),
            "an input of the graph");
    require(feature.column >= 0 && feature.column < feature.width, "a column of the input");
    require(signature.feature_names.find(feature.name) == static_cast<int32_t>(i),
            "a feature is found by its name");
    check_domain(feature.domain.numbers);
    check_domain(feature.domain.integers);
  }
  for (size_t i = 0; i < signature.columns.size(); ++i) {
    const sidecall::Column& column = signature.columns[i];
    require(column.output >= 0 && static_cast<size_t>(column.output) < signature.outputs.size(),
            "an output of the graph");
    require(signature.column_names.find(column.name) == static_cast<int32_t>(i),
            "a column is found by its name");
  }
  for (const sidecall::GoldenOutput& golden : contract.golden.outputs) {
    require(golden.expected.size() == static_cast<size_t>(contract.golden.rows * golden.width),
            "an answer per row and column");
  }
}

}  // namespace fuzz
