// Refusals of a call by its contract, in situations that no model file causes: more faults than are
// kept, tensors mixed with records, one batch after another.
#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "queued_call.h"
#include "records_model.h"

using fake::status_of;
using sidecall::Call;
using sidecall::Dims;
using sidecall::Error;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Two inputs of two numbers each and a string input; three outputs: scores that must be finite, a
// prediction, and for each row the number of the step that refused it.
struct Model {
  fake::Engine engine;
  sidecall::Signature signature;

  Model() {
    engine.inputs = {fake::tensor("X", SIDECALL_DTYPE_FLOAT32, {-1, 2}),
                     fake::tensor("Y", SIDECALL_DTYPE_FLOAT64, {-1, 2}),
                     fake::tensor("word", SIDECALL_DTYPE_STRING, {-1, 1})};
    engine.outputs = {fake::tensor("scores", SIDECALL_DTYPE_FLOAT32, {-1, 2}),
                      fake::tensor("prediction", SIDECALL_DTYPE_FLOAT64, {-1}),
                      fake::tensor("refused", SIDECALL_DTYPE_INT64, {-1})};
    engine.sign(&signature);
    fake::parse_contract(R"({"format": 5, "model": {"id": ""}, "features": [
        {"name": "a", "type": "float32", "nullable": false, "input": "X", "column": 0, "domain": [[0, 1]]},
        {"name": "b", "type": "float32", "nullable": true, "input": "X", "column": 1, "missing": "nan"},
        {"name": "c", "type": "float64", "nullable": true, "input": "Y", "column": 0, "missing": "nan", "domain": [["-inf", -1], [1, 2]]},
        {"name": "d", "type": "float64", "nullable": false, "input": "Y", "column": 1},
        {"name": "word", "type": "string", "nullable": false, "input": "word", "column": 0, "empty": false}],
      "outputs": [{"name": "scores", "role": "scores", "type": "float32", "width": 2, "finite": true},
                  {"name": "prediction", "role": "prediction", "type": "float64"}],
      "refused": {"output": "refused", "steps": [{"step": "log", "expected": "numbers above 0"}, {"step": "pca", "expected": "finite numbers"}]}})",
                         "test", true, &signature);
    signature.index_records();
    engine.expect_refusals();
  }

  void fill(Call* call) const {
    for (int64_t row = 0; row < call->rows(); ++row) {
      call->features().set_f64(row, 0, 0.5);
      call->features().set_f64(row, 2, 1.5);
      call->features().set_f64(row, 3, 0);
      call->features().set_str(row, 4, "w");
    }
  }
};

template <typename Body>
Error error_of(Body body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  }
  return {SIDECALL_OK, "nothing was refused"};
}

template <typename Number>
Number* numbers_of(Call* call, int32_t input) {
  sidecall_view view = SIDECALL_VIEW_INIT;
  call->view_input(input, &view);
  return static_cast<Number*>(view.data);
}

