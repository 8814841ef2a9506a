// Compares numbers with their bounds; see bounds_check.h. Used by the checks of inputs and results.
#include "bounds_check.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

namespace sidecall {
namespace {

// A vector of two or four numbers that are compared at once, which every 64-bit CPU can do.
// Compilers do not vectorise these loops for double by themselves.
template <typename Number>
struct Lanes {
  using Word = typename Bounds<Number>::Word;
  static constexpr size_t kCount = 16 / sizeof(Number);
  typedef Number Numbers __attribute__((vector_size(16)));
  // Masks are combined as other numbers: GCC 12 computes with single numbers where it sees that
  // masks of double are combined.
  typedef int32_t Bits __attribute__((vector_size(16)));
  static constexpr size_t kBits = 4;

  template <typename Vector, typename Element>
  static Vector load(const Element* from) {
    Vector vector;
    std::memcpy(&vector, from, sizeof vector);
    return vector;
  }
};

// The bounds for a sequence of numbers: separate bounds for each number (step 1), or the same
// bounds for all of them (step 0).
template <typename Number>
struct Limits {
  const Number *low, *high;
  const typename Bounds<Number>::Word* refuses_missing;
  size_t step = 1;
};

// Whether all numbers are within their bounds. Compares all of them and decides once at the end.
template <typename Number>
bool is_within(const Number* values, size_t count, Limits<Number> limits) {
  using Lane = Lanes<Number>;
  using Numbers = typename Lane::Numbers;
  using Bits = typename Lane::Bits;
  Bits found = {};
  size_t i = 0;
  for (; i + Lane::kCount <= count; i += Lane::kCount) {
    const size_t at = i * limits.step;
    const auto number = Lane::template load<Numbers>(values + i);
    found |= reinterpret_cast<Bits>(number < Lane::template load<Numbers>(limits.low + at));
    found |= reinterpret_cast<Bits>(number > Lane::template load<Numbers>(limits.high + at));
    found |= reinterpret_cast<Bits>(number != number) &
             Lane::template load<Bits>(limits.refuses_missing + at);
  }
  bool is_outside = false;
  for (size_t lane = 0; lane < Lane::kBits; ++lane) is_outside |= found[lane] != 0;
  for (; i < count; ++i) {
    const size_t at = i * limits.step;
    is_outside |= (values[i] < limits.low[at]) | (values[i] > limits.high[at]) |
                  (values[i] != values[i] && limits.refuses_missing[at] != 0);
  }
  return !is_outside;
}

template <typename Number>
bool is_within(const Number* values, size_t count, Number lowest, Number highest,
               typename Bounds<Number>::Word refuses_missing) {
  std::array<Number, Lanes<Number>::kCount> low, high;
  std::array<typename Bounds<Number>::Word, Lanes<Number>::kCount> missing;
  low.fill(lowest);
  high.fill(highest);
  missing.fill(refuses_missing);
  return is_within(values, count, Limits<Number>{low.data(), high.data(), missing.data(), 0});
}

// The same for rows of which no number may be missing. A NaN is within no bounds, so two
// comparisons are enough. The bounds are loaded once for several rows.
template <typename Number>
bool are_within(const Bounds<Number>& bounds, const Number* values, int64_t rows) {
  using Lane = Lanes<Number>;
  using Numbers = typename Lane::Numbers;
  using Bits = typename Lane::Bits;
  constexpr int64_t kRows = 4;
  const auto width = static_cast<int64_t>(bounds.low.size());
  constexpr auto kLanes = static_cast<int64_t>(Lane::kCount);
  Bits within = ~Bits{};
  bool is_outside = false;
  for (int64_t row = 0; row < rows; row += kRows, values += kRows * width) {
    const int64_t count = std::min(kRows, rows - row);
    int64_t i = 0;
    for (; count == kRows && i + kLanes <= width; i += kLanes) {
      const auto low = Lane::template load<Numbers>(bounds.low.data() + i);
      const auto high = Lane::template load<Numbers>(bounds.high.data() + i);
      for (int64_t k = 0; k < kRows; ++k) {
        const auto number = Lane::template load<Numbers>(values + k * width + i);
        within &= reinterpret_cast<Bits>(number >= low);
        within &= reinterpret_cast<Bits>(number <= high);
      }
    }
    for (; i < width; ++i) {
      const auto at = static_cast<size_t>(i);
      for (int64_t k = 0; k < count; ++k) {
        const Number number = values[k * width + i];
        is_outside |= !(number >= bounds.low[at] && number <= bounds.high[at]);
      }
    }
  }
  for (size_t lane = 0; lane < Lane::kBits; ++lane) is_outside |= within[lane] == 0;
  return !is_outside;
}

template <typename Number>
bool is_matrix_within(const Bounds<Number>& bounds, const void* data, int64_t rows) {
  // With fewer rows, it takes longer to see which form of the loop is right.
  constexpr int64_t kManyRows = 16;
  const auto* values = static_cast<const Number*>(data);
  const size_t width = bounds.low.size();
  if (width == 1 && rows == 1) {
    const Number value = *values;
    return !(value < bounds.low[0]) && !(value > bounds.high[0]) &&
           (value == value || bounds.refuses_missing[0] == 0);
  }
  const auto& refused = bounds.refuses_missing;
  if (rows >= kManyRows && width > 1 &&
      std::find(refused.begin(), refused.end(), 0) == refused.end())
    return are_within(bounds, values, rows);
  if (width == 1)
    return is_within(values, static_cast<size_t>(rows), bounds.low[0], bounds.high[0],
                     bounds.refuses_missing[0]);
  bool is_clean = true;
  for (int64_t row = 0; row < rows; ++row, values += width)
    is_clean &= is_within(
        values, width,
        Limits<Number>{bounds.low.data(), bounds.high.data(), bounds.refuses_missing.data()});
  return is_clean;
}

template <typename Number>
bool is_sequence_finite(const void* data, int64_t count) {
  constexpr Number kLargest = std::numeric_limits<Number>::max();
  return is_within(static_cast<const Number*>(data), static_cast<size_t>(count), -kLargest,
                   kLargest, typename Bounds<Number>::Word{-1});
}

}  // namespace

bool is_within(const Bounds<float>& bounds, const void* data, int64_t rows) {
  return is_matrix_within(bounds, data, rows);
}

bool is_within(const Bounds<double>& bounds, const void* data, int64_t rows) {
  return is_matrix_within(bounds, data, rows);
}

bool is_within(const Bounds<int64_t>& bounds, const void* data, int64_t rows) {
  return is_matrix_within(bounds, data, rows);
}

bool is_all_finite(const float* values, int64_t count) {
  return is_sequence_finite<float>(values, count);
}

bool is_all_finite(const double* values, int64_t count) {
  return is_sequence_finite<double>(values, count);
}

}  // namespace sidecall
