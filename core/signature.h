// What a model takes and gives: immutable after open, shared by all calls. tensors come from the graph, features and
// columns from the contract.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "domain.h"
#include "dtype.h"
#include "hash.h"

namespace sidecall {

struct TensorSpec {
  std::string name;
  int32_t dtype = 0;
  Dims dims;  // -1 where free
  std::vector<std::string> dim_names;
  bool is_shaped =
      true;  // false where the graph gives an output no shape, not even a rank; then `dims` is empty
  bool has_rows() const { return !dims.empty() && dims[0] < 0; }
};

// One key of a record and the place in a tensor where it lands.
struct Feature {
  std::string name;
  int32_t dtype = 0;
  bool nullable = false;
  int32_t input = 0;
  int64_t column = 0;

  int32_t tensor_dtype = 0;
  int64_t width = 1;  // elements of one row of the tensor

  // How a missing value is written; which one counts follows from tensor_dtype.
  int64_t missing_int = 0;
  std::string missing_string;

  // A closed list; values that it lacks are refused. Numbers are compared as the tensor holds them.
  bool is_closed = false;
  std::unordered_set<std::string, SeededHash> allowed_strings;
  std::unordered_set<double, SeededHash> allowed_numbers;

  Domain domain;
  bool is_domain_known =
      false;  // contract of format 2: without intervals the model takes every number, infinities too
  bool takes_empty = true;  // the empty string

  bool takes_all() const { return !is_closed && takes_empty && !domain.exists(); }
  bool takes_beyond_float32(double value) const;
};

// Whether a finite number has no nearest float32 but an infinity.
inline bool is_beyond_float32(double value) noexcept {
  return std::isinf(static_cast<float>(value)) && !std::isinf(value);
}

// Of the model: it refuses rows for which it computes what it does not take.
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

// Names to indices, without a copy of the name on look-up.
class Names {
 public:
  // The first of two equal names is the one that is found.
  void add(const std::string& name, size_t index) {
    map_.emplace(name, static_cast<int32_t>(index));
  }
  void remove(std::string_view name) { map_.erase(name); }
  int32_t find(std::string_view name) const {
    const auto found = map_.find(name);
    return found == map_.end() ? -1 : found->second;
  }

 private:
  std::unordered_map<std::string_view, int32_t, SeededHash>
      map_;  // views of names that the signature owns
};

// The numbers that may stand in each column of an input, so that one pass over a row sees whether anything is wrong with it: all between the ends
// of the feature's domain, whose holes it does not see.
template <typename Number>
struct Bounds {
  using Word = std::conditional_t<sizeof(Number) == 4, int32_t, int64_t>;
  std::vector<Number> low, high;
  std::vector<Word> refuses_missing;  // all bits where NaN is refused, else none
};

// What must be looked at in an input before each run, because the graph would silently answer.
struct InputCheck {
  std::variant<std::monostate, Bounds<float>, Bounds<double>, Bounds<int64_t>>
      bounds;  // none where every number is taken
  std::vector<int32_t>
      listed_features;  // numeric features with a closed list, or with holes in their domain
  std::vector<int32_t> feature_at;  // by column; empty without a contract
};

struct Signature {
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  std::vector<Feature> features;
  std::vector<Column> columns;
  std::vector<InputCheck> checks;     // by input
  std::vector<int64_t> output_width;  // by output: columns of the contract; 0 where it says nothing
  std::vector<int32_t> finite_outputs;  // that never hold anything but finite numbers
  std::vector<Step> steps;              // that refuse rows
  bool has_refusals = false;            // the engine says for each row which step refuses it
  bool has_contract = false;
  Names input_names, output_names, feature_names, column_names;

  // Free dimensions that have a name: by tensor and dimension the number of the name, -1 for others. Those of equal names agree.
  std::vector<std::vector<int32_t>> input_dim_ids, output_dim_ids;
  size_t num_dim_ids = 0;

  Signature() = default;
  Signature(const Signature&) = delete;  // names hold views of it
  Signature& operator=(const Signature&) = delete;

  void index_tensors();     // names of inputs and outputs
  void drop_last_output();  // once those are indexed: it is none that a caller sees
  void index_records();     // the rest, once features and columns are there
};

}  // namespace sidecall
