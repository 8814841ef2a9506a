// The inputs and outputs of a model: immutable after open, shared by all calls. Tensors come from
// the graph, features and columns from the contract.
#pragma once

#include <sidecall/sidecall.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "base/tensor_spec.h"
#include "core/hash.h"
#include "core/shapes.h"
#include "domain.h"

namespace sidecall {

// In tensors and records of callers, this string stands for a missing value of any string feature,
// whichever string the contract reserves for missing values.
constexpr std::string_view kMissingString = SIDECALL_MISSING_STRING;

// What sidecall_call_input() writes for an integer or bool that may not be missing. A run refuses
// these values, so that a value that the caller did not write is never taken for a number.
constexpr int64_t kUnwrittenInt64 = -0x5A5A5A5A5A5A5A5B;  // all bytes are 0xA5
constexpr uint8_t kUnwrittenBool = 0xA5;

// One key of a record, and the place in a tensor where its value goes.
struct Feature {
  // The members that are read when a plain number is set come first, so that they lie in one cache
  // line. If the tensor is a floating-point one, numbers between these two need no other check
  // before they are stored. If low > high, every number needs the other checks.
  double plain_low = 1, plain_high = 0;
  int64_t column = 0;
  int64_t width = 1;  // elements of one row of the tensor
  int32_t input = 0;
  int32_t tensor_dtype = 0;

  int32_t dtype = 0;
  bool nullable = false;
  std::string name;

  // How the model's tensor holds a missing value: `missing_int` in an int64 tensor,
  // `missing_string` in a string tensor. A floating-point tensor holds NaN.
  int64_t missing_int = 0;
  std::string missing_string;

  // A closed list: values that are not in it are refused. Numbers are compared as the tensor holds
  // them.
  bool is_closed = false;
  std::unordered_set<std::string, SeededHash> allowed_strings;
  std::unordered_set<double, SeededHash> allowed_numbers;

  // A feature without intervals accepts every number, including infinities.
  Domain domain;
  bool takes_empty = true;  // accepts the empty string

  // Of a datetime feature: how many units of its tensor a second has; its zone, "" if it has none;
  // and how many units of a plain number in a record a second has, 0 if such numbers are refused.
  int32_t per_second = 0;
  std::string zone;
  int32_t epoch_per_second = 0;

  // Whether a string that a caller gives stands for a missing value.
  bool is_missing(std::string_view text) const {
    return text == kMissingString || (nullable && text == missing_string);
  }
  bool is_datetime() const { return dtype == SIDECALL_DTYPE_DATETIME; }
  bool takes_all() const { return !is_closed && takes_empty && !domain.exists(); }
  bool takes_beyond_float32(double value) const;
  void find_plain_range();  // after all members above were set
};

// Whether a finite number rounds to an infinity in float32.
inline bool is_beyond_float32(double value) noexcept {
  return std::isinf(static_cast<float>(value)) && !std::isinf(value);
}

// A step of the model that checks computed values, and refuses a row whose values it does not
// accept.
struct Step {
  std::string name;
  std::string expected;  // "finite numbers"
};

struct Column {
  std::string name;
  std::string key;
  int32_t dtype = 0;
  int32_t output = 0;
  int64_t column = 0;
  int32_t form = 0;  // SIDECALL_FORM_*
};

// Maps names to indices. A look-up does not copy the name.
class Names {
 public:
  // If a name is added twice, the first index is found.
  void add(const std::string& name, size_t index) {
    map_.try_emplace(name, static_cast<int32_t>(index));
  }
  void remove(std::string_view name) { map_.erase(name); }
  void reserve(size_t count) { map_.reserve(count); }
  int32_t find(std::string_view name) const {
    const auto found = map_.find(name);
    return found == map_.end() ? -1 : found->second;
  }

 private:
  // Holds views of names that the signature owns.
  std::unordered_map<std::string_view, int32_t, SeededHash> map_;
};

// The range of numbers that are allowed in each column of an input, so that one pass over a row
// checks all columns. The bounds are the outer ends of a feature's domain; gaps inside the domain
// are checked separately.
template <typename Number>
struct Bounds {
  using Word = std::conditional_t<sizeof(Number) == 4, int32_t, int64_t>;
  std::vector<Number> low, high;
  std::vector<Word> refuses_missing;  // all bits are set if NaN is refused, else none
};

// Which values of an input each run must refuse before it starts, because the graph would silently
// compute an answer for them.
struct InputCheck {
  // std::monostate if every number is accepted.
  std::variant<std::monostate, Bounds<float>, Bounds<double>, Bounds<int64_t>> bounds;
  // Numeric features with a closed list, or with holes in their domain.
  std::vector<int32_t> listed_features;
  std::vector<int32_t> feature_at;  // the feature of each column; empty without a contract
};

struct Signature {
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  std::vector<Feature> features;
  std::vector<Column> columns;
  std::vector<InputCheck> checks;       // by input
  std::vector<int64_t> output_width;    // by output: how many columns the contract gives it
  std::vector<int32_t> finite_outputs;  // outputs that must hold only finite numbers
  std::vector<Step> steps;              // steps that refuse rows
  bool has_refusals = false;            // the engine reports for each row which step refuses it
  bool has_contract = false;
  Names input_names, output_names, feature_names, column_names;

  // Ids of named free dimensions, by tensor and dimension; -1 for other dimensions. Dimensions with
  // the same name have the same id and must have the same size.
  std::vector<std::vector<int32_t>> input_dim_ids, output_dim_ids;
  size_t num_dim_ids = 0;

  Signature() = default;
  Signature(const Signature&) = delete;  // Names holds views of its strings
  Signature& operator=(const Signature&) = delete;

  void index_tensors();     // indexes the names of inputs and outputs
  void drop_last_output();  // after index_tensors(): removes an output that is hidden from callers
  void index_records();     // indexes the rest, after features and columns were added
};

}  // namespace sidecall