// A model of five numbers of this type between -1 and 1, none of which may be missing.
template <typename Number>
void check_each_place(int32_t dtype, const std::string& type) {
  constexpr int64_t kColumns = 5;
  fake::Engine engine;
  sidecall::Signature signature;
  engine.inputs = {fake::tensor("X", dtype, {-1, kColumns})};
  engine.outputs = {fake::tensor("y", SIDECALL_DTYPE_FLOAT64, {-1})};
  engine.sign(&signature);
  std::string features;
  for (int64_t i = 0; i < kColumns; ++i)
    features += std::string(i == 0 ? "" : ",") + R"({"name": "f)" + std::to_string(i) +
                R"(", "type": ")" + type + R"(", "nullable": false, "input": "X", "column": )" +
                std::to_string(i) + R"(, "domain": [[-1, 1]]})";
  fake::parse_contract(
      R"({"format": 5, "model": {"id": ""}, "features": [)" + features +
          R"(], "outputs": [{"name": "y", "role": "prediction", "type": "float64"}]})",
      "test", true, &signature);
  signature.index_records();
  for (const int64_t rows : {1, 15, 16, 17, 19, 22}) {
    Call call(signature, engine, false, rows);
    Number* const x = numbers_of<Number>(&call, 0);
    for (int64_t at = 0; at < rows * kColumns; ++at) x[at] = at % 2 == 0 ? Number{1} : Number{-1};
    CHECK_NOTHROW(call.run(-1));
    int64_t refused = 0;
    for (int64_t at = 0; at < rows * kColumns; ++at) {
      const Number before = x[at];
      for (const Number wrong : {Number{1.5}, Number{-1.5}, Number{kInfinity}, Number{kNan}}) {
        x[at] = wrong;
        const Error error = error_of([&] { call.run(-1); });
        if (error.num_faults() == 1 && error.faults()[0].row == at / kColumns &&
            error.faults()[0].name == "f" + std::to_string(at % kColumns))
          ++refused;
      }
      x[at] = before;
    }
    CHECK(refused == 4 * rows * kColumns);
  }
}

}  // namespace

TEST_CASE("the output that reports refused rows is not listed among the outputs of the model") {
  const Model model;
  CHECK(model.signature.outputs.size() == 2);
  CHECK(model.signature.output_names.find("refused") == -1);
  CHECK(model.signature.columns.size() == 3);
  Call call(model.signature, model.engine, false, 2);
  model.fill(&call);
  call.run(-1);
  CHECK(call.columns().get_f64(1, 2) == 0);
}

TEST_CASE("all values in tensors are checked by row and feature") {
  const Model model;
  Call call(model.signature, model.engine, false, 3);
  model.fill(&call);
  float* x = numbers_of<float>(&call, 0);
  double* y = numbers_of<double>(&call, 1);
  const std::vector<float> rows = {0.5F, kNan, 2, 7, kNan, kInfinity};
  std::copy(rows.begin(), rows.end(), x);
  const std::vector<double> others = {0, 1, 2, 1, std::nan(""), std::nan("")};
  std::copy(others.begin(), others.end(), y);
  const Error error = error_of([&] { call.run(-1); });
  REQUIRE(error.num_faults() == 4);
  const std::vector<sidecall::Fault>& faults = error.faults();
  CHECK(error.status() == SIDECALL_OUT_OF_RANGE);
  CHECK((faults[0].row == 0 && faults[0].name == "c" &&
         faults[0].expected == "a number from -inf to -1 or from 1 to 2"));
  CHECK((faults[1].row == 1 && faults[1].name == "a" && faults[1].got == "another"));
  CHECK(
      (faults[2].row == 2 && faults[2].name == "a" && faults[2].status == SIDECALL_MISSING_VALUE));
  CHECK(
      (faults[3].row == 2 && faults[3].name == "d" && faults[3].status == SIDECALL_MISSING_VALUE));
  CHECK(std::string(error.what()).find("(row 0); feature 'a'") != std::string::npos);
}

TEST_CASE("a wrong number is found in each place of a batch of any size") {
  check_each_place<double>(SIDECALL_DTYPE_FLOAT64, "float64");
  check_each_place<float>(SIDECALL_DTYPE_FLOAT32, "float32");
}

TEST_CASE("faults of records and of tensors form one list without repetition") {
  const Model model;
  Call call(model.signature, model.engine, false, 2);
  model.fill(&call);
  CHECK(status_of([&] { call.features().raise(call.features().set_f64(1, 0, 3)); }) ==
        SIDECALL_OUT_OF_RANGE);
  CHECK(status_of([&] { call.features().raise(call.features().set_str(0, 4, "")); }) ==
        SIDECALL_INVALID_STRING);
  double* y = numbers_of<double>(&call, 1);
  y[2] = 0;
  const Error error = error_of([&] { call.run(-1); });
  REQUIRE(error.num_faults() == 3);
  CHECK(error.faults()[0].name == "word");
  CHECK((error.faults()[1].name == "a" && error.faults()[1].row == 1));
  CHECK((error.faults()[2].name == "c" && error.faults()[2].row == 1));
  y[2] = 1;
  call.features().set_f64(1, 0, 1);
  call.features().set_str(0, 4, "w");
  call.run(-1);
}

