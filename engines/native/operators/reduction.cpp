// Reductions along axes: sums, products, minima, maxima, ReduceLogSumExp.
//
// The order of the terms decides the last bits of a sum of real numbers, and which element is the
// greatest if there are zeros of both signs or NaN. These operators therefore combine elements in
// the order of ONNX Runtime, which has different loops for different patterns of axes. Sums over
// axes between axes that are kept (Pattern::kMiddle) are an exception: ONNX Runtime computes them
// as matrix products.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "fold.h"
#include "row_rules.h"
#include "tables.h"

namespace sidecall::native {
namespace {

// ---- Which elements a reduction combines ----

// Which axes are reduced, after adjacent axes that are both reduced or both kept were merged. From
// the outermost, with R for reduced and K for kept: kAll is R, kRows KR, kColumns RK, kMiddle KRK,
// kOuterAndInner RKR.
enum class Pattern : uint8_t { kAll, kRows, kColumns, kMiddle, kOuterAndInner, kOther };

// Where the terms of each result are in the input. Result k * kept_size + i has its first term at
// offset kept[k] + i * kept_stride. From there, its terms are at the offsets
// reduced[r] + j * reduced_stride, with j < reduced_size.
struct Reduction {
  Pattern pattern = Pattern::kOther;
  bool is_fast = false;  // ONNX Runtime has a special loop for this pattern with these sizes
  int64_t terms = 1;     // the number of terms of each result
  std::vector<int64_t> kept{0}, reduced{0};
  int64_t kept_size = 1, kept_stride = 0;
  int64_t reduced_size = 1, reduced_stride = 0;
};

struct AxisLoop {
  int64_t size;
  int64_t stride;
  bool is_reduced;
};

// The offsets of all iterations of these nested loops, of which the first is the innermost.
std::vector<int64_t> combine_offsets(const std::vector<AxisLoop>& loops) {
  std::vector<int64_t> offsets{0};
  for (auto loop = loops.rbegin(); loop != loops.rend(); ++loop) {
    std::vector<int64_t> longer;
    longer.reserve(offsets.size() * static_cast<size_t>(loop->size));
    for (const int64_t offset : offsets) {
      for (int64_t i = 0; i < loop->size; ++i) longer.push_back(offset + i * loop->stride);
    }
    offsets = std::move(longer);
  }
  return offsets;
}

Pattern find_pattern(const std::vector<AxisLoop>& loops) {
  const bool is_first_reduced = !loops.empty() && loops.back().is_reduced;
  if (loops.size() == 1) return is_first_reduced ? Pattern::kAll : Pattern::kOther;
  if (loops.size() == 2) return is_first_reduced ? Pattern::kColumns : Pattern::kRows;
  if (loops.size() == 3) return is_first_reduced ? Pattern::kOuterAndInner : Pattern::kMiddle;
  return Pattern::kOther;
}

// The conditions under which ONNX Runtime uses a special loop.
bool find_fast(Pattern pattern, const std::vector<AxisLoop>& loops) {
  if (pattern == Pattern::kRows) return true;
  if (pattern == Pattern::kColumns)
    return loops[1].size > 16 && std::max(loops[0].size, loops[1].size) > 256;
  if (pattern == Pattern::kMiddle) return loops[2].size >= 2;
  return pattern == Pattern::kOuterAndInner && loops[1].size >= 2;
}

// The tensor must have at least one element.
Reduction make_reduction(const Dims& dims, const std::vector<bool>& is_reduced) {
  std::vector<AxisLoop> loops;  // from the innermost
  int64_t stride = 1;
  for (size_t axis = dims.size(); axis-- > 0;) {
    if (!loops.empty() && loops.back().is_reduced == is_reduced[axis])
      loops.back().size *= dims[axis];
    else loops.push_back({dims[axis], stride, is_reduced[axis]});
    stride *= dims[axis];
  }
  Reduction reduction;
  reduction.pattern = find_pattern(loops);
  reduction.is_fast = find_fast(reduction.pattern, loops);
  std::vector<AxisLoop> kept, reduced;
  for (const AxisLoop& loop : loops) {
    if (loop.is_reduced) reduction.terms *= loop.size;
    (loop.is_reduced ? reduced : kept).push_back(loop);
  }
  if (!kept.empty()) {
    reduction.kept_size = kept.front().size;
    reduction.kept_stride = kept.front().stride;
    kept.erase(kept.begin());
    reduction.kept = combine_offsets(kept);
  }
  if (!reduced.empty()) {
    reduction.reduced_size = reduced.front().size;
    reduction.reduced_stride = reduced.front().stride;
    reduced.erase(reduced.begin());
    reduction.reduced = combine_offsets(reduced);
  }
  return reduction;
}

template <typename T, typename Use>
void for_each_term(const Reduction& reduction, const T* first, Use&& use) {
  for (const int64_t offset : reduction.reduced) {
    const T* at = first + offset;
    for (int64_t i = 0; i < reduction.reduced_size; ++i) use(at[i * reduction.reduced_stride]);
  }
}

// ---- Loops ----

// Combines the terms of a result in the order of memory. A Fold is the accumulator of one result:
// Fold(first_term, reduction), then add(term) for all terms, the first included, then result().
template <typename Fold, typename T>
std::unique_ptr<Step> sequential_step(Reduction r, const Tensor& x, const Tensor* out) {
  if (r.reduced_stride == 1) {
    return make_step([r = std::move(r), &x, out](const Interrupt& interrupt) {
      T* to = out->as<T>();
      for (const int64_t offset : r.kept) {
        for (int64_t i = 0; i < r.kept_size; ++i) {
          if (i % kRowsPerPoll == 0) interrupt.poll();
          const T* first = x.as<T>() + offset + i * r.kept_stride;
          Fold fold(*first, r);
          for_each_term(r, first, [&](T term) { fold.add(term); });
          *to++ = fold.result(r);
        }
      }
    });
  }
  // The innermost axis is kept: each of its elements has a Fold, to which the rows are added.
  std::vector<Fold> folds(static_cast<size_t>(r.kept_size), Fold(T{}, r));
  return make_step(
      [r = std::move(r), &x, out, folds = std::move(folds)](const Interrupt& interrupt) mutable {
        T* to = out->as<T>();
        Fold* fold = folds.data();
        for (const int64_t kept : r.kept) {
          const T* first = x.as<T>() + kept;
          for (int64_t i = 0; i < r.kept_size; ++i) fold[i] = Fold(first[i], r);
          for (const int64_t reduced : r.reduced) {
            const T* row = first + reduced;
            for (int64_t k = 0; k < r.reduced_size; ++k, row += r.reduced_stride) {
              interrupt.poll();
              for (int64_t i = 0; i < r.kept_size; ++i) fold[i].add(row[i]);
            }
          }
          for (int64_t i = 0; i < r.kept_size; ++i) *to++ = fold[i].result(r);
        }
      });
}

// Combines the terms of a result in packets (fold_packets), for kAll, kRows and kOuterAndInner.
template <typename T, typename Term, typename Combine, typename Finish>
std::unique_ptr<Step> packet_step(Reduction r, const Tensor& x, const Tensor* out) {
  return make_step([r = std::move(r), &x, out](const Interrupt& interrupt) {
    const T* from = x.as<T>();
    T* to = out->as<T>();
    const auto fold = [&](int64_t offset) {
      return fold_packets(from + offset, r.reduced_size, offset, Term(), Combine());
    };
    for (int64_t i = 0; i < r.kept_size; ++i) {
      if (i % kRowsPerPoll == 0) interrupt.poll();
      const int64_t offset = i * r.kept_stride;
      T total = fold(offset);
      if (r.pattern == Pattern::kOuterAndInner) {
        total = Combine()(Combine::start(from[offset]), total);
        for (size_t k = 1; k < r.reduced.size(); ++k)
          total = Combine()(total, fold(offset + r.reduced[k]));
      }
      to[i] = Finish()(total, r.terms);
    }
  });
}

// ---- Sums and products ----

// What is summed: the elements themselves (Itself), their squares or their absolute values.
struct Square {
  template <typename T>
  T operator()(T x) const {
    return x * x;
  }
};
struct Magnitude {
  template <typename T>
  T operator()(T x) const {
    return std::fabs(x);
  }
};

// What the result is, given the sum and the number of terms.
struct Total {
  template <typename T>
  T operator()(T total, int64_t) const {
    return total;
  }
};
struct Average {
  template <typename T>
  T operator()(T total, int64_t terms) const {
    return total / static_cast<T>(terms);
  }
};
struct Root {
  template <typename T>
  T operator()(T total, int64_t) const {
    return std::sqrt(total);
  }
};

struct Times {
  template <typename T>
  T operator()(T a, T b) const {
    return a * b;
  }
  template <typename T>
  static T start(T) {
    return T{1};
  }
};

// Integers are summed and multiplied as double, as in ONNX Runtime. A result that does not fit
// becomes the nearest integer that does. NaN, such as an infinite product times 0, becomes the
// smallest integer, as in ONNX Runtime on x86-64.
template <typename T>
T saturate(double x) {
  if (x >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  if (x > static_cast<double>(std::numeric_limits<T>::min())) return static_cast<T>(x);
  return std::numeric_limits<T>::min();
}

template <typename T, typename Term, typename Finish>
class RealSum {
 public:
  RealSum(T, const Reduction& r)
      : total_(r.is_fast && r.pattern == Pattern::kColumns ? T{-0.0} : T{0}) {}
  void add(T x) { total_ += Term()(x); }
  T result(const Reduction& r) const { return Finish()(total_, r.terms); }

 private:
  T total_;
};

// `is_compensated`: with Kahan summation, because int64 has more digits than double.
template <typename T, typename Term, typename Finish, bool is_compensated>
class IntegerSum {
 public:
  IntegerSum(T, const Reduction&) {}
  void add(T x) {
    const double term = Term()(static_cast<double>(x));
    if constexpr (is_compensated) {
      const double corrected = term - excess_;
      const double total = total_ + corrected;
      excess_ = (total - total_) - corrected;
      total_ = total;
    } else {
      total_ += term;
    }
  }
  T result(const Reduction& r) const { return saturate<T>(Finish()(total_, r.terms)); }

 private:
  double total_ = 0;
  double excess_ = 0;
};

template <typename T>
class Product {
 public:
  Product(T, const Reduction&) {}
  void add(T x) { total_ *= static_cast<Number>(x); }
  T result(const Reduction&) const {
    if constexpr (std::is_integral_v<T>) return saturate<T>(total_);
    else return total_;
  }

 private:
  using Number = std::conditional_t<std::is_integral_v<T>, double, T>;
  Number total_{1};
};

// An operation of a Reduce operator. kKeepsOne: a single term is its own result. kTakesBool: bool
// is supported. of_nothing(): the result without terms.
template <typename Term, typename Finish>
struct Summation {
  static constexpr bool kKeepsOne = std::is_same_v<Term, Itself>;
  static constexpr bool kTakesBool = false;

  template <typename T>
  static T of_nothing() {
    return T{0};
  }

  template <typename T>
  static std::unique_ptr<Step> step(Reduction r, const Tensor& x, const Tensor* out) {
    if constexpr (std::is_integral_v<T>) {
      const bool is_plain = std::is_same_v<Finish, Average> || r.pattern != Pattern::kRows;
      if (sizeof(T) == 8 && !(kKeepsOne && r.is_fast && is_plain))
        return sequential_step<IntegerSum<T, Term, Finish, true>, T>(std::move(r), x, out);
      return sequential_step<IntegerSum<T, Term, Finish, false>, T>(std::move(r), x, out);
    } else {
      const bool in_rows =
          r.is_fast && (r.pattern == Pattern::kRows || r.pattern == Pattern::kOuterAndInner);
      if (r.pattern == Pattern::kAll || (kKeepsOne && in_rows))
        return packet_step<T, Term, Plus, Finish>(std::move(r), x, out);
      return sequential_step<RealSum<T, Term, Finish>, T>(std::move(r), x, out);
    }
  }
};

struct Multiplication {
  static constexpr bool kKeepsOne = true;
  static constexpr bool kTakesBool = false;

  template <typename T>
  static T of_nothing() {
    return T{1};
  }

  template <typename T>
  static std::unique_ptr<Step> step(Reduction r, const Tensor& x, const Tensor* out) {
    if constexpr (std::is_floating_point_v<T>) {
      if (r.pattern == Pattern::kAll)
        return packet_step<T, Itself, Times, Total>(std::move(r), x, out);
    }
    return sequential_step<Product<T>, T>(std::move(r), x, out);
  }
};

// ---- Extremes ----

template <typename T, typename Better>
class Best {
 public:
  Best(T first, const Reduction&) : best_(first) {}
  void add(T x) { best_ = BetterOf<Better>()(best_, x); }
  T result(const Reduction&) const { return best_; }

 private:
  T best_;
};

// The extreme of each of `count` columns. Eigen combines rows in groups of four (`in_groups`) for
// columns that fill whole packets.
template <typename T, typename Combine>
void fold_columns(const T* x, const Reduction& r, int64_t count, bool in_groups, T* to) {
  const int64_t stride = r.reduced_stride;
  const Combine combine;
  for (int64_t i = 0; i < count; ++i) to[i] = x[i];
  const T* row = x + stride;
  int64_t left = r.reduced_size - 1;
  for (; in_groups && left >= 4; left -= 4, row += 4 * stride) {
    for (int64_t i = 0; i < count; ++i) {
      const T* at = row + i;
      to[i] = combine(to[i],
                      combine(combine(at[0], at[stride]), combine(at[2 * stride], at[3 * stride])));
    }
  }
  for (; left > 0; --left, row += stride) {
    for (int64_t i = 0; i < count; ++i) to[i] = combine(to[i], row[i]);
  }
}

template <typename T, typename Combine>
std::unique_ptr<Step> middle_step(Reduction r, const Tensor& x, const Tensor* out) {
  return make_step([r = std::move(r), &x, out](const Interrupt& interrupt) {
    constexpr int64_t kLanes = 16 / sizeof(T);
    int64_t at = 0;
    for (const int64_t offset : r.kept) {
      interrupt.poll();
      const T* from = x.as<T>() + offset;
      T* to = out->as<T>() + at;
      const int64_t begin = std::min((kLanes - at % kLanes) % kLanes, r.kept_size);
      const int64_t in_packets = (r.kept_size - begin) / kLanes * kLanes;
      const int64_t end = begin + in_packets;
      fold_columns<T, Combine>(from, r, begin, false, to);
      fold_columns<T, Combine>(from + begin, r, in_packets, true, to + begin);
      fold_columns<T, Combine>(from + end, r, r.kept_size - end, false, to + end);
      at += r.kept_size;
    }
  });
}

template <typename Better>
struct Extreme {
  static constexpr bool kKeepsOne = true;
  static constexpr bool kTakesBool = true;

  template <typename T>
  static T of_nothing() {
    using Limits = std::numeric_limits<T>;
    const T low = Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
    const T high = Limits::has_infinity ? Limits::infinity() : Limits::max();
    return Better()(high, low) ? low : high;
  }

  template <typename T>
  static std::unique_ptr<Step> step(Reduction r, const Tensor& x, const Tensor* out) {
    using Combine = BetterOf<Better>;
    if (r.is_fast && r.pattern == Pattern::kMiddle)
      return middle_step<T, Combine>(std::move(r), x, out);
    if (r.pattern == Pattern::kAll || (r.is_fast && r.pattern != Pattern::kColumns))
      return packet_step<T, Itself, Combine, Total>(std::move(r), x, out);
    return sequential_step<Best<T, Better>, T>(std::move(r), x, out);
  }
};

// ---- ReduceLogSumExp ----

struct LogSumExp {
  static constexpr bool kKeepsOne = false;
  static constexpr bool kTakesBool = false;

  template <typename T>
  static T of_nothing() {
    return Extreme<Greater>::of_nothing<T>();
  }

  template <typename T>
  static std::unique_ptr<Step> step(Reduction r, const Tensor& x, const Tensor* out) {
    return make_step([r = std::move(r), &x, out](const Interrupt& interrupt) {
      T* to = out->as<T>();
      for (const int64_t offset : r.kept) {
        for (int64_t i = 0; i < r.kept_size; ++i) {
          if (i % kRowsPerPoll == 0) interrupt.poll();
          const T* first = x.as<T>() + offset + i * r.kept_stride;
          if constexpr (std::is_integral_v<T>) *to++ = of_integers(r, first);
          else *to++ = of_reals(r, first);
        }
      }
    });
  }

 private:
  // exp(term - greatest) is truncated to an integer here, as in ONNX Runtime: it is 1 for the
  // greatest terms and 0 for all others.
  template <typename T>
  static T of_integers(const Reduction& r, const T* first) {
    T greatest = *first;
    for_each_term(r, first, [&](T term) { greatest = std::max(greatest, term); });
    int64_t count = 0;
    for_each_term(r, first, [&](T term) { count += term == greatest; });
    return saturate<T>(std::log(static_cast<double>(count)) + static_cast<double>(greatest));
  }

  template <typename T>
  static T of_reals(const Reduction& r, const T* first) {
    T greatest = greatest_of(r, first);
    if (std::isinf(greatest)) return greatest;
    T sum{0};
    for_each_term(r, first, [&](T term) {
      if (term != -std::numeric_limits<T>::infinity()) sum += std::exp(term - greatest);
    });
    return std::log(sum) + greatest;
  }

  template <typename T>
  static T greatest_of(const Reduction& r, const T* first) {
    if (r.pattern == Pattern::kAll)
      return fold_packets(first, r.reduced_size, 0, Itself(), BetterOf<Greater>());
    T greatest = std::isinf(*first) ? T{0} : *first;
    for_each_term(r, first, [&](T term) {
      if (std::isfinite(term) && !(term < greatest)) greatest = term;
    });
    return greatest;
  }
};

// ---- The Reduce operators ----

// The axes of the node. An empty list means all axes or, with noop_with_empty_axes, none.
std::vector<int64_t> reduced_axes(const Node& node, Inputs in, bool has_axes_input) {
  if (!has_axes_input) return node.integers("axes");
  const Tensor* axes = optional(in, 1);
  if (axes == nullptr) return {};
  if (axes->rank() != 1)
    refuse_node(node, SIDECALL_FILE_INVALID,
                "axes: expected a tensor of rank 1, got rank " + std::to_string(axes->rank()));
  return known_integers(node, *axes);
}

template <typename T>
std::unique_ptr<Step> fill_step(const Tensor* out, T value) {
  return make_step([out, value] { std::fill_n(out->as<T>(), out->count, value); });
}

template <typename Operation, bool has_axes_input>
std::unique_ptr<Step> prepare_reduction(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  if (x.dtype == SIDECALL_DTYPE_BOOL) {
    if (node.version < 20) refuse_type(node, x);
    if (x.count == 0) refuse_node(node, SIDECALL_ENGINE, "expected at least 1 element, got none");
  }
  const std::vector<int64_t> axes = reduced_axes(node, in, has_axes_input);
  const bool is_noop =
      has_axes_input && axes.empty() && node.integer("noop_with_empty_axes", 0) == 1;
  if (is_noop && Operation::kKeepsOne) {
    out[0]->shape(x.dtype, x.dims);
    out[0]->place = x.place;
    return nullptr;
  }
  std::vector<bool> is_reduced(x.dims.size(), axes.empty() && !is_noop);
  for (const int64_t axis : axes) is_reduced[normal_axis(node, axis, x.rank())] = true;
  const bool keep = node.integer("keepdims", 1) == 1;
  Dims dims;
  for (size_t axis = 0; axis < x.dims.size(); ++axis) {
    if (!is_reduced[axis]) dims.push_back(x.dims[axis]);
    else if (keep) dims.push_back(1);
  }
  out[0]->shape(x.dtype, std::move(dims));
  return or_refuse(with_type<double, float, int64_t, int32_t, uint8_t>(
                       x.dtype,
                       [&](auto zero) -> std::unique_ptr<Step> {
                         using T = decltype(zero);
                         if constexpr (std::is_same_v<T, uint8_t> && !Operation::kTakesBool)
                           return nullptr;
                         else if (x.count == 0)
                           return fill_step(out[0], Operation::template of_nothing<T>());
                         else
                           return Operation::template step<T>(make_reduction(x.dims, is_reduced), x,
                                                              out[0]);
                       }),
                   node, x);
}

template <typename Operation, bool has_axes_input>
constexpr MakeOperator reduce() {
  return make_plain<prepare_reduction<Operation, has_axes_input>>;
}

}  // namespace

const std::vector<OperatorEntry>& reduction_operators() {
  using Sum = Summation<Itself, Total>;
  using Mean = Summation<Itself, Average>;
  using SumSquare = Summation<Square, Total>;
  using L1 = Summation<Magnitude, Total>;
  using L2 = Summation<Square, Root>;
  static const auto* all = new std::vector<OperatorEntry>{
      {"", "ReduceSum", 1, 12, reduce<Sum, false>(), rows::reduce_by_attribute},
      {"", "ReduceSum", 13, kAnyVersion, reduce<Sum, true>(), rows::reduce},
      {"", "ReduceMean", 1, 17, reduce<Mean, false>(), rows::reduce_by_attribute},
      {"", "ReduceMean", 18, kAnyVersion, reduce<Mean, true>(), rows::reduce},
      {"", "ReduceSumSquare", 1, 17, reduce<SumSquare, false>(), rows::reduce_by_attribute},
      {"", "ReduceSumSquare", 18, kAnyVersion, reduce<SumSquare, true>(), rows::reduce},
      {"", "ReduceL1", 1, 17, reduce<L1, false>(), rows::reduce_by_attribute},
      {"", "ReduceL1", 18, kAnyVersion, reduce<L1, true>(), rows::reduce},
      {"", "ReduceL2", 1, 17, reduce<L2, false>(), rows::reduce_by_attribute},
      {"", "ReduceL2", 18, kAnyVersion, reduce<L2, true>(), rows::reduce},
      {"", "ReduceProd", 1, 17, reduce<Multiplication, false>(), rows::reduce_by_attribute},
      {"", "ReduceProd", 18, kAnyVersion, reduce<Multiplication, true>(), rows::reduce},
      {"", "ReduceMax", 1, 17, reduce<Extreme<Greater>, false>(), rows::reduce_by_attribute},
      {"", "ReduceMax", 18, kAnyVersion, reduce<Extreme<Greater>, true>(), rows::reduce},
      {"", "ReduceMin", 1, 17, reduce<Extreme<Less>, false>(), rows::reduce_by_attribute},
      {"", "ReduceMin", 18, kAnyVersion, reduce<Extreme<Less>, true>(), rows::reduce},
      {"", "ReduceLogSumExp", 1, 17, reduce<LogSumExp, false>(), rows::reduce_by_attribute},
      // ONNX Runtime 1.32 computes version 28 as a function of other operators, with other results
      // for NaN.
      {"", "ReduceLogSumExp", 18, 27, reduce<LogSumExp, true>(), rows::reduce},
  };
  return *all;
}

}  // namespace sidecall::native
