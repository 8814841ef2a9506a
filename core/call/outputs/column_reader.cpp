// Values of columns; see column_reader.h. Used by the C ABI, by records.cpp and by core/verify.cpp.
#include "column_reader.h"

#include <cstring>
#include <string>

#include "core/call/array_arguments.h"
#include "core/error.h"
#include "core/shapes.h"

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

// Returns the output of the column. It has been fetched, and has the declared rank.
const OutputTensors::Tensor& ColumnReader::fetch_column(int32_t column) {
  context_.require_idle();
  if (column == -1)
    throw Error(SIDECALL_UNKNOWN_NAME,
                "unknown column: expected the index of a column, got -1 (not found)");
  if (column < 0 || static_cast<size_t>(column) >= signature_.columns.size())
    throw Error(
        SIDECALL_INVALID_ARGUMENT,
        "column: expected the index of a column of the model, got " + std::to_string(column));
  if (!outputs_.has_results())
    throw Error(SIDECALL_NOT_RUN,
                "outputs: expected a successful run before they are read, got none");
  const Column& found = signature_.columns[static_cast<size_t>(column)];
  const OutputTensors::Tensor& output = outputs_.fetch(found.output);
  // A graph may return another shape than it declares.
  const int64_t width = output.dims.size() < 2 ? 1 : output.dims[1];
  const TensorSpec& spec = signature_.outputs[static_cast<size_t>(found.output)];
  if (output.dims.size() != spec.dims.size() || found.column >= width) {
    throw Error("output", {SIDECALL_SHAPE_MISMATCH, -1, spec.name,
                           describe_tensor(spec.dtype, spec.dims, &spec.dim_names),
                           describe_tensor(spec.dtype, output.dims)});
  }
  return output;
}

ColumnReader::Place ColumnReader::place_of(int64_t row, int32_t index) {
  const OutputTensors::Tensor& output = fetch_column(index);
  const Column& column = signature_.columns[static_cast<size_t>(index)];
  const int64_t width = output.dims.size() < 2 ? 1 : output.dims[1];
  const int64_t rows = output.dims[0];
  if (row < 0 || row >= rows)
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "row: expected 0 to " + std::to_string(rows - 1) + ", got " + std::to_string(row));
  return {column, output, row * width + column.column};
}

double ColumnReader::get_f64(int64_t row, int32_t index) {
  const auto [column, output, element] = place_of(row, index);
  const int32_t dtype = tensor_dtype(column);
  if (dtype == SIDECALL_DTYPE_FLOAT32)
    return static_cast<double>(read_at<float>(output.data, element));
  if (dtype == SIDECALL_DTYPE_FLOAT64) return read_at<double>(output.data, element);
  int64_t integer = 0;
  if (!read_integer(output.data, element, dtype, &integer))
    refuse_column(column, "a numeric column");
  refuse_wrapped(column, row, dtype, integer);
  if (integer > kTwoTo53 || integer < -kTwoTo53)
    throw Error("column", {SIDECALL_OUT_OF_RANGE, row, column.name,
                           "an integer that float64 can hold", "a larger one"});
  return static_cast<double>(integer);
}

int64_t ColumnReader::get_i64(int64_t row, int32_t index) {
  const auto [column, output, element] = place_of(row, index);
  const int32_t dtype = tensor_dtype(column);
  int64_t integer = 0;
  if (!read_integer(output.data, element, dtype, &integer))
    refuse_column(column, "an integer column");
  refuse_wrapped(column, row, dtype, integer);
  return integer;
}

std::string_view ColumnReader::get_str(int64_t row, int32_t index) {
  const auto [column, output, element] = place_of(row, index);
  if (column.dtype != SIDECALL_DTYPE_STRING) refuse_column(column, "a string column");
  const auto at = static_cast<size_t>(element);
  return std::string_view(output.bytes)
      .substr(static_cast<size_t>(output.offsets[at]),
              static_cast<size_t>(output.offsets[at + 1] - output.offsets[at]));
}

void ColumnReader::get_row(int64_t row, const int32_t* columns, double* out, int64_t count) {
  require_array(out, count, "out_values must not be NULL");
  require_count(count, signature_.columns.size(), columns != nullptr);
  for (int64_t at = 0; at < count; ++at) out[at] = get_f64(row, index_at(columns, at));
}

void ColumnReader::get_row(int64_t row, const int32_t* columns, sidecall_value* out,
                           int64_t count) {
  require_array(out, count, "out_values must not be NULL");
  require_count(count, signature_.columns.size(), columns != nullptr);
  for (int64_t at = 0; at < count; ++at) out[at] = get(row, index_at(columns, at));
}

sidecall_value ColumnReader::get(int64_t row, int32_t index) {
  sidecall_value value{};
  switch (place_of(row, index).column.dtype) {
    case SIDECALL_DTYPE_STRING: {
      const std::string_view text = get_str(row, index);
      value.kind = SIDECALL_VALUE_STR;
      value.text = text.data();
      value.length = text.size();
      return value;
    }
    case SIDECALL_DTYPE_BOOL:
      value.kind = SIDECALL_VALUE_BOOL;
      value.i64 = get_i64(row, index) != 0 ? 1 : 0;
      return value;
    case SIDECALL_DTYPE_INT8:
    case SIDECALL_DTYPE_INT16:
    case SIDECALL_DTYPE_INT32:
    case SIDECALL_DTYPE_INT64:
    case SIDECALL_DTYPE_UINT8:
    case SIDECALL_DTYPE_UINT16:
    case SIDECALL_DTYPE_UINT32:
    case SIDECALL_DTYPE_UINT64:
      value.kind = SIDECALL_VALUE_I64;
      value.i64 = get_i64(row, index);
      return value;
    default:
      value.kind = SIDECALL_VALUE_F64;
      value.f64 = get_f64(row, index);
      return value;
  }
}

// `get` reads the value of a row.
template <typename Get>
void ColumnReader::get_rows(int32_t index, int64_t count, Get get) {
  require_rows(count, fetch_column(index).dims[0]);
  for (int64_t row = 0; row < count; ++row) get(row);
}

void ColumnReader::get_column(int32_t index, double* out, int64_t count) {
  require_array(out, count, "out_values must not be NULL");
  get_rows(index, count, [&](int64_t row) { out[row] = get_f64(row, index); });
}

void ColumnReader::get_column(int32_t index, int64_t* out, int64_t count) {
  require_array(out, count, "out_values must not be NULL");
  get_rows(index, count, [&](int64_t row) { out[row] = get_i64(row, index); });
}

void ColumnReader::get_column(int32_t index, const char** out, size_t* out_lengths, int64_t count) {
  require_array(out, count, "out_values must not be NULL");
  require_array(out_lengths, count, "out_lengths must not be NULL");
  get_rows(index, count, [&](int64_t row) {
    const std::string_view text = get_str(row, index);
    out[row] = text.data();
    out_lengths[row] = text.size();
  });
}

}  // namespace sidecall
