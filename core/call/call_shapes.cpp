// The shapes of the tensors of a call: rows, reshaping, and the output shapes that follow from the
// inputs.
#include <algorithm>

#include "call.h"

namespace sidecall {

void Call::check_dims(const TensorSpec& spec, const Dims& dims) const {
  if (spec.has_rows() && dims.size() == spec.dims.size() && dims[0] == 0) {
    throw Error("input", {SIDECALL_SHAPE_MISMATCH, -1, spec.name, "at least 1 row", "0 rows"});
  }
  bool fits = dims.size() == spec.dims.size();
  for (size_t i = 0; fits && i < dims.size(); ++i)
    fits = dims[i] >= 0 && (spec.dims[i] < 0 || spec.dims[i] == dims[i]);
  if (fits) return;
  throw Error("input", {SIDECALL_SHAPE_MISMATCH, -1, spec.name,
                        describe_tensor(spec.dtype, spec.dims, &spec.dim_names),
                        describe_tensor(spec.dtype, dims)});
}

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
  has_results_ = false;
  forget_records();
  std::vector<Dims> all = input_dims();
  for (size_t i = 0; i < inputs_.size(); ++i) {
    if (all[i].empty()) all[i] = signature_.inputs[i].dims;
    for (int64_t& dim : all[i]) dim = dim < 0 ? 1 : dim;
    if (signature_.inputs[i].has_rows()) all[i][0] = rows;
  }
  if (has_joint_layout_) context_->expect(all, outputs_for(all, rows));
  for (size_t i = 0; i < inputs_.size(); ++i) place(static_cast<int32_t>(i), std::move(all[i]));
  rows_ = rows;
  shapes_changed_ = true;
}

void Call::reshape(int32_t index, const int64_t* dims, int32_t rank) {
  require_idle();
  input_at(index);
  require(rank >= 0 && (rank == 0 || dims != nullptr), "dims must not be NULL");
  Dims wanted(dims, dims + rank);
  check_dims(signature_.inputs[static_cast<size_t>(index)], wanted);
  allocate(index, std::move(wanted));
  has_results_ = false;
}

// Returns the number of rows. With a contract, all inputs that have rows must have the same number
// of them. Without one, settle_shapes() only compares dimensions to which the graph gives the same
// name.
int64_t Call::agree_on_rows() const {
  const TensorSpec* first = nullptr;
  int64_t rows = rows_;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const TensorSpec& spec = signature_.inputs[i];
    if (!spec.has_rows()) continue;
    if (first == nullptr) first = &spec, rows = inputs_[i].dims[0];
    if (signature_.has_contract && inputs_[i].dims[0] != rows) {
      throw Error("input", {SIDECALL_SHAPE_MISMATCH, -1, spec.name,
                            std::to_string(rows) + " rows as in input '" + first->name + "'",
                            std::to_string(inputs_[i].dims[0]) + " rows"});
    }
  }
  return rows;
}

// Derives the shape of an output from the rows of the call and the named dimensions of the inputs.
// Returns nullopt if these do not determine the shape.
std::optional<Dims> Call::output_dims(int32_t index, int64_t rows, const NamedDims& named) const {
  const TensorSpec& spec = signature_.outputs[static_cast<size_t>(index)];
  if (!spec.is_shaped) return std::nullopt;
  const int64_t width = signature_.output_width[static_cast<size_t>(index)];
  const std::vector<int32_t>& ids = signature_.output_dim_ids[static_cast<size_t>(index)];
  Dims dims = spec.dims;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] >= 0) continue;
    const int64_t size = ids[i] < 0 ? -1 : named[static_cast<size_t>(ids[i])];
    if (size >= 0) {
      dims[i] = size;
    } else if (width > 0 && i < 2) {
      dims[i] = i == 0 ? rows : width;
    } else {
      return std::nullopt;
    }
  }
  return dims;
}

// After the shape of an input changed: checks that the input shapes agree, and derives the output
// shapes that follow from them.
void Call::settle_shapes() {
  has_results_ = false;  // the memory of outputs may change
  const int64_t rows = agree_on_rows();
  NamedDims named(signature_.num_dim_ids, -1);
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const TensorSpec& spec = signature_.inputs[i];
    const std::vector<int32_t>& ids = signature_.input_dim_ids[i];
    for (size_t k = 0; k < ids.size(); ++k) {
      if (ids[k] < 0) continue;
      int64_t& size = named[static_cast<size_t>(ids[k])];
      if (size < 0) size = inputs_[i].dims[k];
      if (size != inputs_[i].dims[k]) {
        throw Error("input", {SIDECALL_SHAPE_MISMATCH, -1, spec.name,
                              std::to_string(size) + " for dimension '" + spec.dim_names[k] + "'",
                              std::to_string(inputs_[i].dims[k])});
      }
    }
  }
  if (rows != rows_) rows_ = rows, forget_records();
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const auto index = static_cast<int32_t>(i);
    const std::optional<Dims> dims = output_dims(index, rows_, named);
    outputs_[i].is_known = dims.has_value();
    outputs_[i].dims = dims.value_or(Dims());
    outputs_[i].data = context_->shape_output(index, dims ? &*dims : nullptr, nullptr);
    outputs_[i].is_bound = false;
  }
  if (signature_.has_refusals) refusals_ = context_->shape_refusals(rows_);
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
    for (size_t i = 0; i < outputs_.size(); ++i)
      sum += count_bytes(signature_.outputs[i].dtype, outputs_[i].dims);
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

std::vector<std::optional<Dims>> Call::outputs_for(const std::vector<Dims>& inputs,
                                                   int64_t rows) const {
  NamedDims named(signature_.num_dim_ids, -1);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::vector<int32_t>& ids = signature_.input_dim_ids[i];
    for (size_t k = 0; k < ids.size(); ++k) {
      if (ids[k] >= 0 && named[static_cast<size_t>(ids[k])] < 0)
        named[static_cast<size_t>(ids[k])] = inputs[i][k];
    }
  }
  std::vector<std::optional<Dims>> all;
  for (size_t i = 0; i < outputs_.size(); ++i)
    all.push_back(output_dims(static_cast<int32_t>(i), rows, named));
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
  context_->expect(all, outputs_for(all, has_rows ? dims[0] : rows_));
}

}  // namespace sidecall