TEST_CASE("refused strings of a tensor are reported by the run unless they are set again") {
  const Model model;
  Call call(model.signature, model.engine, false, 3);
  model.fill(&call);
  const int64_t offsets[] = {0, 0, 1, 1};
  call.set_strings(2, "w", offsets, 3);
  CHECK(status_of([&] { call.features().raise(call.features().set_f64(1, 0, 9)); }) ==
        SIDECALL_OUT_OF_RANGE);
  const Error error = error_of([&] { call.run(-1); });
  REQUIRE(error.num_faults() == 3);
  CHECK((error.faults()[0].row == 0 && error.faults()[0].name == "word"));
  CHECK((error.faults()[1].row == 1 && error.faults()[1].name == "a"));
  CHECK((error.faults()[2].row == 2 && error.faults()[2].status == SIDECALL_INVALID_STRING));
  call.features().set_f64(1, 0, 1);
  call.features().set_str(0, 4, "w");
  CHECK(error_of([&] { call.run(-1); }).num_faults() == 1);
  const int64_t whole[] = {0, 1, 2, 3};
  call.set_strings(2, "www", whole, 3);
  call.run(-1);
}

TEST_CASE("the faults name every row whose text is not UTF-8") {
  const Model model;
  Call call(model.signature, model.engine, false, 3);
  const int64_t offsets[] = {0, 1, 2, 3};
  const Error error = error_of([&] { call.set_strings(2, "\xffw\xff", offsets, 3); });
  CHECK(error.status() == SIDECALL_INVALID_STRING);
  REQUIRE(error.num_faults() == 2);
  CHECK((error.faults()[1].row == 2 && std::string(error.faults()[1].what) == "input"));
}

TEST_CASE("the faults of the first rows are kept, and all faults are counted") {
  const Model model;
  constexpr int64_t kRows = 3000;
  Call call(model.signature, model.engine, false, kRows);
  model.fill(&call);
  float* x = numbers_of<float>(&call, 0);
  double* y = numbers_of<double>(&call, 1);
  for (int64_t row = 0; row < kRows; ++row) x[2 * row] = -1, y[2 * row] = 0;
  const Error error = error_of([&] { call.run(-1); });
  CHECK(error.num_faults() == 2 * kRows);
  REQUIRE(error.faults().size() == 1000);
  CHECK((error.faults().back().row == 499 && error.faults().back().name == "c"));
}

TEST_CASE(
    "each refused row has one fault: the step that refused it, or else the output that is not "
    "finite") {
  Model model;
  model.engine.on_run = [](fake::Context& context) {
    context.refusals[1] = 2;
    context.refusals[3] = 1;
    auto* scores = static_cast<float*>(context.outputs[0].data);
    scores[3] = scores[5] = kNan;                                     // rows 1 and 2
    scores[8] = scores[9] = kInfinity;                                // row 4
    static_cast<double*>(context.outputs[1].data)[0] = std::nan("");  // this output may be NaN
    return sidecall::Outcome::kDone;
  };
  Call call(model.signature, model.engine, false, 5);
  model.fill(&call);
  fake::QueuedCall queued(&call);
  for (const bool is_started : {false, true}) {
    const Error error = error_of([&] {
      if (!is_started) return call.run(-1);
      queued.start(-1);
      queued.finish(-1);
    });
    CHECK(error.status() == SIDECALL_REFUSED);
    CHECK_FALSE(error.retryable());
    REQUIRE(error.num_faults() == 4);
    const std::vector<sidecall::Fault>& faults = error.faults();
    CHECK((faults[0].row == 1 && faults[0].name == "pca" &&
           faults[0].expected == "finite numbers" && std::string(faults[0].what) == "step"));
    CHECK((faults[1].row == 2 && faults[1].name == "scores.1" &&
           std::string(faults[1].what) == "output"));
    CHECK((faults[2].row == 3 && faults[2].name == "log"));
    CHECK((faults[3].row == 4 && faults[3].name == "scores.0"));
    CHECK(std::string(error.what()) ==
          "step 'pca': expected finite numbers, got others (row 1); output 'scores.1': expected "
          "finite numbers, got others (row 2); "
          "step 'log': expected numbers above 0, got others (row 3); and 1 more");
    CHECK(status_of([&] { call.columns().get_f64(0, 0); }) == SIDECALL_NOT_RUN);
  }
}

