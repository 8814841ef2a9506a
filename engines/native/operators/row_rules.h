// Which operators compute the rows of a batch independently of each other: the rules of the tables
// of operators (RowRule).
//
// A rule must hold for every number of rows, so it never compares a dimension with the number of
// rows that the program happens to have.
#pragma once

#include "engines/native/operator.h"

namespace sidecall::native::rows {

// ---- Rules for many operators ----

// Each element depends on those at the same place of the inputs, with broadcasting.
RowKind by_element(const RowQuery& query);
// Each item of the first axis depends on the item of input 0, and on all other inputs.
RowKind by_item(const RowQuery& query);
// The same for an input of rank 2 or more: with a list, the operator takes the list as one row.
RowKind by_row(const RowQuery& query);
// The same for operators whose inputs are all rows.
RowKind by_rows(const RowQuery& query);
// The operator works along one axis, which the attribute "axis" names, or `otherwise` without it.
RowKind along_axis(const RowQuery& query, int64_t otherwise);
template <int64_t otherwise>
RowKind along(const RowQuery& query) {
  return along_axis(query, otherwise);
}
// The output has the elements of input 0.
RowKind itself(const RowQuery& query);

// ---- Rules for single operators ----

RowKind cast(const RowQuery& query);
RowKind compress(const RowQuery& query);
RowKind concat(const RowQuery& query);
RowKind constant_of_shape(const RowQuery& query);
RowKind cumsum(const RowQuery& query);
RowKind expand(const RowQuery& query);
RowKind flatten(const RowQuery& query);
RowKind gather(const RowQuery& query);
RowKind gather_elements(const RowQuery& query);
RowKind gather_nd(const RowQuery& query);
RowKind gemm(const RowQuery& query);
RowKind matmul(const RowQuery& query);
RowKind one_hot(const RowQuery& query);
RowKind pad(const RowQuery& query);
RowKind pad_before_11(const RowQuery& query);
RowKind reduce(const RowQuery& query);
RowKind reduce_by_attribute(const RowQuery& query);  // the axes are an attribute
RowKind reshape(const RowQuery& query);
RowKind scatter_elements(const RowQuery& query);
RowKind shape(const RowQuery& query);
RowKind slice(const RowQuery& query);
RowKind slice_before_10(const RowQuery& query);
RowKind softmax(const RowQuery& query);
RowKind squeeze(const RowQuery& query);
RowKind squeeze_before_13(const RowQuery& query);
RowKind tile(const RowQuery& query);
RowKind transpose(const RowQuery& query);
RowKind unsqueeze(const RowQuery& query);
RowKind unsqueeze_before_13(const RowQuery& query);

}  // namespace sidecall::native::rows
