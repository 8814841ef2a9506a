// NULL, indices out of range and structs of a wrong size, for every function that takes them.
#include <catch2/catch_test_macros.hpp>
#include <cstring>

#include "support.h"

using support::error;
using support::last;
using support::status;

TEST_CASE("functions of a model refuse NULL, and closing NULL does nothing") {
  const sidecall_model* none = nullptr;
  sidecall_call* call = reinterpret_cast<sidecall_call*>(&none);
  sidecall_text* text = reinterpret_cast<sidecall_text*>(&none);
  int32_t index = 7;
  sidecall_model_close(nullptr);
  sidecall_text_close(nullptr);
  sidecall_error_init(nullptr);
  sidecall_model_options_init(nullptr);
  CHECK(status(sidecall_call_open(none, 1, &call, error())) == "INVALID_ARGUMENT");
  CHECK(call == nullptr);
  CHECK(status(sidecall_predict_json(none, "{}", 2, &text, error())) == "INVALID_ARGUMENT");
  CHECK(text == nullptr);
  text = reinterpret_cast<sidecall_text*>(&none);
  CHECK(status(sidecall_predict_json_within(none, "{}", 2, 1, &text, error())) ==
        "INVALID_ARGUMENT");
  CHECK(text == nullptr);
  text = reinterpret_cast<sidecall_text*>(&none);
  CHECK(status(sidecall_model_verify(none, &text, error())) == "INVALID_ARGUMENT");
  CHECK(text == nullptr);
  CHECK(status(sidecall_model_find(none, SIDECALL_KIND_INPUT, "x", 1, &index, error())) ==
        "INVALID_ARGUMENT");
  CHECK(index == -1);
  size_t length = 7;
  CHECK(sidecall_model_contract(none, &length) == nullptr);
  CHECK(sidecall_model_contract(none, nullptr) == nullptr);
  CHECK(sidecall_model_warning(none) == nullptr);
  for (const char* text_of :
       {sidecall_model_name(none), sidecall_model_version(none), sidecall_model_id(none),
        sidecall_model_engine(none), sidecall_model_engine_reason(none)})
    CHECK((text_of == nullptr || *text_of == '\0'));
  CHECK(sidecall_model_num_inputs(none) == 0);
  CHECK(sidecall_model_num_outputs(none) == 0);
  CHECK(sidecall_model_num_features(none) == 0);
  CHECK(sidecall_model_num_columns(none) == 0);
  CHECK(sidecall_model_input_spec(none, 0) == nullptr);
  CHECK(sidecall_model_output_spec(none, 0) == nullptr);
  CHECK(sidecall_model_feature_spec(none, 0) == nullptr);
  CHECK(sidecall_model_column_spec(none, 0) == nullptr);
  CHECK(sidecall_model_input(none, "x") == -1);
  CHECK(sidecall_model_output(none, "x") == -1);
  CHECK(sidecall_model_feature(none, "x") == -1);
  CHECK(sidecall_model_column(none, "x") == -1);
}

TEST_CASE("functions of a call refuse NULL, and closing NULL does nothing") {
  const int64_t dims[] = {1};
  const int64_t offsets[] = {0, 1};
  double f64 = 0;
  int64_t i64 = 0;
  const char* text = "";
  size_t length = 0;
  sidecall_view view = SIDECALL_VIEW_INIT;
  sidecall_call_close(nullptr);
  sidecall_call_cancel(nullptr);
  CHECK(sidecall_call_rows(nullptr) == 0);
  const sidecall_status answers[] = {
      sidecall_call_resize(nullptr, 1, error()),
      sidecall_call_reshape(nullptr, 0, dims, 1, error()),
      sidecall_call_input(nullptr, 0, &view, error()),
      sidecall_call_output(nullptr, 0, &view, error()),
      sidecall_call_copy_input(nullptr, 0, &view, error()),
      sidecall_call_bind_input(nullptr, 0, &view, error()),
      support::mismatch(nullptr, 0, "x"),
      sidecall_call_bind_output(nullptr, 0, &f64, 8, error()),
      sidecall_call_set_strings(nullptr, 0, "x", offsets, 1, error()),
      sidecall_call_reset(nullptr, error()),
      sidecall_call_set_f64(nullptr, 0, 0, 1, error()),
      sidecall_call_set_i64(nullptr, 0, 0, 1, error()),
      sidecall_call_set_bool(nullptr, 0, 0, 1, error()),
      sidecall_call_set_str(nullptr, 0, 0, "x", 1, error()),
      sidecall_call_set_datetime(nullptr, 0, 0, 0, 0, error()),
      sidecall_call_set_instant(nullptr, 0, 0, 0, 0, error()),
      sidecall_call_set_epoch(nullptr, 0, 0, "1", 1, error()),
      sidecall_call_set_missing(nullptr, 0, 0, error()),
      sidecall_call_set_invalid(nullptr, 0, 0, "x", error()),
      sidecall_call_set_unknown(nullptr, 0, "x", 1, error()),
      sidecall_call_clear(nullptr, error()),
      sidecall_call_get_f64(nullptr, 0, 0, &f64, error()),
      sidecall_call_get_i64(nullptr, 0, 0, &i64, error()),
      sidecall_call_get_str(nullptr, 0, 0, &text, &length, error()),
      sidecall_call_run(nullptr, -1, error()),
      sidecall_call_error(nullptr, error()),
  };
  for (const sidecall_status answer : answers) CHECK(status(answer) == "INVALID_ARGUMENT");
  CHECK(text == nullptr);
}

