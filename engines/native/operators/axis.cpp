// Operators that work along one axis: ArgMax, ArgMin, TopK, CumSum, Softmax, LogSoftmax,
// LpNormalization.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "arithmetic.h"
#include "best_indices.h"
#include "core/error.h"
#include "fold.h"
#include "row_rules.h"
#include "tables.h"

namespace sidecall::native {
namespace {

std::unique_ptr<Step> do_nothing() {
  return make_step([] {});
}

// A tensor as [outer, size, inner]: the axes before one axis, this axis, and those after it.
struct AxisView {
  int64_t outer = 1, size = 1, inner = 1;
};

// The tensor must have at least one element.
AxisView view_axis(const Tensor& x, size_t axis) {
  AxisView view;
  for (size_t i = 0; i < x.dims.size(); ++i)
    (i < axis ? view.outer : i == axis ? view.size : view.inner) *= x.dims[i];
  return view;
}

// The index of the best element along the axis: the first of equal ones or, with `or_equal`, the
// last.
template <typename T, typename Better, bool or_equal>
std::unique_ptr<Step> arg_step(AxisView view, const Tensor& x, const Tensor* out) {
  const auto is_better = [](T a, T b) { return Better()(a, b) || (or_equal && a == b); };
  if (view.inner == 1) {
    return make_step([view, &x, out, is_better](const Interrupt& interrupt) {
      const T* row = x.as<T>();
      int64_t* to = out->as<int64_t>();
      for (int64_t i = 0; i < view.outer; ++i, row += view.size) {
        if (i % kRowsPerPoll == 0) interrupt.poll();
        T best = row[0];
        int64_t position = 0;
        for (int64_t k = 0; k < view.size; ++k) {
          const bool better = is_better(row[k], best);
          best = better ? row[k] : best;
          position = better ? k : position;
        }
        to[i] = position;
      }
    });
  }
  std::vector<T> best(static_cast<size_t>(view.inner));
  return make_step(
      [view, &x, out, is_better, best = std::move(best)](const Interrupt& interrupt) mutable {
        const T* row = x.as<T>();
        int64_t* to = out->as<int64_t>();
        T* top = best.data();
        for (int64_t i = 0; i < view.outer; ++i, to += view.inner) {
          std::copy_n(row, view.inner, top);
          std::fill_n(to, view.inner, int64_t{0});
          for (int64_t k = 0; k < view.size; ++k, row += view.inner) {
            interrupt.poll();
            for (int64_t c = 0; c < view.inner; ++c) {
              const bool better = is_better(row[c], top[c]);
              top[c] = better ? row[c] : top[c];
              to[c] = better ? k : to[c];
            }
          }
        }
      });
}

template <typename Better>
std::unique_ptr<Step> prepare_arg(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const size_t axis = normal_axis(node, node.integer("axis", 0), x.rank());
  const bool takes_last = node.version >= 12 && node.integer("select_last_index", 0) != 0;
  Dims dims = x.dims;
  if (node.integer("keepdims", 1) == 1) dims[axis] = 1;
  else dims.erase(dims.begin() + static_cast<std::ptrdiff_t>(axis));
  out[0]->shape(SIDECALL_DTYPE_INT64, std::move(dims));
  if (out[0]->count == 0) return do_nothing();
  if (x.count == 0) refuse_node(node, SIDECALL_ENGINE, "the axis has no elements");
  const AxisView view = view_axis(x, axis);
  return or_refuse(with_type<double, float, int64_t, int32_t>(
                       x.dtype,
                       [&](auto zero) {
                         using T = decltype(zero);
                         return takes_last ? arg_step<T, Better, true>(view, x, out[0])
                                           : arg_step<T, Better, false>(view, x, out[0]);
                       }),
                   node, x);
}

// ---- TopK ----

// `values` and `positions` are nullptr if nothing reads them.
template <typename T, typename Better>
std::unique_ptr<Step> topk_step(AxisView view, int64_t k, bool is_sorted, const Tensor& x,
                                const Tensor* values, const Tensor* positions) {
  std::vector<T> column(static_cast<size_t>(view.inner == 1 ? 0 : view.size));
  return make_step(
      [view, k, &x, values, positions, column = std::move(column),
       selection = BestIndices(view.size, k, is_sorted)](const Interrupt& interrupt) mutable {
        const T* from = x.as<T>();
        for (int64_t i = 0; i < view.outer; ++i, from += view.size * view.inner) {
          for (int64_t c = 0; c < view.inner; ++c) {
            interrupt.poll();
            const T* row = from;
            if (view.inner != 1) {
              for (int64_t j = 0; j < view.size; ++j)
                column[static_cast<size_t>(j)] = from[j * view.inner + c];
              row = column.data();
            }
            const int64_t* found = selection.select(Ranking<T, Better>(row));
            const int64_t at = i * k * view.inner + c;
            for (int64_t j = 0; j < k; ++j) {
              if (values != nullptr) values->as<T>()[at + j * view.inner] = row[found[j]];
              if (positions != nullptr) positions->as<int64_t>()[at + j * view.inner] = found[j];
            }
          }
        }
      });
}

std::unique_ptr<Step> prepare_topk(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const Tensor& k_input = required(node, in, 1);
  const size_t axis = normal_axis(node, node.integer("axis", -1), x.rank());
  if (k_input.dims != Dims{1})
    refuse_node(node, SIDECALL_FILE_INVALID, "expected k as a list of one number");
  const int64_t k = known_integers(node, k_input)[0];
  if (k < 0 || k > x.dims[axis])
    refuse_node(node, SIDECALL_ENGINE,
                "k is " + std::to_string(k) + ", but the axis has " + std::to_string(x.dims[axis]) +
                    " elements");
  const bool is_largest = node.version < 11 || node.integer("largest", 1) != 0;
  const bool is_sorted = node.version < 11 || node.integer("sorted", 1) != 0;
  Dims dims = x.dims;
  dims[axis] = k;
  Tensor* values = optional_output(out, 0);
  Tensor* positions = optional_output(out, 1);
  if (values != nullptr) values->shape(x.dtype, dims);
  if (positions != nullptr) positions->shape(SIDECALL_DTYPE_INT64, dims);
  if (x.count == 0 || k == 0) return do_nothing();
  const AxisView view = view_axis(x, axis);
  return or_refuse(
      with_type<double, float, int64_t, int32_t>(
          x.dtype,
          [&](auto zero) {
            using T = decltype(zero);
            return is_largest ? topk_step<T, Greater>(view, k, is_sorted, x, values, positions)
                              : topk_step<T, Less>(view, k, is_sorted, x, values, positions);
          }),
      node, x);
}

// ---- CumSum ----

template <typename T>
std::unique_ptr<Step> cumsum_step(AxisView view, bool is_exclusive, bool is_reverse,
                                  const Tensor& x, const Tensor* out) {
  return make_step([=, &x](const Interrupt& interrupt) {
    const int64_t block = view.size * view.inner;
    const int64_t step = is_reverse ? -view.inner : view.inner;
    const int64_t first = is_reverse ? block - view.inner : 0;
    for (int64_t i = 0; i < view.outer; ++i) {
      if (i % kRowsPerPoll == 0) interrupt.poll();
      const T* from = x.as<T>() + i * block + first;
      T* to = out->as<T>() + i * block + first;
      for (int64_t c = 0; c < view.inner; ++c) to[c] = is_exclusive ? T{0} : from[c];
      for (int64_t k = 1; k < view.size; ++k) {
        const T* sum = to;
        const T* term = is_exclusive ? from : from + step;
        from += step;
        to += step;
        for (int64_t c = 0; c < view.inner; ++c) to[c] = Add()(sum[c], term[c]);
      }
    }
  });
}

std::unique_ptr<Step> prepare_cumsum(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const Tensor& axis_input = required(node, in, 1);
  if (axis_input.rank() > 1 || axis_input.count != 1)
    refuse_node(node, SIDECALL_FILE_INVALID, "expected one axis");
  const size_t axis = normal_axis(node, known_integers(node, axis_input)[0], x.rank());
  const bool is_exclusive = node.integer("exclusive", 0) == 1;
  const bool is_reverse = node.integer("reverse", 0) == 1;
  out[0]->shape(x.dtype, x.dims);
  if (x.count == 0) return do_nothing();
  const AxisView view = view_axis(x, axis);
  return or_refuse(with_type<double, float, int64_t, int32_t>(
                       x.dtype,
                       [&](auto zero) {
                         using T = decltype(zero);
                         return cumsum_step<T>(view, is_exclusive, is_reverse, x, out[0]);
                       }),
                   node, x);
}

// ---- Softmax ----

// `offset` is the index of x[0] in its tensor; see fold_packets().
template <typename T, bool is_log>
void softmax_row(const T* x, int64_t count, int64_t offset, T* y) {
  const T greatest = fold_packets(x, count, offset, Itself(), BetterOf<Greater>());
  for (int64_t i = 0; i < count; ++i) y[i] = std::exp(x[i] - greatest);
  const T sum = fold_packets(y, count, 0, Itself(), Plus());
  if constexpr (is_log) {
    // The sum is at least 1, or NaN. For double, ONNX Runtime replaces a sum that is NaN by this
    // limit, so a NaN element need not make the whole row NaN.
    constexpr T kLimit = 1e-20F;
    const bool is_limited = std::is_same_v<T, double> && !(sum > kLimit);
    const T log_sum = std::log(is_limited ? kLimit : sum);
    for (int64_t i = 0; i < count; ++i) y[i] = (x[i] - greatest) - log_sum;
  } else {
    for (int64_t i = 0; i < count; ++i) y[i] /= sum;
  }
}

template <typename T, bool is_log>
std::unique_ptr<Step> softmax_step(AxisView view, const Tensor& x, const Tensor* out) {
  if (view.inner == 1) {
    return make_step([view, &x, out](const Interrupt& interrupt) {
      for (int64_t i = 0; i < view.outer; ++i) {
        if (i % kRowsPerPoll == 0) interrupt.poll();
        const int64_t at = i * view.size;
        softmax_row<T, is_log>(x.as<T>() + at, view.size, at, out->as<T>() + at);
      }
    });
  }
  std::vector<T> scratch(static_cast<size_t>(view.size) * 2);
  return make_step(
      [view, &x, out, scratch = std::move(scratch)](const Interrupt& interrupt) mutable {
        T* column = scratch.data();
        T* result = column + view.size;
        for (int64_t i = 0; i < view.outer; ++i) {
          for (int64_t c = 0; c < view.inner; ++c) {
            interrupt.poll();
            const int64_t at = i * view.size * view.inner + c;
            const T* from = x.as<T>() + at;
            T* to = out->as<T>() + at;
            for (int64_t k = 0; k < view.size; ++k) column[k] = from[k * view.inner];
            // ONNX Runtime transposes the tensor, so the offset is that in the transposed one.
            const int64_t row = i * view.inner + c;
            softmax_row<T, is_log>(column, view.size, row * view.size, result);
            for (int64_t k = 0; k < view.size; ++k) to[k * view.inner] = result[k];
          }
        }
      });
}

// Before version 13, all axes from `axis` on are merged into one.
template <bool is_log>
std::unique_ptr<Step> prepare_softmax(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const bool is_flattened = node.version < 13;
  const size_t axis = normal_axis(node, node.integer("axis", is_flattened ? 1 : -1), x.rank());
  out[0]->shape(x.dtype, x.dims);
  if (x.count == 0) return do_nothing();
  AxisView view = view_axis(x, axis);
  if (is_flattened) {
    view.size *= view.inner;
    view.inner = 1;
  }
  return or_refuse(with_type<double, float>(x.dtype,
                                            [&](auto zero) {
                                              using T = decltype(zero);
                                              return softmax_step<T, is_log>(view, x, out[0]);
                                            }),
                   node, x);
}

// ---- LpNormalization ----

// Divides by the sum of the absolute values, or by the root of the sum of squares (`is_squared`).
// If that is 0, the results are 0.
template <typename T, bool is_squared>
std::unique_ptr<Step> normalize_step(AxisView view, const Tensor& x, const Tensor* out) {
  const auto term = [](T value) { return is_squared ? value * value : std::fabs(value); };
  if (view.inner == 1) {
    return make_step([view, &x, out, term](const Interrupt& interrupt) {
      const T* row = x.as<T>();
      T* to = out->as<T>();
      for (int64_t i = 0; i < view.outer; ++i, row += view.size, to += view.size) {
        if (i % kRowsPerPoll == 0) interrupt.poll();
        T norm = 0;
        for (int64_t k = 0; k < view.size; ++k) norm += term(row[k]);
        if (is_squared) norm = std::sqrt(norm);
        for (int64_t k = 0; k < view.size; ++k) to[k] = norm == T{0} ? T{0} : row[k] / norm;
      }
    });
  }
  std::vector<T> norms(static_cast<size_t>(view.inner));
  return make_step(
      [view, &x, out, term, norms = std::move(norms)](const Interrupt& interrupt) mutable {
        const T* from = x.as<T>();
        T* to = out->as<T>();
        T* norm = norms.data();
        for (int64_t i = 0; i < view.outer; ++i) {
          std::fill(norms.begin(), norms.end(), T{0});
          const T* row = from;
          for (int64_t k = 0; k < view.size; ++k, row += view.inner) {
            interrupt.poll();
            for (int64_t c = 0; c < view.inner; ++c) norm[c] += term(row[c]);
          }
          if (is_squared) {
            for (T& each : norms) each = std::sqrt(each);
          }
          for (int64_t k = 0; k < view.size; ++k, from += view.inner, to += view.inner) {
            interrupt.poll();
            for (int64_t c = 0; c < view.inner; ++c)
              to[c] = norm[c] == T{0} ? T{0} : from[c] / norm[c];
          }
        }
      });
}

std::unique_ptr<Step> prepare_lp_normalization(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const size_t axis = normal_axis(node, node.integer("axis", -1), x.rank());
  const int64_t p = node.integer("p", 2);
  if (p != 1 && p != 2)
    refuse_node(node, SIDECALL_FILE_INVALID, "p: expected 1 or 2, got " + std::to_string(p));
  out[0]->shape(x.dtype, x.dims);
  if (x.count == 0) return do_nothing();
  const AxisView view = view_axis(x, axis);
  return or_refuse(with_type<double, float>(x.dtype,
                                            [&](auto zero) {
                                              using T = decltype(zero);
                                              return p == 1
                                                         ? normalize_step<T, false>(view, x, out[0])
                                                         : normalize_step<T, true>(view, x, out[0]);
                                            }),
                   node, x);
}

}  // namespace

const std::vector<OperatorEntry>& axis_operators() {
  static const auto* all = new std::vector<OperatorEntry>{
      {"", "ArgMax", 1, kAnyVersion, make_plain<prepare_arg<Greater>>, rows::along<0>},
      {"", "ArgMin", 1, kAnyVersion, make_plain<prepare_arg<Less>>, rows::along<0>},
      {"", "TopK", 10, kAnyVersion, make_plain<prepare_topk>, rows::along<-1>, 2, 2},
      {"", "CumSum", 11, kAnyVersion, make_plain<prepare_cumsum>, rows::cumsum},
      {"", "LpNormalization", 1, kAnyVersion, make_plain<prepare_lp_normalization>,
       rows::along<-1>},
      {"", "Softmax", 1, kAnyVersion, make_plain<prepare_softmax<false>>, rows::softmax},
      {"", "LogSoftmax", 1, kAnyVersion, make_plain<prepare_softmax<true>>, rows::softmax},
  };
  return *all;
}

}  // namespace sidecall::native
