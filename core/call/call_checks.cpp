// The checks of a call. Before a run they refuse values for which the graph would silently compute
// an answer. After the run they throw an error if the model refuses a row.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "call.h"
#include "core/contract/feature_refusal.h"

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
bool is_within(const Bounds<Number>& bounds, const void* data, int64_t rows) {
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
bool is_all_finite(const void* data, int64_t count) {
  constexpr Number kLargest = std::numeric_limits<Number>::max();
  return is_within(static_cast<const Number*>(data), static_cast<size_t>(count), -kLargest,
                   kLargest, typename Bounds<Number>::Word{-1});
}

int64_t any_of(const int64_t* values, int64_t count) {
  int64_t found = 0;
  for (int64_t i = 0; i < count; ++i) found |= values[i];
  return found;
}

// Whether one of the values is `wanted`. Compares all of them, without a branch for each.
template <typename Number>
bool has(const Number* values, int64_t count, Number wanted) {
  bool found = false;
  for (int64_t i = 0; i < count; ++i) found |= values[i] == wanted;
  return found;
}

template <typename Number>
bool is_missing(const Feature& feature, Number value) {
  if constexpr (std::is_floating_point_v<Number>) return std::isnan(value);
  else
    return (feature.nullable || feature.is_datetime()) &&
           feature.tensor_dtype == SIDECALL_DTYPE_INT64 &&
           static_cast<int64_t>(value) == feature.missing_int;
}

template <typename Number>
int64_t integer_of(Number value) {
  if constexpr (std::is_integral_v<Number>) return static_cast<int64_t>(value);
  else return 0;
}

constexpr const char* kFinite = "finite numbers";
constexpr const char* kOthers = "others";

}  // namespace

std::optional<Refusal> refusal_of(const Feature& feature, double number, int64_t integer) {
  if (feature.is_closed && feature.allowed_numbers.count(number) == 0)
    return Refusal{SIDECALL_UNKNOWN_CATEGORY, "a known category", "an unknown one"};
  if (feature.domain.holds(number) && feature.domain.holds(integer)) return std::nullopt;
  return Refusal{SIDECALL_OUT_OF_RANGE, describe_domain(feature),
                 std::isinf(number) ? "an infinite one" : "another"};
}

std::optional<Refusal> refusal_of(const Feature& feature, std::string_view text) {
  if (!feature.takes_empty && text.empty())
    return Refusal{SIDECALL_INVALID_STRING, "a string that is not empty", "an empty one"};
  if (feature.is_closed && feature.allowed_strings.count(std::string(text)) == 0)
    return Refusal{SIDECALL_UNKNOWN_CATEGORY, "a known category", "an unknown one"};
  return std::nullopt;
}

// ---- Before a run ----

// Refuses integers and bools that may not be missing and that the caller did not write: they still
// hold what sidecall_call_input() wrote.
void Call::check_unwritten(FaultList* faults) const {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const std::vector<int32_t>& features = signature_.checks[i].feature_at;
    const int32_t dtype = signature_.inputs[i].dtype;
    const bool is_bool = dtype == SIDECALL_DTYPE_BOOL;
    if (!inputs_[i].is_given || features.empty() || (!is_bool && dtype != SIDECALL_DTYPE_INT64))
      continue;
    const auto count = static_cast<int64_t>(features.size()) * inputs_[i].dims[0];
    const auto* bytes = static_cast<const uint8_t*>(inputs_[i].data);
    const auto* integers = static_cast<const int64_t*>(inputs_[i].data);
    const bool has_some =
        is_bool ? has(bytes, count, kUnwrittenBool) : has(integers, count, kUnwrittenInt64);
    for (int64_t at = 0; has_some && at < count; ++at) {
      const int32_t index = features[static_cast<size_t>(at) % features.size()];
      const Feature& feature = signature_.features[static_cast<size_t>(index)];
      const bool is_written =
          is_bool ? bytes[at] != kUnwrittenBool : integers[at] != kUnwrittenInt64;
      if (is_written || feature.nullable) continue;
      faults->add(index, {SIDECALL_MISSING_VALUE, at / static_cast<int64_t>(features.size()),
                          feature.name, dtype_name(feature.dtype), "a missing value"});
    }
  }
}

