// Matrix products: MatMul and Gemm.
//
// The right operand is packed into panels, so that the innermost loop reads it sequentially. A
// constant operand is packed once, when the model is opened. The terms of a result are always added
// in the same order, so a result depends neither on the number of rows nor on the processor.
//
// With several columns, terms are added one after the other by fused multiply-add, as ONNX Runtime
// and OpenBLAS do. Sums whose terms cancel, such as those of likelihoods, are thus rounded as in
// the original model.
#include <algorithm>
#include <array>
#include <cstring>

#include "broadcast.h"
#include "core/buffer.h"
#include "core/error.h"
#include "engines/native/trees/kernels/vectors.h"
#include "row_rules.h"
#include "tables.h"

namespace sidecall::native {
namespace {

// A matrix with any stride in either dimension, in elements.
template <typename T>
struct View {
  const T* data;
  int64_t row_stride, column_stride;
};

// ---- Panels ----

// A panel holds some columns of the right operand, row by row. Its width is 1, 2, 4, 8 or 16 times
// kUnit; the columns that are missing at the end are zeros. A matrix with one column is one panel
// without padding.
template <typename T>
constexpr int64_t kUnit = 16 / sizeof(T);
constexpr int64_t kMaxUnits = 16;  // as many as 8 registers of AVX2 hold

// Returns the width of the next panel, in units. `columns`: how many columns are left.
template <typename T>
int64_t units_for(int64_t columns) {
  int64_t units = 1;
  while (units < kMaxUnits / 2 && units * kUnit<T> < columns) units *= 2;
  return columns < kMaxUnits * kUnit<T> ? units : kMaxUnits;
}

template <typename T>
uint64_t packed_bytes(int64_t terms, int64_t columns) {
  if (columns == 1) return static_cast<uint64_t>(terms) * sizeof(T);
  constexpr int64_t kWidest = kMaxUnits * kUnit<T>;
  int64_t width = columns / kWidest * kWidest;
  while (width < columns) width += units_for<T>(columns - width) * kUnit<T>;
  return static_cast<uint64_t>(terms) * static_cast<uint64_t>(width) * sizeof(T);
}

template <typename T>
void pack(const View<T>& matrix, int64_t terms, int64_t columns, T* to) {
  if (columns == 1) {
    for (int64_t k = 0; k < terms; ++k) to[k] = matrix.data[k * matrix.row_stride];
    return;
  }
  int64_t width = 0;
  for (int64_t first = 0; first < columns; first += width) {
    width = units_for<T>(columns - first) * kUnit<T>;
    const int64_t used = std::min(width, columns - first);
    for (int64_t k = 0; k < terms; ++k, to += width) {
      const T* from = matrix.data + k * matrix.row_stride + first * matrix.column_stride;
      for (int64_t i = 0; i < used; ++i) to[i] = from[i * matrix.column_stride];
      std::fill(to + used, to + width, T{0});
    }
  }
}

// ---- Kernels ----

// The loops over lanes have a constant length, so that the compiler uses the vector instructions of
// the function that the kernel is inlined into.

// a * b + sum, rounded once. On processors without such an instruction, functions of the C library
// compute the same.
__attribute__((always_inline)) inline double multiply_add(double a, double b, double sum) {
  return __builtin_fma(a, b, sum);
}
__attribute__((always_inline)) inline float multiply_add(float a, float b, float sum) {
  return __builtin_fmaf(a, b, sum);
}

// Numbers that the compiler keeps in one register, or in two if the processor has no larger ones.
template <typename T, int64_t kCount>
struct VectorOf {
  typedef T type __attribute__((vector_size(kCount * sizeof(T))));
};

// The products of some rows and a panel. Additions to one sum depend on each other, so the sums of
// several rows are computed together.
template <typename T, int64_t kWidth, int64_t kRows>
__attribute__((always_inline)) inline void multiply_panel(const T* rows, const T* panel,
                                                          int64_t terms, T* sums) {
  constexpr int64_t kLanes = std::min<int64_t>(kWidth, 32 / sizeof(T));
  constexpr int64_t kVectors = kWidth / kLanes;
  using Vector = typename VectorOf<T, kLanes>::type;
  Vector totals[kRows * kVectors] = {};
  for (int64_t k = 0; k < terms; ++k, panel += kWidth) {
#pragma GCC unroll 8
    for (int64_t row = 0; row < kRows; ++row) {
      const T factor = rows[row * terms + k];
#pragma GCC unroll 8
      for (int64_t i = 0; i < kVectors; ++i) {
        Vector factors, total = totals[row * kVectors + i];
        std::memcpy(&factors, panel + i * kLanes, sizeof factors);
#pragma GCC unroll 8
        for (int64_t lane = 0; lane < kLanes; ++lane)
          total[lane] = multiply_add(factor, factors[lane], total[lane]);
        totals[row * kVectors + i] = total;
      }
    }
  }
  std::memcpy(sums, totals, sizeof totals);
}

// The product of a row and a column. Additions to one sum depend on each other, so there are eight
// sums, which take turns and are added up at the end. Their type is double: products of float32
// numbers are exact in it, and sums that cancel keep their digits.
template <typename T>
__attribute__((always_inline)) inline T multiply_column(const T* row, const T* column,
                                                        int64_t terms) {
  constexpr int64_t kTurns = 8;
  double totals[kTurns] = {};
  int64_t k = 0;
  for (; k + kTurns <= terms; k += kTurns) {
#pragma GCC unroll 1
    for (int64_t i = 0; i < kTurns; ++i)
      totals[i] += static_cast<double>(row[k + i]) * static_cast<double>(column[k + i]);
  }
  for (int64_t i = 0; k < terms; ++i, ++k)
    totals[i] += static_cast<double>(row[k]) * static_cast<double>(column[k]);
  for (int64_t half = kTurns / 2; half > 0; half /= 2) {
    for (int64_t i = 0; i < half; ++i) totals[i] += totals[i + half];
  }
  return static_cast<T>(totals[0]);
}

// ---- Products ----

struct Sizes {
  int64_t rows = 0, terms = 0, columns = 0;
  bool has_avx2 = false;  // the processor has AVX2 and fused multiply-add
};

// A panel is multiplied with this many rows while it is in the cache.
constexpr int64_t kRowsPerBlock = 16;

// Multiplies `rows` rows of the left operand, without gaps, by the panels of the right operand, and
// writes the results to `to`, row by row. `bias`, [columns], or null, is added to each row.
template <typename T>
__attribute__((always_inline)) inline void multiply_here(const Sizes& sizes, int64_t rows,
                                                         const T* left, const T* panels,
                                                         const T* bias, T* to) {
  if (sizes.columns == 1) {
    for (int64_t i = 0; i < rows; ++i)
      to[i] = multiply_column(left + i * sizes.terms, panels, sizes.terms);
    if (bias != nullptr) {
      for (int64_t i = 0; i < rows; ++i) to[i] += bias[0];
    }
    return;
  }
  const T* panel = panels;
  int64_t width = 0;
  for (int64_t first = 0; first < sizes.columns; first += width) {
    const int64_t units = units_for<T>(sizes.columns - first);
    width = units * kUnit<T>;
    const int64_t used = std::min(width, sizes.columns - first);
    const auto rows_by_panel = [&](auto constant) __attribute__((always_inline)) {
      constexpr int64_t kUnits = decltype(constant)::value, kWidth = kUnits * kUnit<T>;
      constexpr int64_t kRows = std::min<int64_t>(kMaxUnits / kUnits, 8);  // at once
      T sums[kRows * kWidth];
      const auto store = [&](int64_t i, int64_t count) __attribute__((always_inline)) {
        for (int64_t row = 0; row < count; ++row) {
          const T* from = sums + row * kWidth;
          T* results = to + (i + row) * sizes.columns + first;
          if (bias != nullptr) {
            for (int64_t j = 0; j < used; ++j) results[j] = from[j] + bias[first + j];
          } else {
            std::copy_n(from, used, results);
          }
        }
      };
      int64_t i = 0;
      for (; i + kRows <= rows; i += kRows) {
        multiply_panel<T, kWidth, kRows>(left + i * sizes.terms, panel, sizes.terms, sums);
        store(i, kRows);
      }
      for (; i < rows; ++i) {
        multiply_panel<T, kWidth, 1>(left + i * sizes.terms, panel, sizes.terms, sums);
        store(i, 1);
      }
    };
    if (units == 16) rows_by_panel(std::integral_constant<int64_t, 16>());
    else if (units == 8) rows_by_panel(std::integral_constant<int64_t, 8>());
    else if (units == 4) rows_by_panel(std::integral_constant<int64_t, 4>());
    else if (units == 2) rows_by_panel(std::integral_constant<int64_t, 2>());
    else rows_by_panel(std::integral_constant<int64_t, 1>());
    panel += sizes.terms * width;
  }
}

#if defined(__x86_64__)
// The same operations, compiled with AVX2 and fused multiply-add.
template <typename T>
__attribute__((target("avx2,fma"))) void multiply_avx2(const Sizes& sizes, int64_t rows,
                                                       const T* left, const T* panels,
                                                       const T* bias, T* to) {
  multiply_here(sizes, rows, left, panels, bias, to);
}
#endif

template <typename T>
void multiply_rows(const Sizes& sizes, int64_t rows, const T* left, const T* panels, const T* bias,
                   T* to) {
#if defined(__x86_64__)
  if (sizes.has_avx2) {
    multiply_avx2(sizes, rows, left, panels, bias, to);
    return;
  }
#endif
  multiply_here(sizes, rows, left, panels, bias, to);
}

// Writes the product of `left`, [rows, terms] without gaps, and the panels of the right operand to
// `to`, [rows, columns]. `bias`, [columns], or null, is added to each row.
template <typename T>
void multiply(const Sizes& sizes, const T* left, const T* panels, const T* bias,
              const Interrupt& interrupt, T* to) {
  for (int64_t block = 0; block < sizes.rows; block += kRowsPerBlock) {
    interrupt.poll();
    const int64_t rows = std::min(kRowsPerBlock, sizes.rows - block);
    multiply_rows(sizes, rows, left + block * sizes.terms, panels, bias,
                  to + block * sizes.columns);
  }
}

// The panels of the right operand: packed when the node was compiled, or else in each run.
class RightOperand {
 public:
  RightOperand(const Buffer* compiled, uint64_t bytes) : compiled_(compiled) {
    if (compiled == nullptr) buffer_.reserve(bytes);
  }

