// The tensors of a call: their memory, and which inputs were given. Used by the C ABI and by
// records.cpp.
#include "call.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "core/text.h"
#include "tensor_view.h"

namespace sidecall {
Call::Call(const Signature& signature, const Engine& engine, bool ignore_extra, int64_t rows,
           bool lends_connection)
    : signature_(signature),
      ignore_extra_(ignore_extra),
      context_(engine.make_context(lends_connection)),
      has_joint_layout_(context_->has_joint_layout()),
      run_times_(engine.route() == Route::kInProcess ? &engine.run_times() : nullptr),
      inputs_(signature.inputs.size()),
      outputs_(signature, *context_),
      columns_(signature, *context_, outputs_) {
  context_->set_result_check(this);
  resize(rows);
}

Call::Input& Call::input_at(int32_t input) {
  require_tensor_index("input", input, inputs_.size());
  return inputs_[static_cast<size_t>(input)];
}

void Call::view_input(int32_t index, sidecall_view* view) {
  require_idle();
  Input& input = input_at(index);
  if (input.is_borrowed) allocate(index, input.dims);
  if (!input.is_given) fill_with_missing(index);
  input.is_given = true;
  const int32_t dtype = signature_.inputs[static_cast<size_t>(index)].dtype;
  fill_view(view, dtype, input.dims, input.data, count_bytes(dtype, input.dims), nullptr);
}

void Call::refuse_input(int32_t index, const char* got) {
  input_at(index);
  const TensorSpec& spec = signature_.inputs[static_cast<size_t>(index)];
  throw Error("input", {SIDECALL_DTYPE_MISMATCH, -1, spec.name, dtype_name(spec.dtype), got});
}

void Call::give_input(int32_t index, const sidecall_view& view, bool borrow) {
  require_idle();
  Input& input = input_at(index);
  const TensorSpec& spec = signature_.inputs[static_cast<size_t>(index)];
  const bool is_converted = differ_in_width(view.dtype, spec.dtype);
  if (is_converted && borrow) {
    const Fault fault{SIDECALL_DTYPE_MISMATCH, -1,     spec.name, dtype_name(spec.dtype),
                      dtype_name(view.dtype),  "input"};
    throw Error(fault,
                describe("input", fault) + "; memory of another type can be copied, but not bound");
  }
  if (view.dtype != spec.dtype && !is_converted) refuse_input(index, dtype_name(view.dtype));
  require(view.rank >= 0 && (view.rank == 0 || view.dims != nullptr), "dims must not be NULL");
  // A reused call usually gets the same shape again. Only another shape is checked and allocated.
  const bool same = static_cast<size_t>(view.rank) == input.dims.size() &&
                    std::equal(input.dims.begin(), input.dims.end(), view.dims);
  if (!same) require_input_shape(spec, Dims(view.dims, view.dims + view.rank));
  const Dims fresh = same ? Dims() : Dims(view.dims, view.dims + view.rank);
  const Dims& dims = same ? input.dims : fresh;
  if (spec.dtype == SIDECALL_DTYPE_STRING) {
    const int64_t count = count_elements(dims);
    require(view.offsets != nullptr, "offsets must not be NULL");
    const int64_t used = view.offsets[count];
    if (used < 0 || static_cast<uint64_t>(used) > view.data_bytes) {
      throw Error("input", {SIDECALL_SHAPE_MISMATCH, -1, spec.name,
                            "offsets of at most " + std::to_string(view.data_bytes),
                            "a larger or negative one"});
    }
    if (!same) allocate(index, fresh);
    copy_strings(index, static_cast<const char*>(view.data), view.offsets, count);
    return;
  }
  const uint64_t bytes = count_bytes(view.dtype, dims);
  if (view.data_bytes != bytes) {
    throw Error("input", {SIDECALL_SHAPE_MISMATCH, -1, spec.name, std::to_string(bytes) + " bytes",
                          std::to_string(view.data_bytes) + " bytes"});
  }
  require(bytes == 0 || view.data != nullptr, "data must not be NULL");
  if (borrow && bytes > 0 && is_aligned(view.data, spec.dtype)) {
    context_->borrow_input(index, view.data, dims);
    input.data = view.data;
    input.is_borrowed = true;
    if (!same) input.dims = fresh, shapes_changed_ = true;
  } else {
    if (is_converted && spec.dtype == SIDECALL_DTYPE_FLOAT32)
      require_float32(index, view.data, dims);
    if (!same || input.is_borrowed) allocate(index, dims);
    if (is_converted) convert_width(view.data, input.data, spec.dtype, count_elements(dims));
    else if (bytes > 0) std::memcpy(input.data, view.data, bytes);
  }
  input.is_given = true;
}

void Call::set_strings(int32_t index, const char* data, const int64_t* offsets,
                       int64_t num_strings) {
  require_idle();
  Input& input = input_at(index);
  const TensorSpec& spec = signature_.inputs[static_cast<size_t>(index)];
  if (spec.dtype != SIDECALL_DTYPE_STRING) refuse_input(index, "string");
  const int64_t count = count_elements(input.dims);
  if (num_strings != count) {
    throw Error("input",
                {SIDECALL_SHAPE_MISMATCH, -1, spec.name, std::to_string(count) + " strings",
                 std::to_string(num_strings) + " strings"});
  }
  copy_strings(index, data, offsets, count);
}

// Strings that no tensor may hold are refused at once. Strings that a feature does not accept are
// found here too, but the run reports them, together with all other faults.
void Call::copy_strings(int32_t index, const char* data, const int64_t* offsets, int64_t count) {
  require(offsets != nullptr && (data != nullptr || offsets[count] == offsets[0]),
          "data and offsets must not be NULL");
  require(offsets[0] >= 0, "offsets: expected 0 or more, got a negative number");
  const TensorSpec& spec = signature_.inputs[static_cast<size_t>(index)];
  const auto width =
      static_cast<int64_t>(signature_.checks[static_cast<size_t>(index)].feature_at.size());
  Input& input = inputs_[static_cast<size_t>(index)];
  input.is_given = false;
  input.faults.clear();
  unset_features(index);
  FaultList invalid;
  for (int64_t i = 0; i < count; ++i) {
    require(offsets[i] <= offsets[i + 1] && offsets[i + 1] <= offsets[count],
            "offsets: expected ascending numbers, got a smaller number after a larger one");
    const std::string_view text(data + offsets[i],
                                static_cast<size_t>(offsets[i + 1] - offsets[i]));
    if (const char* fault = string_fault(text)) {
      const int64_t row = i / std::max<int64_t>(width, 1), column = i % std::max<int64_t>(width, 1);
      invalid.add(static_cast<int32_t>(column),
                  {SIDECALL_INVALID_STRING, row, spec.name, "string", fault, "input"});
    } else if (invalid.is_empty()) {
      context_->set_string(index, i, width > 0 ? check_text(index, i, text) : text);
    }
  }
  if (!invalid.is_empty()) invalid.raise(true);
  input.is_given = true;
}

void Call::reset() {
  require_idle();
  for (Input& input : inputs_) input.is_given = false;
  forget_records();
}

void Call::view_output(int32_t output, sidecall_view* view) {
  require_idle();
  outputs_.require_index(output);
  if (!outputs_.has_results()) resolve_shapes();
  outputs_.view(output, view);
}

void Call::bind_output(int32_t output, void* data, uint64_t data_bytes) {
  require_idle();
  outputs_.require_bindable(output);
  resolve_shapes();
  outputs_.bind(output, data, data_bytes);
}

}  // namespace sidecall
