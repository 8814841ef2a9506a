// Memory, shapes and values of input tensors; see input_tensors.h. Used by call.cpp,
// feature_writer.h and input_checks.cpp.
#include "input_tensors.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "core/call/shape_inference.h"
#include "core/call/tensor_view.h"
#include "core/contract/feature_refusal.h"
#include "core/error.h"
#include "core/text.h"
#include "float_width.h"

namespace sidecall {
namespace {

// Checks one string of a tensor. Returns the string that the model gets. Adds a fault if a feature
// does not accept the string.
std::string_view check_string(const Signature& signature, int32_t input, int64_t element,
                              std::string_view text, FaultList* faults) {
  const std::vector<int32_t>& features = signature.checks[static_cast<size_t>(input)].feature_at;
  const auto width = static_cast<int64_t>(features.size());
  const int32_t index = features[static_cast<size_t>(element % width)];
  const Feature& feature = signature.features[static_cast<size_t>(index)];
  const bool is_missing = feature.is_missing(text);
  if (is_missing && feature.nullable) return feature.missing_string;
  std::optional<Refusal> refusal;
  if (is_missing)
    refusal = Refusal{SIDECALL_MISSING_VALUE, dtype_name(feature.dtype), "a missing value"};
  else if (!feature.takes_all()) refusal = refusal_of(feature, text);
  if (refusal) {
    Fault fault{refusal->status, element / width, feature.name, std::move(refusal->expected),
                refusal->got};
    faults->add(index, std::move(fault));
  }
  return text;
}

}  // namespace

InputTensors::InputTensors(const Signature& signature, ExecutionContext& context,
                           FeatureStates& states)
    : signature_(signature),
      context_(context),
      states_(states),
      has_joint_layout_(context.has_joint_layout()),
      shapes_(signature.inputs.size()),
      inputs_(signature.inputs.size()) {}

void InputTensors::require_index(int32_t input) const {
  require_tensor_index("input", input, inputs_.size());
}

// ---- Shapes ----

bool InputTensors::has_rows(int64_t rows) const noexcept {
  if (rows != rows_) return false;  // before the first resize(), the shapes have no dimensions
  for (size_t i = 0; i < shapes_.size(); ++i) {
    if (signature_.inputs[i].has_rows() && shapes_[i][0] != rows) return false;
  }
  return true;
}

void InputTensors::resize(int64_t rows) {
  states_.forget();
  std::vector<Dims> shapes = shapes_;
  for (size_t i = 0; i < shapes.size(); ++i) {
    if (shapes[i].empty()) shapes[i] = signature_.inputs[i].dims;
    for (int64_t& dim : shapes[i]) dim = dim < 0 ? 1 : dim;
    if (signature_.inputs[i].has_rows()) shapes[i][0] = rows;
  }
  if (has_joint_layout_) context_.expect(shapes, infer_output_shapes(signature_, shapes, rows));
  for (size_t i = 0; i < shapes.size(); ++i)
    allocate_expected(static_cast<int32_t>(i), std::move(shapes[i]));
  rows_ = rows;
  ++shape_version_;
}

void InputTensors::reshape(int32_t input, const int64_t* dims, int32_t rank) {
  require_index(input);
  require(rank >= 0 && (rank == 0 || dims != nullptr), "dims must not be NULL");
  Dims wanted(dims, dims + rank);
  require_input_shape(signature_.inputs[static_cast<size_t>(input)], wanted);
  allocate(input, std::move(wanted));
}

void InputTensors::resolve_rows() {
  const int64_t rows = common_rows(signature_, shapes_, rows_);
  require_equal_dims(signature_, shapes_);
  if (rows == rows_) return;
  rows_ = rows;
  states_.forget();
}

bool InputTensors::has_opening_shapes() const noexcept {
  for (size_t i = 0; i < shapes_.size(); ++i) {
    const TensorSpec& spec = signature_.inputs[i];
    const Dims& dims = shapes_[i];
    for (size_t k = 0; k < dims.size(); ++k) {
      const int64_t fixed = spec.dims[k] < 0 ? 1 : spec.dims[k];
      if (dims[k] != (k == 0 && spec.has_rows() ? rows_ : fixed)) return false;
    }
  }
  return true;
}

int64_t InputTensors::num_elements() const noexcept {
  int64_t sum = 0;
  for (const Dims& dims : shapes_) sum += count_elements(dims);
  return sum;
}

uint64_t InputTensors::num_bytes() const {
  uint64_t sum = 0;
  for (size_t i = 0; i < shapes_.size(); ++i)
    sum += count_bytes(signature_.inputs[i].dtype, shapes_[i]);
  return sum;
}

// ---- Memory ----

void InputTensors::allocate(int32_t input, Dims dims) {
  const Dims& shape = shapes_[static_cast<size_t>(input)];
  if (has_joint_layout_ && shape != dims && !shape.empty()) expect_shape(input, dims);
  allocate_expected(input, std::move(dims));
}

// If the context has a joint layout, ExecutionContext::expect() must have been called before.
void InputTensors::allocate_expected(int32_t index, Dims dims) {
  Input& input = at(index);
  context_.allocate_input(index, dims);
  input.data = context_.input_data(index);
  input.is_borrowed = false;
  input.is_set = false;
  input.string_faults.clear();
  states_.unset_input(index);
  Dims& shape = shapes_[static_cast<size_t>(index)];
  if (shape != dims) ++shape_version_;
  shape = std::move(dims);
}

// Announces that one input gets another shape. If that input has rows, the caller usually gives the
// other inputs the same number of rows, so their new shapes are announced too.
void InputTensors::expect_shape(int32_t input, const Dims& dims) {
  std::vector<Dims> shapes = shapes_;
  shapes[static_cast<size_t>(input)] = dims;
  const bool has_rows = signature_.inputs[static_cast<size_t>(input)].has_rows();
  for (size_t i = 0; has_rows && i < shapes.size(); ++i) {
    if (signature_.inputs[i].has_rows()) shapes[i][0] = dims[0];
  }
  context_.expect(shapes, infer_output_shapes(signature_, shapes, has_rows ? dims[0] : rows_));
}

void InputTensors::stop_borrowing(int32_t input) {
  if (at(input).is_borrowed) allocate(input, shapes_[static_cast<size_t>(input)]);
}

bool InputTensors::has_borrowed() const noexcept {
  return std::any_of(inputs_.begin(), inputs_.end(),
                     [](const Input& input) { return input.is_borrowed; });
}

// ---- Whole tensors ----

void InputTensors::view(int32_t index, sidecall_view* view) {
  require_index(index);
  stop_borrowing(index);
  Input& input = at(index);
  if (!input.is_set) fill_with_missing(index);
  input.is_set = true;
  const int32_t dtype = signature_.inputs[static_cast<size_t>(index)].dtype;
  const Dims& dims = shapes_[static_cast<size_t>(index)];
  fill_view(view, dtype, dims, input.data, count_bytes(dtype, dims), nullptr);
}

void InputTensors::refuse(int32_t index, const char* got) const {
  require_index(index);
  const TensorSpec& spec = signature_.inputs[static_cast<size_t>(index)];
  throw Error("input", {SIDECALL_DTYPE_MISMATCH, -1, spec.name, dtype_name(spec.dtype), got});
}

void InputTensors::set(int32_t index, const sidecall_view& view, bool borrow) {
  require_index(index);
  Input& input = at(index);
  Dims& shape = shapes_[static_cast<size_t>(index)];
  const TensorSpec& spec = signature_.inputs[static_cast<size_t>(index)];
  const bool is_converted = differ_in_width(view.dtype, spec.dtype);
  if (is_converted && borrow) {
    const Fault fault{SIDECALL_DTYPE_MISMATCH, -1,     spec.name, dtype_name(spec.dtype),
                      dtype_name(view.dtype),  "input"};
    throw Error(fault,
                describe("input", fault) + "; memory of another type can be copied, but not bound");
  }
  if (view.dtype != spec.dtype && !is_converted) refuse(index, dtype_name(view.dtype));
  require(view.rank >= 0 && (view.rank == 0 || view.dims != nullptr), "dims must not be NULL");
  // A reused call usually gets the same shape again. Only another shape is checked and allocated.
  const bool is_same = static_cast<size_t>(view.rank) == shape.size() &&
                       std::equal(shape.begin(), shape.end(), view.dims);
  if (!is_same) require_input_shape(spec, Dims(view.dims, view.dims + view.rank));
  const Dims fresh = is_same ? Dims() : Dims(view.dims, view.dims + view.rank);
  const Dims& dims = is_same ? shape : fresh;
  if (spec.dtype == SIDECALL_DTYPE_STRING) {
    const int64_t count = count_elements(dims);
    require(view.offsets != nullptr, "offsets must not be NULL");
    const int64_t used = view.offsets[count];
    if (used < 0 || static_cast<uint64_t>(used) > view.data_bytes) {
      throw Error("input", {SIDECALL_SHAPE_MISMATCH, -1, spec.name,
                            "offsets of at most " + std::to_string(view.data_bytes),
                            "a larger or negative one"});
    }
    if (!is_same) allocate(index, fresh);
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
    context_.borrow_input(index, view.data, dims);
    input.data = view.data;
    input.is_borrowed = true;
    if (!is_same) shape = fresh, ++shape_version_;
  } else {
    if (is_converted && spec.dtype == SIDECALL_DTYPE_FLOAT32)
      require_float32(signature_, index, view.data, dims);
    if (!is_same || input.is_borrowed) allocate(index, dims);
    if (is_converted) convert_float_width(view.data, input.data, spec.dtype, count_elements(dims));
    else if (bytes > 0) std::memcpy(input.data, view.data, bytes);
  }
  input.is_set = true;
}

void InputTensors::set_strings(int32_t index, const char* data, const int64_t* offsets,
                               int64_t num_strings) {
  require_index(index);
  const TensorSpec& spec = signature_.inputs[static_cast<size_t>(index)];
  if (spec.dtype != SIDECALL_DTYPE_STRING) refuse(index, "string");
  const int64_t count = count_elements(shapes_[static_cast<size_t>(index)]);
  if (num_strings != count) {
    throw Error("input",
                {SIDECALL_SHAPE_MISMATCH, -1, spec.name, std::to_string(count) + " strings",
                 std::to_string(num_strings) + " strings"});
  }
  copy_strings(index, data, offsets, count);
}

// Strings that no tensor may hold are refused at once. Strings that a feature does not accept are
// found here too, but the run reports them, together with all other faults.
void InputTensors::copy_strings(int32_t index, const char* data, const int64_t* offsets,
                                int64_t count) {
  require(offsets != nullptr && (data != nullptr || offsets[count] == offsets[0]),
          "data and offsets must not be NULL");
  require(offsets[0] >= 0, "offsets: expected 0 or more, got a negative number");
  const TensorSpec& spec = signature_.inputs[static_cast<size_t>(index)];
  const auto width =
      static_cast<int64_t>(signature_.checks[static_cast<size_t>(index)].feature_at.size());
  Input& input = at(index);
  input.is_set = false;
  input.string_faults.clear();
  states_.unset_input(index);
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
      context_.set_string(
          index, i,
          width > 0 ? check_string(signature_, index, i, text, &input.string_faults) : text);
    }
  }
  if (!invalid.is_empty()) invalid.raise(true);
  input.is_set = true;
}

