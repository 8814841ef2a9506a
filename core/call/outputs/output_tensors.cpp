// Shapes, views and results of output tensors; see output_tensors.h. Used by call.cpp,
// column_reader.cpp and result_checks.cpp.
#include "output_tensors.h"

#include <algorithm>
#include <utility>

#include "core/call/tensor_view.h"
#include "core/error.h"

namespace sidecall {

OutputTensors::OutputTensors(const Signature& signature, ExecutionContext& context)
    : signature_(signature),
      context_(context),
      has_joint_layout_(context.has_joint_layout()),
      tensors_(signature.outputs.size()) {}

void OutputTensors::require_index(int32_t output) const {
  require_tensor_index("output", output, tensors_.size());
}

void OutputTensors::require_bindable(int32_t output) const {
  require_index(output);
  const TensorSpec& spec = signature_.outputs[static_cast<size_t>(output)];
  if (spec.dtype == SIDECALL_DTYPE_STRING)
    throw Error("output", {SIDECALL_DTYPE_MISMATCH, -1, spec.name,
                           "a tensor whose elements have a fixed size", "string"});
}

void OutputTensors::set_shapes(const std::vector<std::optional<Dims>>& shapes, int64_t rows) {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const std::optional<Dims>& dims = shapes[i];
    Tensor& tensor = tensors_[i];
    tensor.is_known = dims.has_value();
    tensor.dims = dims.value_or(Dims());
    tensor.data = context_.shape_output(static_cast<int32_t>(i), dims ? &*dims : nullptr, nullptr);
    tensor.is_bound = false;
  }
  if (signature_.has_refusals) refusals_ = context_.shape_refusals(rows);
}

void OutputTensors::view(int32_t index, sidecall_view* view) {
  const int32_t dtype = signature_.outputs[static_cast<size_t>(index)].dtype;
  if (!has_results_) {
    const Tensor& tensor = tensors_[static_cast<size_t>(index)];
    fill_view(view, dtype, tensor.dims, nullptr,
              tensor.is_known ? count_bytes(dtype, tensor.dims) : 0, nullptr);
    if (!tensor.is_known) view->rank = -1;
    return;
  }
  fetch(index);
  Tensor& tensor = tensors_[static_cast<size_t>(index)];
  if (dtype == SIDECALL_DTYPE_STRING) {
    fill_view(view, dtype, tensor.dims, tensor.bytes.data(), tensor.bytes.size(),
              tensor.offsets.data());
  } else {
    fill_view(view, dtype, tensor.dims, tensor.data, count_bytes(dtype, tensor.dims), nullptr);
    if (context_.is_read_only(index)) view->flags |= SIDECALL_VIEW_READ_ONLY;
  }
}

void OutputTensors::bind(int32_t index, void* data, uint64_t data_bytes) {
  Tensor& tensor = tensors_[static_cast<size_t>(index)];
  const TensorSpec& spec = signature_.outputs[static_cast<size_t>(index)];
  if (!tensor.is_known)
    throw Error("output",
                {SIDECALL_SHAPE_MISMATCH, -1, spec.name, "a shape that is known before the run",
                 "one that only the run determines"});
  if (data != nullptr) {
    const uint64_t bytes = count_bytes(spec.dtype, tensor.dims);
    if (bytes != data_bytes) {
      throw Error("output",
                  {SIDECALL_SHAPE_MISMATCH, -1, spec.name, std::to_string(bytes) + " bytes",
                   std::to_string(data_bytes) + " bytes"});
    }
    require(is_aligned(data, spec.dtype),
            "data: expected an address that is aligned to the element type, got an unaligned one");
  }
  tensor.data = context_.shape_output(index, &tensor.dims, data);
  tensor.is_bound = data != nullptr;
  has_results_ = false;
}

// The engine writes an output of known shape to the address that it has returned before. Only the
// others have to be asked for.
void OutputTensors::start_run() noexcept {
  for (size_t i = 0; i < tensors_.size(); ++i)
    tensors_[i].is_fetched =
        tensors_[i].is_known && signature_.outputs[i].dtype != SIDECALL_DTYPE_STRING;
}

// With a joint layout, the run may have moved the outputs.
void OutputTensors::locate() {
  for (size_t i = 0; has_joint_layout_ && i < tensors_.size(); ++i) {
    if (tensors_[i].is_known) tensors_[i].data = context_.placed_output(static_cast<int32_t>(i));
  }
}

void OutputTensors::read(int32_t index, Tensor* tensor) {
  if (!tensor->is_known) {
    OutputTensor result = context_.output(index);
    tensor->dims = std::move(result.dims);
    tensor->data = result.data;
  }
  if (signature_.outputs[static_cast<size_t>(index)].dtype == SIDECALL_DTYPE_STRING)
    context_.read_strings(index, &tensor->bytes, &tensor->offsets);
  tensor->is_fetched = true;
}

bool OutputTensors::has_bound() const noexcept {
  return std::any_of(tensors_.begin(), tensors_.end(),
                     [](const Tensor& tensor) { return tensor.is_bound; });
}

uint64_t OutputTensors::num_bytes() const {
  uint64_t sum = 0;
  for (size_t i = 0; i < tensors_.size(); ++i)
    sum += count_bytes(signature_.outputs[i].dtype, tensors_[i].dims);
  return sum;
}

}  // namespace sidecall