  template <typename T>
  const T* panels(const View<T>& matrix, const Sizes& sizes) {
    if (compiled_ != nullptr) return static_cast<const T*>(compiled_->data());
    T* to = static_cast<T*>(buffer_.data());
    pack(matrix, sizes.terms, sizes.columns, to);
    return to;
  }

 private:
  const Buffer* compiled_;
  Buffer buffer_;
};

template <typename T>
View<T> right_view(const T* data, const Sizes& sizes, bool is_transposed) {
  if (is_transposed) return {data, 1, sizes.terms};
  return {data, sizes.columns, 1};
}

// The panels of a constant right operand: a matrix, or a vector, which counts as one column.
template <typename T>
std::unique_ptr<Buffer> pack_constant(const Constant& b, bool is_transposed) {
  const bool is_column = b.dims.size() == 1;
  Sizes sizes{0, b.dims[0], is_column ? 1 : b.dims[1]};
  if (is_transposed) std::swap(sizes.terms, sizes.columns);
  const T* data = static_cast<const T*>(b.place.data);
  auto buffer = std::make_unique<Buffer>();
  buffer->reserve(packed_bytes<T>(sizes.terms, sizes.columns));
  pack(right_view(data, sizes, is_transposed), sizes.terms, sizes.columns,
       static_cast<T*>(buffer->data()));
  return buffer;
}

// Packs a constant right operand (input 1), and has the checks that MatMul and Gemm share.
class MatrixOperator : public Operator {
 protected:
  MatrixOperator(const Compile& compile, bool is_transposed)
      : node_(compile.node),
        has_avx2_(chosen_vectors() == Vectors::kAvx2 || chosen_vectors() == Vectors::kAvx512) {
    const Constant* b = compile.constant(1);
    if (b == nullptr || b->dims.empty() || b->dims.size() > 2 || b->count == 0) return;
    if (b->dtype == SIDECALL_DTYPE_FLOAT64) packed_ = pack_constant<double>(*b, is_transposed);
    if (b->dtype == SIDECALL_DTYPE_FLOAT32) packed_ = pack_constant<float>(*b, is_transposed);
  }