// Called before the caller writes into the memory of an input, so that the values that it does not
// write count as missing. Features that were set keep their values.
void InputTensors::fill_with_missing(int32_t index) {
  const TensorSpec& spec = signature_.inputs[static_cast<size_t>(index)];
  const std::vector<int32_t>& features = signature_.checks[static_cast<size_t>(index)].feature_at;
  if (spec.dtype == SIDECALL_DTYPE_STRING || features.empty()) return;
  const int64_t rows = shapes_[static_cast<size_t>(index)][0];
  for (int64_t row = 0; row < rows; ++row) {
    for (const int32_t at : features) {
      if (states_.is_active() && row < rows_ && states_.is_set(row, at)) continue;
      const Feature& feature = signature_.features[static_cast<size_t>(at)];
      const int64_t unwritten =
          spec.dtype == SIDECALL_DTYPE_BOOL ? kUnwrittenBool : kUnwrittenInt64;
      const bool is_reserved = feature.nullable || feature.is_datetime();
      write_number(row, feature, std::nan(""), is_reserved ? feature.missing_int : unwritten);
    }
  }
}

void InputTensors::unset_all() noexcept {
  for (Input& input : inputs_) input.is_set = false;
}

void InputTensors::clear_string_faults() noexcept {
  for (Input& input : inputs_) input.string_faults.clear();
}

// ---- Single values ----

bool InputTensors::are_all_writable(int64_t row) const noexcept {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    if (shapes_[i].empty() || !is_writable(static_cast<int32_t>(i), row)) return false;
  }
  return true;
}

void InputTensors::write_number(int64_t row, const Feature& feature, double value,
                                int64_t integer) noexcept {
  void* data = at(feature.input).data;
  const int64_t element = row * feature.width + feature.column;
  switch (feature.tensor_dtype) {
    case SIDECALL_DTYPE_FLOAT32:
    case SIDECALL_DTYPE_FLOAT64:
      return write_real(row, feature, value);
    case SIDECALL_DTYPE_INT64:
      return write_at(data, element, integer);
    default:  // bool: the contract allows nothing else
      return write_at(data, element, static_cast<uint8_t>(integer));
  }
}

void InputTensors::write_string(int64_t row, const Feature& feature, std::string_view text) {
  context_.set_string(feature.input, row * feature.width + feature.column, text);
}

void InputTensors::write_missing(int64_t row, const Feature& feature) {
  if (feature.tensor_dtype == SIDECALL_DTYPE_STRING)
    write_string(row, feature, feature.missing_string);
  else write_number(row, feature, std::nan(""), feature.missing_int);
}

}  // namespace sidecall