// Refuses bytes other than 0 and 1 in bool inputs: kernels treat them sometimes as true and
// sometimes as false.
void Call::check_bools() const {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const TensorSpec& spec = signature_.inputs[i];
    if (spec.dtype != SIDECALL_DTYPE_BOOL) continue;
    const auto* bytes = static_cast<const uint8_t*>(inputs_[i].data);
    const auto count = static_cast<int64_t>(count_bytes(spec.dtype, inputs_[i].dims));
    uint8_t all = 0;
    for (int64_t k = 0; k < count; ++k) all = static_cast<uint8_t>(all | bytes[k]);
    if (all > 1)
      throw Error("input",
                  {SIDECALL_OUT_OF_RANGE, -1, spec.name, "bytes of 0 or 1", "another byte"});
  }
}

// Numbers may have been written through views, so they are checked here. Strings were checked when
// they were given.
void Call::check_values(FaultList* faults) {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const InputCheck& check = signature_.checks[i];
    const void* data = inputs_[i].data;
    if (inputs_[i].is_given && !inputs_[i].faults.is_empty()) faults->add_all(inputs_[i].faults);
    bool is_clean = true;
    if (const auto* floats = std::get_if<Bounds<float>>(&check.bounds))
      is_clean = is_within(*floats, data, rows_);
    if (const auto* doubles = std::get_if<Bounds<double>>(&check.bounds))
      is_clean = is_within(*doubles, data, rows_);
    if (const auto* integers = std::get_if<Bounds<int64_t>>(&check.bounds))
      is_clean = is_within(*integers, data, rows_);
    if (is_clean && check.listed_features.empty()) continue;
    switch (signature_.inputs[i].dtype) {
      case SIDECALL_DTYPE_FLOAT32:
        check_columns<float>(i, is_clean, faults);
        break;
      case SIDECALL_DTYPE_FLOAT64:
        check_columns<double>(i, is_clean, faults);
        break;
      case SIDECALL_DTYPE_INT64:
        check_columns<int64_t>(i, is_clean, faults);
        break;
      default:  // bool: tensors of other types have neither bounds nor listed features
        check_columns<uint8_t>(i, is_clean, faults);
    }
  }
}

// Checks value by value. `is_clean`: check_values() has found no missing value in a feature that is
// not nullable, and no value beyond the outer ends of the domain of its feature.
template <typename Number>
void Call::check_columns(size_t input, bool is_clean, FaultList* faults) {
  const InputCheck& check = signature_.checks[input];
  const bool is_set = has_records_ && !inputs_[input].is_given;
  const auto* values = static_cast<const Number*>(inputs_[input].data);
  for (int64_t row = 0; row < rows_; ++row) {
    for (const int32_t index : is_clean ? check.listed_features : check.feature_at) {
      if (is_set && state_at(row, index) != State::kSet) continue;  // not set by the caller
      const Feature& feature = signature_.features[static_cast<size_t>(index)];
      const Number value = values[row * feature.width + feature.column];
      if (is_missing(feature, value)) {
        if (!feature.nullable && !faults->has(row, index))
          faults->add(index, {SIDECALL_MISSING_VALUE, row, feature.name, dtype_name(feature.dtype),
                              "a missing value"});
      } else if (std::optional<Refusal> refusal =
                     refusal_of(feature, static_cast<double>(value), integer_of(value))) {
        if (faults->has(row, index)) continue;  // the set functions have refused another value
        faults->add(index, {refusal->status, row, feature.name, std::move(refusal->expected),
                            refusal->got});
      }
    }
  }
}