TEST_CASE("NULL as an argument is refused") {
  const sidecall::Model model = support::open("matrix.onnx");
  const sidecall::Model words = support::open("identity_string.onnx");
  sidecall::Call call(model), strings(words);
  sidecall_model* out = nullptr;
  int32_t index = 0;
  sidecall_text* text = nullptr;
  const int64_t offsets[] = {0, 1};
  const sidecall_status answers[] = {
      sidecall_model_open(nullptr, nullptr, &out, error()),
      sidecall_model_open("x", nullptr, nullptr, error()),
      sidecall_model_open_bytes("x", 1, nullptr, nullptr, error()),
      sidecall_model_open_bytes(nullptr, 1, nullptr, &out, error()),
      sidecall_call_open(model.get(), 1, nullptr, error()),
      sidecall_predict_json(model.get(), nullptr, 2, &text, error()),
      sidecall_predict_json(model.get(), "{}", 2, nullptr, error()),
      sidecall_predict_json_within(model.get(), nullptr, 2, -1, &text, error()),
      sidecall_predict_json_within(model.get(), "{}", 2, -1, nullptr, error()),
      sidecall_model_verify(model.get(), nullptr, error()),
      sidecall_engine_describe(nullptr, nullptr, error()),
      sidecall_model_find(model.get(), SIDECALL_KIND_INPUT, nullptr, 1, &index, error()),
      sidecall_model_find(model.get(), SIDECALL_KIND_INPUT, "X", 1, nullptr, error()),
      sidecall_model_find(model.get(), 4, "X", 1, &index, error()),
      sidecall_model_find(model.get(), -1, "X", 1, &index, error()),
      sidecall_call_input(call.get(), 0, nullptr, error()),
      sidecall_call_output(call.get(), 0, nullptr, error()),
      sidecall_call_copy_input(call.get(), 0, nullptr, error()),
      sidecall_call_bind_input(call.get(), 0, nullptr, error()),
      support::mismatch(call.get(), 0, nullptr),
      sidecall_call_reshape(call.get(), 0, nullptr, 2, error()),
      sidecall_call_set_strings(strings.get(), 0, nullptr, offsets, 1, error()),
      sidecall_call_set_strings(strings.get(), 0, "x", nullptr, 1, error()),
      sidecall_call_set_str(call.get(), 0, 0, nullptr, 1, error()),
      sidecall_call_set_invalid(call.get(), 0, 0, nullptr, error()),
      sidecall_call_set_epoch(call.get(), 0, 0, nullptr, 0, error()),
      sidecall_call_set_unknown(call.get(), 0, nullptr, 1, error()),
  };
  for (const sidecall_status answer : answers) CHECK(status(answer) == "INVALID_ARGUMENT");
  call.clear();
  call.set(0, 2, true);
  call.set(0, 3, 1.0);
  call.run();
  const char* got = nullptr;
  size_t length = 0;
  CHECK(status(sidecall_call_get_f64(call.get(), 0, 0, nullptr, error())) == "INVALID_ARGUMENT");
  CHECK(status(sidecall_call_get_i64(call.get(), 0, 0, nullptr, error())) == "INVALID_ARGUMENT");
  CHECK(status(sidecall_call_get_str(call.get(), 0, 0, nullptr, &length, error())) ==
        "INVALID_ARGUMENT");
  CHECK(status(sidecall_call_get_str(call.get(), 0, 0, &got, nullptr, error())) ==
        "INVALID_ARGUMENT");
  CHECK(call.get_f64(0, 0) == 1089);
}