TEST_CASE("a step index outside the list is an ENGINE error") {
  for (const int64_t number : {INT64_C(3), INT64_C(-1), INT64_MIN}) {
    Model model;
    model.engine.on_run = [number](fake::Context& context) {
      context.refusals[0] = number;
      return sidecall::Outcome::kDone;
    };
    Call call(model.signature, model.engine, false, 1);
    model.fill(&call);
    CHECK(status_of([&] { call.run(-1); }) == SIDECALL_ENGINE);
  }
}

TEST_CASE("an output that must be finite is checked even if only the run determines its shape") {
  Model model;
  model.signature.outputs[0].is_shaped = false;
  model.engine.answers = {{2, 2}};
  model.engine.on_run = [](fake::Context& context) {
    static_cast<float*>(context.outputs[0].data)[2] = kInfinity;
    return sidecall::Outcome::kDone;
  };
  Call call(model.signature, model.engine, false, 2);
  model.fill(&call);
  const Error error = error_of([&] { call.run(-1); });
  CHECK(error.status() == SIDECALL_REFUSED);
  CHECK((error.num_faults() == 1 && error.faults()[0].row == 1 &&
         error.faults()[0].name == "scores.0"));
}

TEST_CASE("a run after a refused one succeeds, also with another number of rows") {
  Model model;
  bool refuses = true;
  model.engine.on_run = [&](fake::Context& context) {
    context.refusals.back() = refuses ? 1 : 0;
    return sidecall::Outcome::kDone;
  };
  Call call(model.signature, model.engine, false, 2);
  model.fill(&call);
  CHECK(status_of([&] { call.run(-1); }) == SIDECALL_REFUSED);
  refuses = false;
  call.run(-1);
  CHECK(call.columns().get_f64(1, 0) == 0);
  call.resize(7);
  model.fill(&call);
  call.run(-1);
  refuses = true;
  CHECK(error_of([&] { call.run(-1); }).faults().at(0).row == 6);
}

TEST_CASE("without a graph no output is removed, and the steps are still read") {
  sidecall::Signature signature;
  const Model model;
  model.engine.sign(&signature);
  fake::parse_contract(R"({"format": 5, "model": {}, "features": [
      {"name": "a", "type": "float32", "nullable": false, "input": "X", "column": 0}, {"name": "b", "type": "float32", "nullable": false, "input": "X", "column": 1},
      {"name": "c", "type": "float64", "nullable": false, "input": "Y", "column": 0}, {"name": "d", "type": "float64", "nullable": false, "input": "Y", "column": 1},
      {"name": "word", "type": "string", "nullable": false, "input": "word", "column": 0}],
      "outputs": [{"name": "prediction", "role": "prediction", "type": "float64"}],
      "refused": {"output": "refused", "steps": [{"step": "log", "expected": "numbers above 0"}]}})",
                       "test", false, &signature);
  CHECK(signature.outputs.size() == 2);
  CHECK_FALSE(signature.has_refusals);
  CHECK(signature.steps.size() == 1);
}
