// Implements the rules; see row_rules.h. Operators check their inputs before a rule is asked, so
// axes are in range, and lists of axes and sizes are known.
#include "row_rules.h"

#include <algorithm>
#include <vector>

#include "strided_copy.h"

namespace sidecall::native::rows {
namespace {

RowKind rows_if(bool is) { return is ? RowKind::kRows : RowKind::kOther; }

bool are_fixed_from(const RowQuery& query, size_t first) {
  for (size_t i = first; i < query.in.size(); ++i) {
    if (query.kind(i) != RowKind::kFixed) return false;
  }
  return true;
}

// Input 0 has rows, and all other inputs are fixed.
bool has_one_batch(const RowQuery& query) {
  return query.kind(0) == RowKind::kRows && are_fixed_from(query, 1);
}

std::vector<int64_t> integers(const RowQuery& query, size_t input) {
  const Tensor* tensor = optional(query.in, input);
  return tensor == nullptr ? std::vector<int64_t>() : known_integers(query.node, *tensor);
}

size_t axis_of(const RowQuery& query, int64_t otherwise, int64_t rank) {
  return normal_axis(query.node, query.node.integer("axis", otherwise), rank);
}

// Whether none of these axes is the first one.
bool spare_rows(const RowQuery& query, const std::vector<int64_t>& axes, int64_t rank) {
  return std::all_of(axes.begin(), axes.end(),
                     [&](int64_t axis) { return normal_axis(query.node, axis, rank) != 0; });
}

// Whether a fixed operand has the same elements for each row of a result of this rank.
bool broadcasts_to_rows(const Tensor& operand, int64_t rank) {
  return operand.rank() < rank || (operand.rank() == rank && operand.dims[0] == 1);
}

RowKind sliced(const RowQuery& query, size_t starts, std::vector<int64_t> axes) {
  if (axes.empty()) {
    for (size_t i = 0; i < starts; ++i) axes.push_back(static_cast<int64_t>(i));
  }
  return rows_if(has_one_batch(query) && spare_rows(query, axes, query.in[0]->rank()));
}

RowKind padded(const RowQuery& query, const std::vector<int64_t>& pads, bool has_axes,
               const std::vector<int64_t>& axes) {
  if (!has_one_batch(query)) return RowKind::kOther;
  const size_t half = pads.size() / 2;
  for (size_t i = 0; i < half; ++i) {
    const auto axis = has_axes ? axes[i] : static_cast<int64_t>(i);
    const bool is_first = normal_axis(query.node, axis, query.in[0]->rank()) == 0;
    if (is_first && (pads[i] != 0 || pads[half + i] != 0)) return RowKind::kOther;
  }
  return RowKind::kRows;
}

RowKind reduced(const RowQuery& query, const std::vector<int64_t>& axes, bool is_noop) {
  if (!has_one_batch(query) || (axes.empty() && !is_noop)) return RowKind::kOther;
  return rows_if(spare_rows(query, axes, query.in[0]->rank()));
}

RowKind squeezed(const RowQuery& query, const std::vector<int64_t>& axes) {
  return rows_if(has_one_batch(query) && !axes.empty() &&
                 spare_rows(query, axes, query.in[0]->rank()));
}

RowKind unsqueezed(const RowQuery& query, const std::vector<int64_t>& axes) {
  return rows_if(has_one_batch(query) && spare_rows(query, axes, query.out[0]->rank()));
}

}  // namespace

// ---- Rules for many operators ----

RowKind by_element(const RowQuery& query) {
  int64_t rank = 0;
  for (const Tensor* operand : query.in) {
    if (operand != nullptr) rank = std::max(rank, operand->rank());
  }
  for (size_t i = 0; i < query.in.size(); ++i) {
    const Tensor* operand = query.in[i];
    if (operand == nullptr) continue;
    const bool fits = query.kind(i) == RowKind::kRows
                          ? operand->rank() == rank
                          : query.kind(i) == RowKind::kFixed && broadcasts_to_rows(*operand, rank);
    if (!fits) return RowKind::kOther;
  }
  return RowKind::kRows;
}

RowKind by_item(const RowQuery& query) { return rows_if(has_one_batch(query)); }

RowKind by_row(const RowQuery& query) {
  return rows_if(has_one_batch(query) && query.in[0]->rank() >= 2);
}

RowKind by_rows(const RowQuery& query) {
  for (size_t i = 0; i < query.in.size(); ++i) {
    if (query.kind(i) != RowKind::kRows || query.in[i]->rank() < 2) return RowKind::kOther;
  }
  return RowKind::kRows;
}

RowKind along_axis(const RowQuery& query, int64_t otherwise) {
  return rows_if(has_one_batch(query) && axis_of(query, otherwise, query.in[0]->rank()) != 0);
}

RowKind itself(const RowQuery& query) {
  return are_fixed_from(query, 1) ? query.kind(0) : RowKind::kOther;
}

// ---- Rules for single operators ----

RowKind cast(const RowQuery& query) {
  if (query.kind(0) == RowKind::kRows) return RowKind::kRows;
  const bool is_same = query.in[0]->dtype == query.node.integer("to", 0);
  return is_same ? query.kind(0) : RowKind::kOther;
}

RowKind compress(const RowQuery& query) {
  return query.node.has("axis") ? along_axis(query, 0) : RowKind::kOther;
}

RowKind concat(const RowQuery& query) {
  const bool joins_rows = axis_of(query, 0, query.in[0]->rank()) == 0;
  if (joins_rows)
    return query.kind(0) == RowKind::kShape && are_fixed_from(query, 1) ? RowKind::kShape
                                                                        : RowKind::kOther;
  for (size_t i = 0; i < query.in.size(); ++i) {
    if (query.kind(i) != RowKind::kRows) return RowKind::kOther;
  }
  return RowKind::kRows;
}

RowKind constant_of_shape(const RowQuery& query) {
  return rows_if(query.kind(0) == RowKind::kShape);
}

RowKind cumsum(const RowQuery& query) {
  return rows_if(has_one_batch(query) &&
                 spare_rows(query, integers(query, 1), query.in[0]->rank()));
}

RowKind expand(const RowQuery& query) {
  const Tensor& x = *query.in[0];
  const std::vector<int64_t> sizes = integers(query, 1);
  const auto rank = static_cast<int64_t>(sizes.size());
  const bool gives_rows = query.kind(1) == RowKind::kShape;
  if (query.kind(0) == RowKind::kFixed) return rows_if(gives_rows && broadcasts_to_rows(x, rank));
  if (query.kind(0) != RowKind::kRows) return RowKind::kOther;
  if (gives_rows) return rows_if(rank == x.rank());
  return rows_if(query.kind(1) == RowKind::kFixed &&
                 (rank < x.rank() || (rank == x.rank() && sizes[0] == 1)));
}

RowKind flatten(const RowQuery& query) {
  const int64_t rank = query.in[0]->rank(), axis = query.node.integer("axis", 1);
  return rows_if(has_one_batch(query) && (axis < 0 ? axis + rank : axis) == 1);
}

RowKind gather(const RowQuery& query) {
  const bool gathers_rows = axis_of(query, 0, query.in[0]->rank()) == 0;
  if (query.kind(0) == RowKind::kFixed)
    return rows_if(query.kind(1) == RowKind::kRows && gathers_rows);
  return rows_if(has_one_batch(query) && !gathers_rows);
}

RowKind gather_elements(const RowQuery& query) {
  const bool gathers_rows = axis_of(query, 0, query.in[0]->rank()) == 0;
  if (query.kind(1) != RowKind::kRows) return RowKind::kOther;
  return rows_if(query.kind(0) == (gathers_rows ? RowKind::kFixed : RowKind::kRows));
}

RowKind gather_nd(const RowQuery& query) {
  if (query.kind(1) != RowKind::kRows) return RowKind::kOther;
  if (query.node.integer("batch_dims", 0) > 0) return rows_if(query.kind(0) == RowKind::kRows);
  return rows_if(query.kind(0) == RowKind::kFixed && query.in[1]->rank() >= 2);
}

RowKind gemm(const RowQuery& query) {
  if (query.kind(0) != RowKind::kRows || query.kind(1) != RowKind::kFixed ||
      query.node.integer("transA", 0) != 0)
    return RowKind::kOther;
  const Tensor* addend = optional(query.in, 2);
  if (addend == nullptr) return RowKind::kRows;
  if (query.kind(2) == RowKind::kRows) return rows_if(addend->rank() == 2);
  return rows_if(query.kind(2) == RowKind::kFixed && broadcasts_to_rows(*addend, 2));
}

RowKind matmul(const RowQuery& query) {
  const Tensor &a = *query.in[0], &b = *query.in[1];
  const RowKind left = query.kind(0), right = query.kind(1);
  // A matrix on the left has rows in its first axis, one on the right has not.
  if (left == RowKind::kRows && right == RowKind::kFixed)
    return rows_if(a.rank() >= 2 && (b.rank() <= 2 || broadcasts_to_rows(b, a.rank())));
  if (left == RowKind::kFixed && right == RowKind::kRows)
    return rows_if(b.rank() >= 3 && broadcasts_to_rows(a, b.rank()));
  return rows_if(left == RowKind::kRows && right == RowKind::kRows && a.rank() >= 3 &&
                 a.rank() == b.rank());
}

RowKind one_hot(const RowQuery& query) {
  return rows_if(has_one_batch(query) && axis_of(query, -1, query.in[0]->rank() + 1) != 0);
}

RowKind pad(const RowQuery& query) {
  const bool has_axes = optional(query.in, 3) != nullptr;
  return padded(query, integers(query, 1), has_axes, integers(query, 3));
}

RowKind pad_before_11(const RowQuery& query) {
  return padded(query, query.node.integers("pads"), false, {});
}

RowKind reduce(const RowQuery& query) {
  return reduced(query, integers(query, 1), query.node.integer("noop_with_empty_axes", 0) == 1);
}

RowKind reduce_by_attribute(const RowQuery& query) {
  return reduced(query, query.node.integers("axes"), false);
}

// The first size must be the number of rows by its meaning, and not by chance.
RowKind reshape(const RowQuery& query) {
  const Tensor &x = *query.in[0], &y = *query.out[0];
  const std::vector<int64_t> sizes = integers(query, 1);
  if (query.kind(0) != RowKind::kRows || sizes.empty()) return RowKind::kOther;
  const bool copies = sizes[0] == 0 && query.node.integer("allowzero", 0) == 0;
  const bool has_rows = query.kind(1) == RowKind::kShape ||
                        (query.kind(1) == RowKind::kFixed && (copies || sizes[0] == -1));
  return rows_if(has_rows && span(x.dims, 1, x.dims.size()) == span(y.dims, 1, y.dims.size()));
}

RowKind scatter_elements(const RowQuery& query) {
  for (size_t i = 0; i < 3; ++i) {
    if (query.kind(i) != RowKind::kRows) return RowKind::kOther;
  }
  return rows_if(axis_of(query, 0, query.in[0]->rank()) != 0);
}

RowKind shape(const RowQuery& query) {
  if (query.kind(0) != RowKind::kRows) return RowKind::kOther;
  const int64_t rank = query.in[0]->rank(), given = query.node.integer("start", 0);
  const int64_t start = std::max<int64_t>(given < 0 ? given + rank : given, 0);
  return start == 0 && query.out[0]->count > 0 ? RowKind::kShape : RowKind::kFixed;
}

RowKind slice(const RowQuery& query) {
  return sliced(query, integers(query, 1).size(), integers(query, 3));
}

RowKind slice_before_10(const RowQuery& query) {
  return sliced(query, query.node.integers("starts").size(), query.node.integers("axes"));
}

RowKind softmax(const RowQuery& query) {
  return along_axis(query, query.node.version < 13 ? 1 : -1);
}

RowKind squeeze(const RowQuery& query) { return squeezed(query, integers(query, 1)); }

RowKind squeeze_before_13(const RowQuery& query) {
  return squeezed(query, query.node.integers("axes"));
}

RowKind tile(const RowQuery& query) {
  const Tensor& x = *query.in[0];
  if (x.rank() == 0) return RowKind::kOther;
  if (query.kind(0) == RowKind::kFixed)
    return rows_if(query.kind(1) == RowKind::kShape && x.dims[0] == 1);
  return rows_if(has_one_batch(query) && integers(query, 1)[0] == 1);
}

RowKind transpose(const RowQuery& query) {
  const std::vector<int64_t>& order = query.node.integers("perm");
  return rows_if(has_one_batch(query) && !order.empty() && order[0] == 0);
}

RowKind unsqueeze(const RowQuery& query) { return unsqueezed(query, integers(query, 1)); }

RowKind unsqueeze_before_13(const RowQuery& query) {
  return unsqueezed(query, query.node.integers("axes"));
}

}  // namespace sidecall::native::rows