  [[noreturn]] void refuse(int32_t status, const std::string& problem) const {
    refuse_node(node_, status, problem);
  }

  // Throws unless both are float64 or both are float32.
  void check_types(const Tensor& a, const Tensor& b) const {
    require_same_types(node_, a, b);
    if (a.dtype != SIDECALL_DTYPE_FLOAT64 && a.dtype != SIDECALL_DTYPE_FLOAT32)
      refuse_type(node_, a);
  }

  void check_terms(int64_t left, int64_t right) const {
    if (left != right)
      refuse(SIDECALL_ENGINE, "expected rows and columns of equal length, got rows of " +
                                  std::to_string(left) + " elements and columns of " +
                                  std::to_string(right));
  }

  const Node& node_;
  const bool has_avx2_;
  std::unique_ptr<Buffer> packed_;
};

template <typename T>
std::unique_ptr<Step> zero_step(const Tensor* out) {
  return make_step([out] { std::fill_n(out->as<T>(), out->count, T{0}); });
}

// ---- MatMul ----

class MatMul final : public MatrixOperator {
 public:
  explicit MatMul(const Compile& compile) : MatrixOperator(compile, false) {}

  std::unique_ptr<Step> prepare(Inputs in, Outputs out) const override {
    const Tensor& a = required(node_, in, 0);
    const Tensor& b = required(node_, in, 1);
    check_types(a, b);
    if (a.rank() == 0 || b.rank() == 0)
      refuse(SIDECALL_FILE_INVALID, "expected rank 1 or more, got an operand of rank 0");
    // A vector counts as one row on the left, and as one column on the right.
    Dims left = a.dims, right = b.dims;
    if (left.size() == 1) left.insert(left.begin(), 1);
    if (right.size() == 1) right.push_back(1);
    Sizes sizes{left[left.size() - 2], left.back(), right.back(), has_avx2_};
    check_terms(sizes.terms, right[right.size() - 2]);
    Tensor left_batch, right_batch;
    left_batch.shape(a.dtype, Dims(left.begin(), left.end() - 2));
    right_batch.shape(b.dtype, Dims(right.begin(), right.end() - 2));
    const Broadcast<2> batches({&left_batch, &right_batch});
    Dims dims = batches.dims();
    if (a.rank() > 1) dims.push_back(sizes.rows);
    if (b.rank() > 1) dims.push_back(sizes.columns);
    out[0]->shape(a.dtype, std::move(dims));
    // If all products have the same right matrix, treat the left matrices as one tall matrix.
    if (right_batch.count == 1) sizes.rows *= left_batch.count;
    return a.dtype == SIDECALL_DTYPE_FLOAT64
               ? step<double>(sizes, right_batch.count == 1, batches, a, b, out[0])
               : step<float>(sizes, right_batch.count == 1, batches, a, b, out[0]);
  }

