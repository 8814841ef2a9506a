// Reading answers by column when the graph returned another shape than it declares.
#include <sidecall/sidecall.h>

#include <catch2/catch_test_macros.hpp>

#include "core/call/call.h"
#include "records_model.h"

using sidecall::Call;
using sidecall::Signature;

namespace {

// Runs a graph that declares [?,5] but returns `shape`, and reads the last column.
int32_t read_last_column(int32_t dtype, const sidecall::Dims& shape) {
  fake::Engine engine;
  engine.outputs = {fake::tensor("y", dtype, {-1, 5})};
  engine.answers = {shape};
  Signature signature;
  engine.sign(&signature);
  sidecall::add_plain_columns(&signature);
  signature.index_records();
  Call call(signature, engine, false, 1);
  call.run(-1);
  return fake::status_of([&] {
    dtype == SIDECALL_DTYPE_STRING ? static_cast<void>(call.columns().get_str(0, 4))
                                   : static_cast<void>(call.columns().get_f64(0, 4));
  });
}

}  // namespace

TEST_CASE("a column beyond the shape of the output is refused") {
  for (const int32_t dtype : {SIDECALL_DTYPE_FLOAT32, SIDECALL_DTYPE_STRING}) {
    CHECK(read_last_column(dtype, {1, 5}) == SIDECALL_OK);
    CHECK(read_last_column(dtype, {1, 1}) == SIDECALL_SHAPE_MISMATCH);
    CHECK(read_last_column(dtype, {1}) == SIDECALL_SHAPE_MISMATCH);
    CHECK(read_last_column(dtype, {1, 5, 0}) == SIDECALL_SHAPE_MISMATCH);
    CHECK(read_last_column(dtype, {}) == SIDECALL_SHAPE_MISMATCH);
  }
}
