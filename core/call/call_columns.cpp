// Reads the results of a call one value at a time, by column.
#include <cstring>

#include "call.h"

namespace sidecall {
namespace {

constexpr int64_t kTwoTo53 = INT64_C(1) << 53;

template <typename T>
T read_at(const void* data, int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + index * static_cast<int64_t>(sizeof(T)),
              sizeof(T));
  return value;
}

[[noreturn]] void refuse_column(const Column& column, const char* expected) {
  throw Error("column",
              {SIDECALL_DTYPE_MISMATCH, -1, column.name, expected, dtype_name(column.dtype)});
}

bool read_integer(const void* data, int64_t index, int32_t dtype, int64_t* value) {
  switch (dtype) {
    case SIDECALL_DTYPE_INT64:
      *value = read_at<int64_t>(data, index);
      return true;
    case SIDECALL_DTYPE_INT32:
      *value = read_at<int32_t>(data, index);
      return true;
    case SIDECALL_DTYPE_INT16:
      *value = read_at<int16_t>(data, index);
      return true;
    case SIDECALL_DTYPE_INT8:
      *value = read_at<int8_t>(data, index);
      return true;
    case SIDECALL_DTYPE_UINT32:
      *value = read_at<uint32_t>(data, index);
      return true;
    case SIDECALL_DTYPE_UINT16:
      *value = read_at<uint16_t>(data, index);
      return true;
    case SIDECALL_DTYPE_UINT64:
      // Negative if the number does not fit in int64; refuse_wrapped() throws then.
      *value = static_cast<int64_t>(read_at<uint64_t>(data, index));
      return true;
    case SIDECALL_DTYPE_BOOL:
    case SIDECALL_DTYPE_UINT8:
      *value = read_at<uint8_t>(data, index);
      return true;
    default:
      return false;
  }
}

void refuse_wrapped(const Column& column, int64_t row, int32_t dtype, int64_t integer) {
  if (dtype != SIDECALL_DTYPE_UINT64 || integer >= 0) return;
  throw Error("column", {SIDECALL_OUT_OF_RANGE, row, column.name, "an integer that int64 can hold",
                         "a larger one"});
}

}  // namespace

// The column, whose output has been fetched and has the declared rank.
const Column& Call::result_column(int32_t column) {
  require_idle();
  if (column == -1)
    throw Error(SIDECALL_UNKNOWN_NAME,
                "unknown column: expected the index of a column, got -1 (not found)");
  if (column < 0 || static_cast<size_t>(column) >= signature_.columns.size())
    throw Error(
        SIDECALL_INVALID_ARGUMENT,
        "column: expected the index of a column of the model, got " + std::to_string(column));
  if (!has_results_)
    throw Error(SIDECALL_NOT_RUN,
                "outputs: expected a successful run before they are read, got none");
  const Column& found = signature_.columns[static_cast<size_t>(column)];
  Output& output = outputs_[static_cast<size_t>(found.output)];
  const bool is_string =
      signature_.outputs[static_cast<size_t>(found.output)].dtype == SIDECALL_DTYPE_STRING;
  if (!output.is_fetched && (is_string || !output.is_known)) fetch(found.output);
  // A graph may return another shape than it declares.
  const int64_t width = output.dims.size() < 2 ? 1 : output.dims[1];
  const TensorSpec& spec = signature_.outputs[static_cast<size_t>(found.output)];
  if (output.dims.size() != spec.dims.size() || found.column >= width) {
    throw Error("output", {SIDECALL_SHAPE_MISMATCH, -1, spec.name,
                           describe_tensor(spec.dtype, spec.dims, &spec.dim_names),
                           describe_tensor(spec.dtype, output.dims)});
  }
  return found;
}

const Column& Call::column_at(int64_t row, int32_t column, int64_t* element) {
  const Column& found = result_column(column);
  const Output& output = outputs_[static_cast<size_t>(found.output)];
  const int64_t width = output.dims.size() < 2 ? 1 : output.dims[1];
  const int64_t rows = output.dims[0];
  if (row < 0 || row >= rows)
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "row: expected 0 to " + std::to_string(rows - 1) + ", got " + std::to_string(row));
  *element = row * width + found.column;
  return found;
}

double Call::get_f64(int64_t row, int32_t index) {
  int64_t element = 0;
  const Column& column = column_at(row, index, &element);
  const void* data = outputs_[static_cast<size_t>(column.output)].data;
  const int32_t dtype = signature_.outputs[static_cast<size_t>(column.output)].dtype;
  if (dtype == SIDECALL_DTYPE_FLOAT32) return static_cast<double>(read_at<float>(data, element));
  if (dtype == SIDECALL_DTYPE_FLOAT64) return read_at<double>(data, element);
  int64_t integer = 0;
  if (!read_integer(data, element, dtype, &integer)) refuse_column(column, "a numeric column");
  refuse_wrapped(column, row, dtype, integer);
  if (integer > kTwoTo53 || integer < -kTwoTo53)
    throw Error("column", {SIDECALL_OUT_OF_RANGE, row, column.name,
                           "an integer that float64 can hold", "a larger one"});
  return static_cast<double>(integer);
}

int64_t Call::get_i64(int64_t row, int32_t index) {
  int64_t element = 0;
  const Column& column = column_at(row, index, &element);
  const int32_t dtype = signature_.outputs[static_cast<size_t>(column.output)].dtype;
  int64_t integer = 0;
  if (!read_integer(outputs_[static_cast<size_t>(column.output)].data, element, dtype, &integer))
    refuse_column(column, "an integer column");
  refuse_wrapped(column, row, dtype, integer);
  return integer;
}

std::string_view Call::get_str(int64_t row, int32_t index) {
  int64_t element = 0;
  const Column& column = column_at(row, index, &element);
  if (column.dtype != SIDECALL_DTYPE_STRING) refuse_column(column, "a string column");
  const Output& output = outputs_[static_cast<size_t>(column.output)];
  const auto at = static_cast<size_t>(element);
  return std::string_view(output.bytes)
      .substr(static_cast<size_t>(output.offsets[at]),
              static_cast<size_t>(output.offsets[at + 1] - output.offsets[at]));
}

}  // namespace sidecall
