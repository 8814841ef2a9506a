// Reads the results of a call by column: single values, rows and whole columns.
#pragma once

#include <sidecall/binding.h>
#include <sidecall/sidecall.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/contract/signature.h"
#include "core/execution_context.h"
#include "output_tensors.h"

namespace sidecall {

// Each function throws BUSY during a run, and NOT_RUN if there are no results.
class ColumnReader {
 public:
  // All three must outlive this object.
  ColumnReader(const Signature& signature, ExecutionContext& context, OutputTensors& outputs)
      : signature_(signature), context_(context), outputs_(outputs) {}

  double get_f64(int64_t row, int32_t column);
  int64_t get_i64(int64_t row, int32_t column);
  std::string_view get_str(int64_t row, int32_t column);  // valid until the next run
  // Several columns of a row, and one column of all rows. `columns` may be nullptr for all columns.
  void get_row(int64_t row, const int32_t* columns, sidecall_value* out, int64_t count);
  void get_row(int64_t row, const int32_t* columns, double* out, int64_t count);
  void get_column(int32_t column, double* out, int64_t count);
  void get_column(int32_t column, int64_t* out, int64_t count);
  void get_column(int32_t column, const char** out, size_t* out_lengths, int64_t count);

 private:
  // A value of a column, and the tensor that holds it.
  struct Place {
    const Column& column;
    const OutputTensors::Tensor& output;
    int64_t element;
  };
  Place place_of(int64_t row, int32_t column);
  const OutputTensors::Tensor& fetch_column(int32_t column);
  int32_t tensor_dtype(const Column& column) const {
    return signature_.outputs[static_cast<size_t>(column.output)].dtype;
  }
  sidecall_value get(int64_t row, int32_t column);
  template <typename Get>
  void get_rows(int32_t column, int64_t count, Get get);

  const Signature& signature_;
  ExecutionContext& context_;
  OutputTensors& outputs_;
};

}  // namespace sidecall