 private:
  template <typename T>
  std::unique_ptr<Step> step(const Sizes& sizes, bool has_one_right, const Broadcast<2>& batches,
                             const Tensor& a, const Tensor& b, const Tensor* out) const {
    if (out->count == 0 || sizes.terms == 0) return zero_step<T>(out);
    std::vector<std::array<int64_t, 2>> pairs;  // by product: indices of the left and right matrix
    if (has_one_right) {
      pairs.push_back({0, 0});
    } else {
      batches.for_each([&](int64_t count, const std::array<int64_t, 2>& offsets, int64_t) {
        for (int64_t i = 0; i < count; ++i)
          pairs.push_back({offsets[0] + i * batches.stride(0), offsets[1] + i * batches.stride(1)});
      });
    }
    RightOperand operand(packed_.get(), packed_bytes<T>(sizes.terms, sizes.columns));
    return make_step([sizes, pairs = std::move(pairs), operand = std::move(operand), &a, &b,
                      out](const Interrupt& interrupt) mutable {
      T* to = out->as<T>();
      const T* panels = nullptr;
      int64_t packed = -1;  // the index of the right matrix that `panels` holds
      for (const auto& [left, right] : pairs) {
        if (right != packed) {
          const int64_t offset = right * sizes.terms * sizes.columns;
          panels = operand.panels(right_view(b.as<T>() + offset, sizes, false), sizes);
          packed = right;
        }
        multiply(sizes, a.as<T>() + left * sizes.rows * sizes.terms, panels,
                 static_cast<const T*>(nullptr), interrupt, to);
        to += sizes.rows * sizes.columns;
      }
    });
  }
};

// ---- Gemm ----

// alpha * A * B + beta * C
class Gemm final : public MatrixOperator {
 public:
  explicit Gemm(const Compile& compile)
      : MatrixOperator(compile, compile.node.integer("transB", 0) != 0),
        transposes_a_(compile.node.integer("transA", 0) != 0),
        transposes_b_(compile.node.integer("transB", 0) != 0),
        alpha_(compile.node.real("alpha", 1)),
        beta_(compile.node.real("beta", 1)) {}

