// Records of a call whose tensors are replaced: memory that no longer belongs to the call, and
// values that are lost.
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "queued_call.h"
#include "records_model.h"

using fake::RecordsModel;
using fake::status_of;
using sidecall::Call;
using sidecall::Dims;

namespace {

sidecall_view view_of(int32_t dtype, void* data, const Dims& dims) {
  sidecall_view view = SIDECALL_VIEW_INIT;
  view.dtype = dtype;
  view.rank = static_cast<int32_t>(dims.size());
  view.dims = dims.data();
  view.data = data;
  view.data_bytes = sidecall::count_bytes(dtype, dims);
  return view;
}

// One float input with one nullable feature.
struct OneFeature {
  fake::Engine engine;
  sidecall::Signature signature;

  OneFeature() {
    engine.inputs = {fake::tensor("x", SIDECALL_DTYPE_FLOAT32, {-1, 1})};
    engine.outputs = {fake::tensor("prediction", SIDECALL_DTYPE_FLOAT32, {-1, 1})};
    engine.sign(&signature);
    fake::parse_contract(
        R"({"format": 5, "model": {"id": ""}, "features": [{"name": "x", "type": "float32", "nullable": true, "input": "x", "column": 0, "missing": "nan"}],
            "outputs": [{"name": "prediction", "role": "prediction", "type": "float32"}]})",
        "test", true, &signature);
    signature.index_records();
  }
};

}  // namespace

TEST_CASE("a row beyond the given tensor is refused") {
  const OneFeature model;
  Call call(model.signature, model.engine, false, 1);
  constexpr int64_t kRows = 4096;
  std::vector<float> x(kRows);
  const Dims dims = {kRows, 1}, one = {1, 1};
  call.set_input(0, view_of(SIDECALL_DTYPE_FLOAT32, x.data(), dims), true);
  call.run(-1);
  REQUIRE(call.rows() == kRows);
  call.reset();
  call.reshape(0, one.data(), 2);
  CHECK(status_of([&] { call.features().raise(call.features().set_f64(kRows - 1, 0, 1)); }) ==
        SIDECALL_INVALID_ARGUMENT);
  call.features().set_f64(0, 0, 1);
}

TEST_CASE("memory that was bound is not written after the call was cleared") {
  const OneFeature model;
  for (const bool sets : {false, true}) {
    Call call(model.signature, model.engine, false, 2);
    std::vector<float> x = {1, 2};
    const Dims dims = {2, 1};
    call.set_input(0, view_of(SIDECALL_DTYPE_FLOAT32, x.data(), dims), true);
    call.run(-1);
    call.clear();
    if (sets) call.features().set_f64(0, 0, 5);
    call.run(-1);
    CHECK(x == std::vector<float>{1, 2});
  }
}

TEST_CASE("features of an input must be set again after its values were cleared") {
  const RecordsModel model;
  const auto call = model.call(1);
  model.fill(call.get(), 0);
  call->run(-1);
  const Dims dims = {1, 1};
  call->reshape(5, dims.data(), 2);  // the feature sex
  CHECK(status_of([&] { call->run(-1); }) == SIDECALL_MISSING_VALUE);
  call->features().set_str(0, model.feature("sex"), "male");
  call->run(-1);
  const int64_t offsets[] = {0, 1};
  CHECK(status_of([&] { call->set_strings(5, "\xff", offsets, 1); }) == SIDECALL_INVALID_STRING);
  CHECK(status_of([&] { call->run(-1); }) == SIDECALL_MISSING_VALUE);
}

TEST_CASE("refused values beyond the limit are counted, and corrected ones are not") {
  const OneFeature model;
  constexpr int64_t kRows = 1500;
  Call call(model.signature, model.engine, false, kRows);
  for (int64_t row = 0; row < kRows; ++row) CHECK(call.features().set_bool(row, 0, 1) != nullptr);
  for (int64_t row = 0; row < 1000; ++row) call.features().set_f64(row, 0, 1);
  try {
    call.run(-1);
    FAIL("refused values were forgotten");
  } catch (const sidecall::Error& error) {
    CHECK(error.num_faults() == 500);
    CHECK(error.faults().front().row == 1000);
  }
  for (int64_t row = 1000; row < kRows; ++row) call.features().set_f64(row, 0, 1);
  call.run(-1);
}

TEST_CASE("a value that was set and then refused is one fault until it is set again") {
  const OneFeature model;
  Call call(model.signature, model.engine, false, 1);
  call.features().set_f64(0, 0, 1);
  CHECK(call.features().set_str(0, 0, "text") != nullptr);
  CHECK(status_of([&] { call.run(-1); }) == SIDECALL_DTYPE_MISMATCH);
  call.features().set_f64(0, 0, 2);
  call.run(-1);
}

