// The tensors of a call: shapes, memory, and which inputs were given. Used by the C ABI and by
// records.cpp.
#include "call.h"

#include <algorithm>
#include <cstring>

#include "text.h"

namespace sidecall {
namespace {

void fill_view(sidecall_view* view, int32_t dtype, const Dims& dims, void* data, uint64_t bytes,
               const int64_t* offsets) {
  view->dtype = dtype;
  view->rank = static_cast<int32_t>(dims.size());
  view->flags = 0;
  view->dims = dims.data();
  view->data = data;
  view->data_bytes = bytes;
  view->offsets = offsets;
}

bool is_aligned(const void* data, int32_t dtype) {
  const auto bytes = static_cast<uintptr_t>(std::max(dtype_bits(dtype) / 8, 1));
  return reinterpret_cast<uintptr_t>(data) % bytes == 0;
}

}  // namespace

Call::Call(const Signature& signature, const Engine& engine, bool ignore_extra, int64_t rows,
           bool is_lazy)
    : signature_(signature),
      ignore_extra_(ignore_extra),
      binding_(engine.bind(is_lazy)),
      remote_(binding_->remote()),
      rows_(0),
      inputs_(signature.inputs.size()),
      outputs_(signature.outputs.size()) {
  resize(rows);
}

Call::~Call() {
  // A binding to another process gives up its run in its own destructor.
  if (!is_pending() || remote_ != nullptr) return;
  cancel();
  std::unique_lock lock(pending_->mutex);
  pending_->changed.wait(lock, [&] { return pending_->is_done; });
}

void Call::require_idle() {
  if (is_pending() || phase_.load(std::memory_order_acquire) != kIdle) {
    throw Error(SIDECALL_BUSY, "the call is running");
  }
}

Call::Input& Call::input_at(int32_t input) {
  if (input == -1)
    throw Error(SIDECALL_UNKNOWN_NAME,
                "unknown input: the index is that of a name that was not found");
  require(input >= 0 && static_cast<size_t>(input) < inputs_.size(),
          "input: expected an index of the model, got another number");
  return inputs_[static_cast<size_t>(input)];
}

Call::Output& Call::output_at(int32_t output) {
  if (output == -1)
    throw Error(SIDECALL_UNKNOWN_NAME,
                "unknown output: the index is that of a name that was not found");
  require(output >= 0 && static_cast<size_t>(output) < outputs_.size(),
          "output: expected an index of the model, got another number");
  return outputs_[static_cast<size_t>(output)];
}

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
  if (remote_ != nullptr && input.dims != dims && !input.dims.empty()) announce(index, dims);
  place(index, std::move(dims));
}

// Allocates an input. Before that, a remote binding must have been told the coming shapes with
// expect().
void Call::place(int32_t index, Dims dims) {
  Input& input = inputs_[static_cast<size_t>(index)];
  binding_->allocate_input(index, dims);
  input.data = binding_->input_data(index);
  input.is_borrowed = false;
  input.is_given = false;
  input.faults.clear();
  unset_features(index);
  if (input.dims != dims) shapes_changed_ = true;
  input.dims = std::move(dims);
}