  std::unique_ptr<Step> prepare(Inputs in, Outputs out) const override {
    const Tensor& a = required(node_, in, 0);
    const Tensor& b = required(node_, in, 1);
    const Tensor* c = optional(in, 2);
    check_types(a, b);
    if (a.rank() != 2 || b.rank() != 2)
      refuse(SIDECALL_FILE_INVALID, "expected two matrices, got an operand that is not a matrix");
    const Sizes sizes{a.dims[transposes_a_ ? 1 : 0], a.dims[transposes_a_ ? 0 : 1],
                      b.dims[transposes_b_ ? 0 : 1], has_avx2_};
    check_terms(sizes.terms, b.dims[transposes_b_ ? 1 : 0]);
    if (c != nullptr) check_addend(a, *c, sizes);
    out[0]->shape(a.dtype, {sizes.rows, sizes.columns});
    return a.dtype == SIDECALL_DTYPE_FLOAT64 ? step<double>(sizes, a, b, c, out[0])
                                             : step<float>(sizes, a, b, c, out[0]);
  }

 private:
  void check_addend(const Tensor& a, const Tensor& c, const Sizes& sizes) const {
    check_types(a, c);
    const size_t rank = c.dims.size();
    const int64_t rows = rank < 2 ? 1 : c.dims[0];
    const int64_t columns = rank == 0 ? 1 : c.dims.back();
    if (rank > 2 || (rows != 1 && rows != sizes.rows) || (columns != 1 && columns != sizes.columns))
      refuse(SIDECALL_ENGINE, "C does not broadcast to [" + std::to_string(sizes.rows) + "," +
                                  std::to_string(sizes.columns) + "]");
  }

  template <typename T>
  std::unique_ptr<Step> step(const Sizes& sizes, const Tensor& a, const Tensor& b, const Tensor* c,
                             const Tensor* out) const {
    if (out->count == 0) return zero_step<T>(out);
    const bool is_left_transposed = transposes_a_, is_right_transposed = transposes_b_;
    const T alpha = alpha_, beta = beta_;
    if (beta == T{0}) c = nullptr;
    const int64_t columns_of_c = c == nullptr || c->rank() == 0 ? 1 : c->dims.back();
    const int64_t c_column = columns_of_c == 1 ? 0 : 1;
    const int64_t c_row = c == nullptr || c->rank() < 2 || c->dims[0] == 1 ? 0 : columns_of_c;
    // Most models have such a bias: one addition suffices, without products with 1.
    const bool is_bias = c != nullptr && alpha == T{1} && beta == T{1} && c_row == 0 &&
                         (c_column == 1 || sizes.columns == 1);
    Buffer rows;
    if (transposes_a_) rows.reserve(static_cast<uint64_t>(a.count) * sizeof(T));
    RightOperand operand(packed_.get(), packed_bytes<T>(sizes.terms, sizes.columns));
    return make_step([=, &a, &b, rows = std::move(rows),
                      operand = std::move(operand)](const Interrupt& interrupt) mutable {
      const T* left = a.as<T>();
      if (is_left_transposed) left = transpose(left, sizes, static_cast<T*>(rows.data()));
      const T* panels = operand.panels(right_view(b.as<T>(), sizes, is_right_transposed), sizes);
      T* to = out->as<T>();
      multiply(sizes, left, panels, is_bias ? c->as<T>() : nullptr, interrupt, to);
      if (is_bias || (c == nullptr && alpha == T{1})) return;
      const T* addend = c == nullptr ? nullptr : c->as<T>();
      for (int64_t i = 0; i < sizes.rows; ++i, to += sizes.columns) {
        for (int64_t j = 0; j < sizes.columns; ++j) {
          to[j] *= alpha;
          if (addend != nullptr) to[j] += beta * addend[i * c_row + j * c_column];
        }
      }
    });
  }

  // Writes a [terms, rows] matrix as [rows, terms].
  template <typename T>
  static const T* transpose(const T* from, const Sizes& sizes, T* to) {
    for (int64_t i = 0; i < sizes.rows; ++i) {
      for (int64_t k = 0; k < sizes.terms; ++k) to[i * sizes.terms + k] = from[k * sizes.rows + i];
    }
    return to;
  }

  const bool transposes_a_, transposes_b_;
  const float alpha_, beta_;
};

template <typename MatrixOperation>
std::unique_ptr<Operator> make_matrix_operator(const Compile& compile) {
  return std::make_unique<MatrixOperation>(compile);
}

}  // namespace

const std::vector<OperatorEntry>& matrix_operators() {
  static const auto* all = new std::vector<OperatorEntry>{
      {"", "MatMul", 1, kAnyVersion, make_matrix_operator<MatMul>, rows::matmul},
      {"", "Gemm", 7, kAnyVersion, make_matrix_operator<Gemm>, rows::gemm},
  };
  return *all;
}

}  // namespace sidecall::native