TEST_CASE("indices out of range are refused") {
  const sidecall::Model model = support::open("matrix.onnx");
  sidecall::Call call(model, 2);
  for (const int32_t index : {-2, 99, INT32_MAX, INT32_MIN}) {
    sidecall_view view = SIDECALL_VIEW_INIT;
    double value = 0;
    const int64_t dims[] = {2, 4};
    CHECK(sidecall_model_input_spec(model.get(), index) == nullptr);
    CHECK(sidecall_model_output_spec(model.get(), index) == nullptr);
    CHECK(sidecall_model_feature_spec(model.get(), index) == nullptr);
    CHECK(sidecall_model_column_spec(model.get(), index) == nullptr);
    CHECK(status(sidecall_call_input(call.get(), index, &view, error())) == "INVALID_ARGUMENT");
    CHECK(status(sidecall_call_output(call.get(), index, &view, error())) == "INVALID_ARGUMENT");
    CHECK(status(sidecall_call_reshape(call.get(), index, dims, 2, error())) == "INVALID_ARGUMENT");
    CHECK(status(sidecall_call_copy_input(call.get(), index, &view, error())) ==
          "INVALID_ARGUMENT");
    CHECK(status(support::mismatch(call.get(), index, "x")) == "INVALID_ARGUMENT");
    CHECK(status(sidecall_call_bind_output(call.get(), index, &value, 8, error())) ==
          "INVALID_ARGUMENT");
    CHECK(status(sidecall_call_set_f64(call.get(), 0, index, 1, error())) == "INVALID_ARGUMENT");
    CHECK(status(sidecall_call_set_missing(call.get(), 0, index, error())) == "INVALID_ARGUMENT");
  }
  call.clear();
  for (int64_t row = 0; row < 2; ++row) {
    call.set(row, 2, true);
    call.set(row, 3, 0.5);
  }
  call.run();
  double value = 0;
  for (const int64_t row : {int64_t{-1}, int64_t{2}, INT64_MAX, INT64_MIN}) {
    CHECK(status(sidecall_call_get_f64(call.get(), row, 0, &value, error())) == "INVALID_ARGUMENT");
    CHECK(status(sidecall_call_set_f64(call.get(), row, 3, 1, error())) == "INVALID_ARGUMENT");
    CHECK(status(sidecall_call_set_bool(call.get(), row, 2, 1, error())) == "INVALID_ARGUMENT");
    CHECK(status(sidecall_call_set_missing(call.get(), row, 0, error())) == "INVALID_ARGUMENT");
  }
  for (const int32_t column : {-2, 1, INT32_MAX})
    CHECK(status(sidecall_call_get_f64(call.get(), 0, column, &value, error())) ==
          "INVALID_ARGUMENT");
}

TEST_CASE("-1, the index of an unknown name, is refused") {
  const sidecall::Model model = support::open("matrix.onnx");
  sidecall::Call call(model);
  sidecall_view view = SIDECALL_VIEW_INIT;
  double value = 0;
  CHECK(sidecall_model_input(model.get(), "nothing") == -1);
  CHECK(sidecall_model_input(model.get(), nullptr) == -1);
  CHECK(sidecall_model_input(model.get(), "") == -1);
  const sidecall_status answers[] = {
      sidecall_call_input(call.get(), -1, &view, error()),
      sidecall_call_output(call.get(), -1, &view, error()),
      sidecall_call_copy_input(call.get(), -1, &view, error()),
      sidecall_call_bind_input(call.get(), -1, &view, error()),
      sidecall_call_bind_output(call.get(), -1, nullptr, 0, error()),
      sidecall_call_set_f64(call.get(), 0, -1, 1, error()),
      sidecall_call_set_i64(call.get(), 0, -1, 1, error()),
      sidecall_call_set_bool(call.get(), 0, -1, 1, error()),
      sidecall_call_set_str(call.get(), 0, -1, "x", 1, error()),
      sidecall_call_set_datetime(call.get(), 0, -1, 0, 0, error()),
      sidecall_call_set_instant(call.get(), 0, -1, 0, 0, error()),
      sidecall_call_set_epoch(call.get(), 0, -1, "1", 1, error()),
      sidecall_call_set_missing(call.get(), 0, -1, error()),
  };
  for (const sidecall_status answer : answers) CHECK(status(answer) == "UNKNOWN_NAME");
  call.clear();
  call.set(0, 2, true);
  call.set(0, 3, 0.5);
  call.run();
  CHECK(status(sidecall_call_get_f64(call.get(), 0, -1, &value, error())) == "UNKNOWN_NAME");
}