void Call::resize(int64_t rows) {
  await_abandoned();
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
  if (remote_ != nullptr) remote_->expect(all, outputs_for(all, rows));
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

void Call::view_input(int32_t index, sidecall_view* view) {
  require_idle();
  Input& input = input_at(index);
  if (input.is_borrowed) allocate(index, input.dims);
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
    throw Error(fault, describe("input", fault) +
                           "; only the input's own type can be bound, a copy converts");
  }
  if (view.dtype != spec.dtype && !is_converted) refuse_input(index, dtype_name(view.dtype));
  require(view.rank >= 0 && (view.rank == 0 || view.dims != nullptr), "dims must not be NULL");
  // A reused call usually gets the same shape again. Only another shape is checked and allocated.
  const bool same = static_cast<size_t>(view.rank) == input.dims.size() &&
                    std::equal(input.dims.begin(), input.dims.end(), view.dims);
  if (!same) check_dims(spec, Dims(view.dims, view.dims + view.rank));
  const Dims fresh = same ? Dims() : Dims(view.dims, view.dims + view.rank);
  const Dims& dims = same ? input.dims : fresh;
  if (spec.dtype == SIDECALL_STRING) {
    const int64_t count = count_elements(dims);
    require(view.offsets != nullptr, "offsets must not be NULL");
    const int64_t used = view.offsets[count];
    if (used < 0 || static_cast<uint64_t>(used) > view.data_bytes) {
      throw Error("input",
                  {SIDECALL_SHAPE_MISMATCH, -1, spec.name,
                   "offsets within " + std::to_string(view.data_bytes) + " bytes", "one beyond"});
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
    binding_->borrow_input(index, view.data, dims);
    input.data = view.data;
    input.is_borrowed = true;
    if (!same) input.dims = fresh, shapes_changed_ = true;
  } else {
    if (is_converted && spec.dtype == SIDECALL_FLOAT32) require_float32(index, view.data, dims);
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
  if (spec.dtype != SIDECALL_STRING) refuse_input(index, "string");
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
  require(offsets[0] >= 0, "offsets: expected numbers of 0 or more, got less");
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
            "offsets: expected numbers that never fall, got one that does");
    const std::string_view text(data + offsets[i],
                                static_cast<size_t>(offsets[i + 1] - offsets[i]));
    if (const char* fault = string_fault(text)) {
      const int64_t row = i / std::max<int64_t>(width, 1), column = i % std::max<int64_t>(width, 1);
      invalid.add(static_cast<int32_t>(column),
                  {SIDECALL_INVALID_STRING, row, spec.name, "string", fault, "input"});
    } else if (invalid.is_empty()) {
      if (width > 0) check_text(index, i, text);
      binding_->set_string(index, i, text);
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

void Call::view_output(int32_t index, sidecall_view* view) {
  require_idle();
  Output& output = output_at(index);
  const int32_t dtype = signature_.outputs[static_cast<size_t>(index)].dtype;
  if (!has_results_) {
    if (shapes_changed_) settle_shapes();
    fill_view(view, dtype, output.dims, nullptr,
              output.is_known ? count_bytes(dtype, output.dims) : 0, nullptr);
    if (!output.is_known) view->rank = -1;
    return;
  }
  fetch(index);
  if (dtype == SIDECALL_STRING) {
    fill_view(view, dtype, output.dims, output.bytes.data(), output.bytes.size(),
              output.offsets.data());
  } else {
    fill_view(view, dtype, output.dims, output.data, count_bytes(dtype, output.dims), nullptr);
    if (binding_->is_read_only(index)) view->flags |= SIDECALL_VIEW_READ_ONLY;
  }
}

void Call::bind_output(int32_t index, void* data, uint64_t data_bytes) {
  require_idle();
  Output& output = output_at(index);
  const TensorSpec& spec = signature_.outputs[static_cast<size_t>(index)];
  if (spec.dtype == SIDECALL_STRING)
    throw Error("output", {SIDECALL_DTYPE_MISMATCH, -1, spec.name,
                           "a tensor of fixed size elements", "string"});
  if (shapes_changed_) settle_shapes();
  if (!output.is_known)
    throw Error("output", {SIDECALL_SHAPE_MISMATCH, -1, spec.name,
                           "a shape that is known before the run", "one that is not"});
  if (data != nullptr) {
    const uint64_t bytes = count_bytes(spec.dtype, output.dims);
    if (bytes != data_bytes) {
      throw Error("output",
                  {SIDECALL_SHAPE_MISMATCH, -1, spec.name, std::to_string(bytes) + " bytes",
                   std::to_string(data_bytes) + " bytes"});
    }
    require(is_aligned(data, spec.dtype),
            "data: expected memory that is aligned to its element, got other memory");
  }
  output.data = binding_->shape_output(index, &output.dims, data);
  output.is_bound = data != nullptr;
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

// The shape of an output, from the rows of the call and the named dimensions of its inputs; nullopt
// if they do not determine it.
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
    outputs_[i].data = binding_->shape_output(index, dims ? &*dims : nullptr, nullptr);
    outputs_[i].is_bound = false;
  }
  if (signature_.has_refusals) refusals_ = binding_->shape_refusals(rows_);
  shapes_changed_ = false;
}

// Fills `dims` and `data` of an output from the last run, and for strings its bytes and offsets.
void Call::fetch(int32_t index) {
  Output& output = outputs_[static_cast<size_t>(index)];
  if (output.is_fetched) return;
  if (!output.is_known) {
    OutputTensor tensor = binding_->output(index);
    output.dims = std::move(tensor.dims);
    output.data = tensor.data;
  }
  if (signature_.outputs[static_cast<size_t>(index)].dtype == SIDECALL_STRING)
    binding_->read_strings(index, &output.bytes, &output.offsets);
  output.is_fetched = true;
}

}  // namespace sidecall