TEST_CASE("outputs cannot be read after shapes changed") {
  const OneFeature model;
  Call call(model.signature, model.engine, false, 1);
  call.features().set_f64(0, 0, 1);
  call.run(-1);
  std::vector<float> x(3), small(1);
  const Dims dims = {3, 1};
  call.set_input(0, view_of(SIDECALL_DTYPE_FLOAT32, x.data(), dims), false);
  CHECK(status_of([&] { call.bind_output(0, small.data(), 4); }) == SIDECALL_SHAPE_MISMATCH);
  CHECK(status_of([&] { call.columns().get_f64(2, 0); }) == SIDECALL_NOT_RUN);
}

TEST_CASE("an exception of the engine keeps its status") {
  OneFeature model;
  model.engine.on_run = [](fake::Context&) -> sidecall::Outcome { throw std::bad_alloc(); };
  Call call(model.signature, model.engine, false, 1);
  call.features().set_f64(0, 0, 1);
  CHECK_THROWS_AS(call.run(-1), std::bad_alloc);
  fake::QueuedCall queued(&call);
  queued.start(-1);
  CHECK_THROWS_AS(queued.finish(-1), std::bad_alloc);
  CHECK(status_of([&] { call.columns().get_f64(0, 0); }) == SIDECALL_NOT_RUN);
}

TEST_CASE("the values of a view are missing until the caller writes them") {
  const RecordsModel model;
  const auto call = model.call(2);
  sidecall_view x = SIDECALL_VIEW_INIT, id = SIDECALL_VIEW_INIT, on = SIDECALL_VIEW_INIT;
  call->features().set_f64(1, model.feature("amount"), 7);
  for (const int64_t row : {0, 1}) {
    call->features().set_str(row, model.feature("job"), "nurse");
    call->features().set_str(row, model.feature("sex"), "male");
    call->features().set_f64(row, model.feature("time"), 0);
  }
  call->view_input(0, &x);
  call->view_input(1, &id);
  call->view_input(3, &on);
  auto* numbers = static_cast<float*>(x.data);
  CHECK(std::isnan(numbers[0]));
  CHECK(std::isnan(numbers[1]));
  CHECK(numbers[4] == 7);  // it was set before
  CHECK(static_cast<int64_t*>(id.data)[1] == -1);

  const auto faults = [&] {
    std::vector<std::string> found;
    try {
      call->run(-1);
    } catch (const sidecall::Error& error) {
      for (const sidecall::Fault& fault : error.faults()) {
        CHECK(fault.status == SIDECALL_MISSING_VALUE);
        found.push_back(fault.name + " " + std::to_string(fault.row));
      }
    }
    return found;
  };
  CHECK(faults() == std::vector<std::string>{"amount 0", "flag 0", "on 0", "flag 1", "on 1"});
  numbers[0] = 1;
  numbers[2] = numbers[6] = 1;
  auto* bools = static_cast<uint8_t*>(on.data);
  bools[0] = 1;
  CHECK(faults() == std::vector<std::string>{"on 1"});
  bools[1] = 0;
  CHECK(faults().empty());
  call->view_input(3, &on);  // a view that is taken again keeps its values
  CHECK(static_cast<uint8_t*>(on.data)[0] == 1);
  call->reset();
  call->view_input(3, &on);
  CHECK(static_cast<uint8_t*>(on.data)[0] > 1);
}

TEST_CASE("an integer that may not be missing must be written into its view") {
  fake::Engine engine;
  engine.inputs = {fake::tensor("n", SIDECALL_DTYPE_INT64, {-1, 1})};
  engine.outputs = {fake::tensor("prediction", SIDECALL_DTYPE_FLOAT32, {-1, 1})};
  sidecall::Signature signature;
  engine.sign(&signature);
  fake::parse_contract(
      R"({"format": 5, "model": {"id": ""}, "features": [{"name": "n", "type": "int64", "nullable": false, "input": "n", "column": 0}],
          "outputs": [{"name": "prediction", "role": "prediction", "type": "float32"}]})",
      "test", true, &signature);
  signature.index_records();
  Call call(signature, engine, false, 1);
  sidecall_view view = SIDECALL_VIEW_INIT;
  call.view_input(0, &view);
  auto* integer = static_cast<int64_t*>(view.data);
  const int64_t unwritten = *integer;
  CHECK(status_of([&] { call.run(-1); }) == SIDECALL_MISSING_VALUE);
  for (const int64_t value : {INT64_C(0), INT64_MIN, INT64_MAX, unwritten + 1}) {
    *integer = value;
    CHECK(status_of([&] { call.run(-1); }) == SIDECALL_OK);
  }
  // A setter refuses the number, because other routes could not tell it from one that is missing.
  call.clear();
  const sidecall::Fault* const fault = call.features().set_i64(0, 0, unwritten);
  REQUIRE(fault != nullptr);
  CHECK(fault->status == SIDECALL_OUT_OF_RANGE);
  CHECK(status_of([&] { call.run(-1); }) == SIDECALL_OUT_OF_RANGE);
  CHECK(call.features().set_i64(0, 0, unwritten + 1) == nullptr);
  CHECK(status_of([&] { call.run(-1); }) == SIDECALL_OK);
}
