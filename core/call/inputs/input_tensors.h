// The input tensors of a call: their shapes and memory, and which of them the caller has set.
#pragma once

#include <sidecall/sidecall.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "core/call/fault_list.h"
#include "core/contract/signature.h"
#include "core/execution_context.h"
#include "feature_states.h"

namespace sidecall {

class InputTensors {
 public:
  // All three must outlive this object. When an input loses its values, its features become unset.
  InputTensors(const Signature& signature, ExecutionContext& context, FeatureStates& states);

  // ---- Shapes ----

  // The number of rows since the last resize() or resolve_rows().
  int64_t rows() const noexcept { return rows_; }
  const std::vector<Dims>& shapes() const noexcept { return shapes_; }
  // Increases whenever a shape changes.
  uint64_t shape_version() const noexcept { return shape_version_; }
  // Whether the call and each input that has rows have this number of rows.
  bool has_rows(int64_t rows) const noexcept;
  // Gives all inputs this number of rows, and memory of the context. Their values are lost.
  void resize(int64_t rows);
  void reshape(int32_t input, const int64_t* dims, int32_t rank);
  // After a shape changed: takes the number of rows from the inputs, whose shapes must agree.
  void resolve_rows();
  bool has_opening_shapes() const noexcept;  // those of a new call with as many rows
  int64_t num_elements() const noexcept;     // of all inputs
  uint64_t num_bytes() const;

  // ---- Whole tensors ----

  // Lets the caller write an input. Values that it does not write count as missing.
  void view(int32_t input, sidecall_view* view);
  // Copies the caller's tensor, or lets the engine read the caller's memory (`borrow`).
  void set(int32_t input, const sidecall_view& view, bool borrow);
  void set_strings(int32_t input, const char* data, const int64_t* offsets, int64_t num_strings);
  // Throws the fault of a tensor that has another type than the input.
  [[noreturn]] void refuse(int32_t input, const char* got) const;
  void unset_all() noexcept;

  bool is_set(int32_t input) const noexcept { return at(input).is_set; }
  bool is_borrowed(int32_t input) const noexcept { return at(input).is_borrowed; }
  bool has_borrowed() const noexcept;
  const void* data(int32_t input) const noexcept { return at(input).data; }

  // Strings that a feature does not accept: the next run reports them.
  const FaultList& string_faults(int32_t input) const noexcept { return at(input).string_faults; }
  void clear_string_faults() noexcept;

  // ---- Single values ----

  // Whether values can be written to this row.
  bool is_writable(int32_t input, int64_t row) const noexcept {
    return row < shapes_[static_cast<size_t>(input)][0] && !at(input).is_borrowed;
  }
  bool are_all_writable(int64_t row) const noexcept;
  // Replaces borrowed memory by memory of the context.
  void stop_borrowing(int32_t input);

  // To a floating-point tensor. A float32 tensor gets the float32 that is nearest to `value`; the
  // model rounds its input in the same way.
  void write_real(int64_t row, const Feature& feature, double value) noexcept {
    void* data = at(feature.input).data;
    const int64_t element = row * feature.width + feature.column;
    if (feature.tensor_dtype == SIDECALL_DTYPE_FLOAT32)
      write_at(data, element, static_cast<float>(value));
    else write_at(data, element, value);
  }
  // Writes `value` to a floating-point tensor, and `integer` to any other one.
  void write_number(int64_t row, const Feature& feature, double value, int64_t integer) noexcept;
  void write_string(int64_t row, const Feature& feature, std::string_view text);
  void write_missing(int64_t row, const Feature& feature);
  // Forgets what was wrong with a string of the tensor, which is about to be replaced.
  void clear_string_fault(int32_t input, int64_t row, int32_t feature) {
    FaultList& faults = at(input).string_faults;
    if (!faults.is_empty()) faults.remove(row, feature);
  }

 private:
  struct Input {
    void* data = nullptr;  // owned or borrowed memory that the engine reads; nullptr for strings
    bool is_set = false;
    bool is_borrowed = false;
    FaultList string_faults;  // by feature
  };

  const Input& at(int32_t input) const noexcept { return inputs_[static_cast<size_t>(input)]; }
  Input& at(int32_t input) noexcept { return inputs_[static_cast<size_t>(input)]; }
  void require_index(int32_t input) const;
  void allocate(int32_t input, Dims dims);
  void allocate_expected(int32_t input, Dims dims);
  void expect_shape(int32_t input, const Dims& dims);
  void copy_strings(int32_t input, const char* data, const int64_t* offsets, int64_t count);
  void fill_with_missing(int32_t input);
  template <typename T>
  static void write_at(void* data, int64_t element, T value) noexcept {
    std::memcpy(static_cast<char*>(data) + element * static_cast<int64_t>(sizeof(T)), &value,
                sizeof(T));
  }

  const Signature& signature_;
  ExecutionContext& context_;
  FeatureStates& states_;
  const bool has_joint_layout_;  // see ExecutionContext
  int64_t rows_ = 0;
  uint64_t shape_version_ = 0;
  std::vector<Dims> shapes_;
  std::vector<Input> inputs_;
};

}  // namespace sidecall