TEST_CASE("options with an invalid size are refused") {
  const std::string path = test_paths::model("add.onnx");
  struct Newer {
    sidecall_model_options options;
    unsigned char tail[32];
  } newer{};
  sidecall_model_options_init(&newer.options);
  CHECK(newer.options.struct_size == sizeof(sidecall_model_options));
  CHECK(newer.options.timeout_ns == -1);
  CHECK(newer.options.verify == SIDECALL_VERIFY_ERROR);
  sidecall_model* model = nullptr;
  for (const uint32_t size : {0U, 3U, 4097U}) {
    newer.options.struct_size = size;
    CHECK(status(sidecall_model_open(path.c_str(), &newer.options, &model, error())) ==
          "INVALID_ARGUMENT");
  }
  // A program that was built with a newer header works as long as it sets no new option.
  newer.options.struct_size = sizeof newer;
  CHECK(status(sidecall_model_open(path.c_str(), &newer.options, &model, error())) == "OK");
  sidecall_model_close(model);
  newer.tail[31] = 1;
  CHECK(status(sidecall_model_open(path.c_str(), &newer.options, &model, error())) ==
        "INVALID_ARGUMENT");
  CHECK(model == nullptr);
}

TEST_CASE("options out of range are refused") {
  const std::string path = test_paths::model("add.onnx");
  const auto open_with = [&](auto change) {
    sidecall_model_options options;
    sidecall_model_options_init(&options);
    change(&options);
    sidecall_model* model = nullptr;
    const sidecall_status answer = sidecall_model_open(path.c_str(), &options, &model, error());
    sidecall_model_close(model);
    return status(answer);
  };
  CHECK(open_with([](auto* options) { options->verify = 3; }) == "INVALID_ARGUMENT");
  CHECK(open_with([](auto* options) { options->verify = -1; }) == "INVALID_ARGUMENT");
  CHECK(open_with([](auto* options) { options->extra = 2; }) == "INVALID_ARGUMENT");
  CHECK(open_with([](auto* options) { options->timeout_ns = 0; }) == "INVALID_ARGUMENT");
  CHECK(open_with([](auto* options) { options->timeout_ns = -2; }) == "INVALID_ARGUMENT");
  CHECK(open_with([](auto* options) { options->wait_ns = -2; }) == "INVALID_ARGUMENT");
  CHECK(open_with([](auto* options) { options->extra = SIDECALL_EXTRA_IGNORE; }) == "OK");
}

TEST_CASE("a view with an invalid size is refused") {
  const sidecall::Model model = support::open("add.onnx");
  sidecall::Call call(model);
  sidecall_view view = SIDECALL_VIEW_INIT;
  for (const uint32_t size : {0U, 3U, 4097U}) {
    view.struct_size = size;
    CHECK(status(sidecall_call_input(call.get(), 0, &view, error())) == "INVALID_ARGUMENT");
    CHECK(status(sidecall_call_output(call.get(), 0, &view, error())) == "INVALID_ARGUMENT");
    CHECK(status(sidecall_call_copy_input(call.get(), 0, &view, error())) == "INVALID_ARGUMENT");
  }
}

TEST_CASE("rows out of range are refused") {
  const sidecall::Model model = support::open("add.onnx");
  sidecall_call* call = nullptr;
  for (const int64_t rows : {int64_t{0}, int64_t{-1}, INT64_MIN}) {
    CHECK(status(sidecall_call_open(model.get(), rows, &call, error())) == "INVALID_ARGUMENT");
    CHECK(call == nullptr);
  }
  // The first number of rows overflows the size in bytes, the second needs more memory than any
  // machine has.
  CHECK(status(sidecall_call_open(model.get(), INT64_MAX, &call, error())) == "OUT_OF_RANGE");
  CHECK(call == nullptr);
  const std::string answer =
      status(sidecall_call_open(model.get(), INT64_MAX / 16, &call, error()));
  CHECK((answer == "OUT_OF_MEMORY" || answer == "OUT_OF_RANGE"));
}
