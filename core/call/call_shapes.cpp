// The shapes of the tensors of a call: rows, reshaping, and the output shapes that follow from the
// inputs.
#include <algorithm>

#include "call.h"

namespace sidecall {

void Call::allocate(int32_t index, Dims dims) {
  Input& input = inputs_[static_cast<size_t>(index)];
  if (has_joint_layout_ && input.dims != dims && !input.dims.empty()) announce(index, dims);
  place(index, std::move(dims));
}

// Allocates an input. If the context has a joint layout, expect() must have been called before.
void Call::place(int32_t index, Dims dims) {
  Input& input = inputs_[static_cast<size_t>(index)];
  context_->allocate_input(index, dims);
  input.data = context_->input_data(index);
  input.is_borrowed = false;
  input.is_given = false;
  input.faults.clear();
  unset_features(index);
  if (input.dims != dims) shapes_changed_ = true;
  input.dims = std::move(dims);
}

void Call::resize(int64_t rows) {
  require_idle();
  if (rows < 1)
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "rows: expected at least 1, got " + std::to_string(rows));
  const auto fits = [&](size_t i) {
    return !signature_.inputs[i].has_rows() || inputs_[i].dims[0] == rows;
  };
  bool same = rows == rows_;
  for (size_t i = 0; same && i < inputs_.size(); ++i) same = fits(i);
  if (same) return;
  outputs_.discard_results();
  forget_records();
  std::vector<Dims> all = input_dims();
  for (size_t i = 0; i < inputs_.size(); ++i) {
    if (all[i].empty()) all[i] = signature_.inputs[i].dims;
    for (int64_t& dim : all[i]) dim = dim < 0 ? 1 : dim;
    if (signature_.inputs[i].has_rows()) all[i][0] = rows;
  }
  if (has_joint_layout_) context_->expect(all, infer_output_shapes(signature_, all, rows));
  for (size_t i = 0; i < inputs_.size(); ++i) place(static_cast<int32_t>(i), std::move(all[i]));
  rows_ = rows;
  shapes_changed_ = true;
}

void Call::reshape(int32_t index, const int64_t* dims, int32_t rank) {
  require_idle();
  input_at(index);
  require(rank >= 0 && (rank == 0 || dims != nullptr), "dims must not be NULL");
  Dims wanted(dims, dims + rank);
  require_input_shape(signature_.inputs[static_cast<size_t>(index)], wanted);
  allocate(index, std::move(wanted));
  outputs_.discard_results();
}

// If the shape of an input changed: checks that the input shapes agree, and sets the output shapes
// that follow from them.
void Call::resolve_shapes() {
  if (!shapes_changed_) return;
  outputs_.discard_results();  // the memory of outputs may change
  const std::vector<Dims> dims = input_dims();
  const int64_t rows = common_rows(signature_, dims, rows_);
  require_equal_dims(signature_, dims);
  if (rows != rows_) rows_ = rows, forget_records();
  outputs_.set_shapes(infer_output_shapes(signature_, dims, rows_), rows_);
  shapes_changed_ = false;
}

int64_t Call::num_elements() const noexcept {
  int64_t sum = 0;
  for (const Input& input : inputs_) sum += count_elements(input.dims);
  return sum;
}

// UINT64_MAX if an output is larger than memory can be.
uint64_t Call::tensor_bytes() const noexcept {
  uint64_t sum = 0;
  try {
    for (size_t i = 0; i < inputs_.size(); ++i)
      sum += count_bytes(signature_.inputs[i].dtype, inputs_[i].dims);
    sum += outputs_.num_bytes();
  } catch (const Error&) {
    return UINT64_MAX;
  }
  return sum;
}

bool Call::is_as_opened() const noexcept {
  if (borrows_memory()) return false;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const TensorSpec& spec = signature_.inputs[i];
    const Dims& dims = inputs_[i].dims;
    for (size_t k = 0; k < dims.size(); ++k) {
      const int64_t fixed = spec.dims[k] < 0 ? 1 : spec.dims[k];
      if (dims[k] != (k == 0 && spec.has_rows() ? rows_ : fixed)) return false;
    }
  }
  return true;
}

std::vector<Dims> Call::input_dims() const {
  std::vector<Dims> all;
  all.reserve(inputs_.size());
  for (const Input& input : inputs_) all.push_back(input.dims);
  return all;
}

// Announces that one input gets another shape. If that input has rows, the caller usually gives the
// other inputs the same number of rows, so their new shapes are announced too.
void Call::announce(int32_t index, const Dims& dims) {
  std::vector<Dims> all = input_dims();
  all[static_cast<size_t>(index)] = dims;
  const bool has_rows = signature_.inputs[static_cast<size_t>(index)].has_rows();
  for (size_t i = 0; has_rows && i < all.size(); ++i) {
    if (signature_.inputs[i].has_rows()) all[i][0] = dims[0];
  }
  context_->expect(all, infer_output_shapes(signature_, all, has_rows ? dims[0] : rows_));
}

}  // namespace sidecall