// Checks one string of a tensor that the caller gives. Returns the string that the model gets.
std::string_view Call::check_text(int32_t input, int64_t element, std::string_view text) {
  const std::vector<int32_t>& features = signature_.checks[static_cast<size_t>(input)].feature_at;
  const auto width = static_cast<int64_t>(features.size());
  const int32_t index = features[static_cast<size_t>(element % width)];
  const Feature& feature = signature_.features[static_cast<size_t>(index)];
  const bool is_missing = feature.is_missing(text);
  if (is_missing && feature.nullable) return feature.missing_string;
  std::optional<Refusal> refusal;
  if (is_missing)
    refusal = Refusal{SIDECALL_MISSING_VALUE, dtype_name(feature.dtype), "a missing value"};
  else if (!feature.takes_all()) refusal = refusal_of(feature, text);
  if (refusal) {
    Fault fault{refusal->status, element / width, feature.name, std::move(refusal->expected),
                refusal->got};
    inputs_[static_cast<size_t>(input)].faults.add(index, std::move(fault));
  }
  return text;
}

// ---- After a run ----

// Returns the error of a run in which the model refuses a row, else nullptr.
std::exception_ptr Call::check_results() noexcept {
  try {
    for (size_t i = 0; has_joint_layout_ && i < outputs_.size(); ++i) {
      if (outputs_[i].is_known) outputs_[i].data = context_->placed_output(static_cast<int32_t>(i));
    }
    const bool is_refused = refusals_ != nullptr && any_of(refusals_, rows_) != 0;
    if (is_refused || !has_finite_outputs()) judge_rows();
    has_results_ = true;
    return nullptr;
  } catch (...) {
    return std::current_exception();
  }
}

bool Call::has_finite_outputs() {
  for (const int32_t index : signature_.finite_outputs) {
    Output& output = outputs_[static_cast<size_t>(index)];
    if (!output.is_known) fetch(index);
    const int64_t count = count_elements(output.dims);
    const bool is_float32 =
        signature_.outputs[static_cast<size_t>(index)].dtype == SIDECALL_DTYPE_FLOAT32;
    if (!(is_float32 ? is_all_finite<float>(output.data, count)
                     : is_all_finite<double>(output.data, count)))
      return false;
  }
  return true;
}

// The first column whose value in this row must be finite but is not; -1 if there is none.
int32_t Call::column_not_finite(int64_t row) const {
  for (const int32_t index : signature_.finite_outputs) {
    const Output& output = outputs_[static_cast<size_t>(index)];
    const bool is_float32 =
        signature_.outputs[static_cast<size_t>(index)].dtype == SIDECALL_DTYPE_FLOAT32;
    for (size_t i = 0; i < signature_.columns.size(); ++i) {
      const Column& column = signature_.columns[i];
      if (column.output != index) continue;
      const int64_t width = output.dims.size() < 2 ? 1 : output.dims[1],
                    at = row * width + column.column;
      // A graph may return another shape than it declares.
      if (output.dims.empty() || row >= output.dims[0] || column.column >= width) continue;
      const bool is_finite = is_float32
                                 ? std::isfinite(static_cast<const float*>(output.data)[at])
                                 : std::isfinite(static_cast<const double*>(output.data)[at]);
      if (!is_finite) return static_cast<int32_t>(i);
    }
  }
  return -1;
}

// Throws an error with one fault for each refused row, if there are any. A fault names the step
// that refused the row or, if no step did, the first column that is not finite.
void Call::judge_rows() {
  FaultList faults;
  for (int64_t row = 0; row < rows_; ++row) {
    const int64_t number = refusals_ == nullptr ? 0 : refusals_[row];
    if (number < 0 || number > static_cast<int64_t>(signature_.steps.size())) {
      const std::string expected =
          "0 to " + std::to_string(signature_.steps.size()) + " for each row";
      throw Error(SIDECALL_ENGINE, "the output that reports refused rows: expected " + expected +
                                       ", got " + std::to_string(number));
    }
    if (number > 0) {
      const Step& step = signature_.steps[static_cast<size_t>(number - 1)];
      faults.add(0, {SIDECALL_REFUSED, row, step.name, step.expected, kOthers, "step"});
    } else if (const int32_t column = column_not_finite(row); column >= 0) {
      faults.add(0, {SIDECALL_REFUSED, row, signature_.columns[static_cast<size_t>(column)].name,
                     kFinite, kOthers, "output"});
    }
  }
  if (!faults.is_empty()) faults.raise(rows_ > 1);
}

}  // namespace sidecall
