// Tensors of a call: views, shapes, bound memory, strings, and the lifetime of each.
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstring>
#include <memory>
#include <vector>

#include "support.h"

using sidecall::Call;
using sidecall::Model;
using sidecall::View;
using support::error;
using support::last;
using support::status;

TEST_CASE("inputs are read in place") {
  const Model model = support::open("add.onnx");
  Call call(model, 2);
  const View x = call.input(0);
  REQUIRE(x.size() == 4);
  CHECK(reinterpret_cast<uintptr_t>(x.bytes().data()) % 64 == 0);
  for (size_t i = 0; i < 4; ++i) x.as<float>()[i] = static_cast<float>(i);
  call.run();
  const View y = call.output(0);
  CHECK(y.as<float>()[3] == 23);
  // The next run uses the same memory, for inputs and outputs.
  x.as<float>()[3] = 100;
  call.run();
  CHECK(y.as<float>()[3] == 120);
  CHECK(call.output(0).bytes().data() == y.bytes().data());
  CHECK(call.input(0).bytes().data() == x.bytes().data());
  CHECK_THROWS_AS(y.as<double>(), sidecall::Error);
  CHECK_THROWS_AS(y.str(0), sidecall::Error);
}

TEST_CASE("an output can be read only after a run") {
  const Model model = support::open("nonzero.onnx");
  Call call(model, 3);
  View twice = call.output(1);
  if (support::has_dim_names()) {
    REQUIRE(twice.rank() == 1);
    CHECK(twice.dims()[0] == 3);
  } else {
    CHECK(twice.rank() == -1);
  }
  CHECK(twice.bytes().data() == nullptr);
  CHECK(call.output(0).rank() == -1);  // only a run can tell how many elements are not zero
  double value = 0;
  CHECK(status(sidecall_call_get_f64(call.get(), 0, 0, &value, error())) == "NOT_RUN");
  call.input(0).as<int64_t>()[1] = 4;
  call.run();
  CHECK(call.output(0).rank() == 2);
  CHECK(call.output(0).as<int64_t>()[0] == 1);
  call.resize(4);
  CHECK(call.output(0).rank() == -1);
  CHECK(call.output(1).bytes().data() == nullptr);
}

TEST_CASE("a run fails until every input is given") {
  const Model model = support::open("two_inputs.onnx");
  Call call(model);
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "MISSING_INPUT");
  CHECK(last().name == std::string("a"));
  call.input(0).as<float>()[0] = 1;
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "MISSING_INPUT");
  CHECK(last().name == std::string("b"));
  call.input(1).as<int64_t>()[0] = 2;
  call.run();
  CHECK(call.get_f64(0, 0) == 3);
  CHECK(call.get_i64(0, 1) == 4);
  call.run();
  call.reset();
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "MISSING_INPUT");
  call.input(0);
  call.input(1);
  call.run();
}

TEST_CASE("an input that gets more rows loses the features that were set") {
  const Model model = support::open("prediction_wide.onnx");
  Call call(model);
  const auto width = static_cast<int64_t>(model.num_features());
  for (int32_t i = 0; i < model.num_features(); ++i)
    REQUIRE(status(sidecall_call_set_f64(call.get(), 0, i, 1, error())) == "OK");
  call.run();
  const std::array<int64_t, 2> dims{3, width};
  REQUIRE(status(sidecall_call_reshape(call.get(), 0, dims.data(), 2, error())) == "OK");
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "MISSING_INPUT");
}

TEST_CASE("an input that was not given is missing, whatever the shapes of the others are") {
  const Model model = support::open("matmul.onnx");
  Call call(model);
  const std::array<int64_t, 2> dims{3, 2};
  const int32_t a = model.input("a");
  REQUIRE(status(sidecall_call_reshape(call.get(), a, dims.data(), 2, error())) == "OK");
  call.input(a);
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "MISSING_INPUT");
  CHECK(last().name == std::string("b"));
}

TEST_CASE("resize clears the values unless the number of rows stays the same") {
  const Model model = support::open("add.onnx");
  Call call(model, 2);
  support::give_x(call, {1, 2, 3, 4});
  call.resize(2);
  call.run();
  CHECK(call.get_f64(1, 0) == 13);
  call.resize(3);
  CHECK(call.rows() == 3);
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "MISSING_INPUT");
  for (const int64_t rows : {int64_t{0}, int64_t{-5}})
    CHECK(status(sidecall_call_resize(call.get(), rows, error())) == "INVALID_ARGUMENT");
  CHECK(status(sidecall_call_resize(call.get(), INT64_MAX, error())) == "OUT_OF_RANGE");
  // The call is still usable after the refused sizes.
  call.resize(1);
  support::give_x(call, {5, 6});
  call.run();
  CHECK(call.get_f64(0, 1) == 26);
}

TEST_CASE("reshape accepts only shapes that the spec allows") {
  const Model model = support::open("free_dims.onnx");
  Call call(model);
  const auto reshape = [&](std::vector<int64_t> dims) {
    return status(sidecall_call_reshape(call.get(), 0, dims.data(),
                                        static_cast<int32_t>(dims.size()), error()));
  };
  CHECK(call.input(0).dims()[1] == 1);
  CHECK(reshape({1, 4, 3}) == "OK");
  CHECK(call.input(0).size() == 12);
  CHECK(reshape({1, 4, 2}) == "SHAPE_MISMATCH");
  CHECK(last().expected ==
        std::string(support::has_dim_names() ? "float32[N,T,3]" : "float32[?,?,3]"));
  CHECK(last().got == std::string("float32[1,4,2]"));
  CHECK(reshape({1, 4}) == "SHAPE_MISMATCH");
  CHECK(reshape({1, 4, 3, 1}) == "SHAPE_MISMATCH");
  CHECK(reshape({}) == "SHAPE_MISMATCH");
  CHECK(reshape({1, -1, 3}) == "SHAPE_MISMATCH");
  CHECK(reshape({0, 1, 3}) == "SHAPE_MISMATCH");
  CHECK(reshape({INT64_MAX, INT64_MAX, 3}) == "OUT_OF_RANGE");
  CHECK(reshape({1, INT64_MAX / 3, 3}) == "OUT_OF_RANGE");
  CHECK(reshape({4294967296, 4294967296, 3}) == "OUT_OF_RANGE");
  CHECK(status(sidecall_call_reshape(call.get(), 0, nullptr, -1, error())) == "INVALID_ARGUMENT");
  // The refused shapes changed nothing.
  CHECK(call.input(0).dims()[1] == 4);
  for (float& value : call.input(0).as<float>()) value = 1;
  call.run();
  CHECK(call.output(0).as<float>()[2] == 4);
}

TEST_CASE("bound memory is read in place at each run") {
  const Model model = support::open("add.onnx");
  Call call(model);
  alignas(64) float x[] = {1, 2};
  const int64_t dims[] = {1, 2};
  call.bind_input(0, View::of<float>({x, 2}, {dims, 2}));
  call.run();
  CHECK(call.get_f64(0, 0) == 11);
  x[0] = 5;
  call.run();
  CHECK(call.get_f64(0, 0) == 15);
  // Setting the input in another way releases the bound memory.
  support::give_x(call, {7, 8});
  x[0] = 100;
  call.run();
  CHECK(call.get_f64(0, 0) == 17);
  call.bind_input(0, View::of<float>({x, 2}, {dims, 2}));
  call.input(0).as<float>()[0] = 9;
  CHECK(x[0] == 100);
}

TEST_CASE("unaligned memory is copied") {
  const Model model = support::open("add.onnx");
  Call call(model);
  alignas(8) unsigned char bytes[9];
  const float x[] = {1, 2};
  std::memcpy(bytes + 1, x, sizeof x);
  const int64_t dims[] = {1, 2};
  call.bind_input(0, View::raw(SIDECALL_DTYPE_FLOAT32, bytes + 1, sizeof x, {dims, 2}));
  call.run();
  CHECK(call.get_f64(0, 1) == 22);
}

TEST_CASE("a tensor with another shape or type is refused and changes nothing") {
  const Model model = support::open("add.onnx");
  Call call(model);
  support::give_x(call, {1, 2});
  const float x[] = {1, 2, 3, 4};
  const int64_t dims[] = {1, 2}, flat[] = {2}, negative[] = {-1, 2}, huge[] = {INT64_MAX / 4, 2};
  const auto give = [&](const View& view, bool bind) {
    return status(bind ? sidecall_call_bind_input(call.get(), 0, &view.get(), error())
                       : sidecall_call_copy_input(call.get(), 0, &view.get(), error()));
  };
  for (const bool bind : {false, true}) {
    CHECK(give(View::raw(SIDECALL_DTYPE_FLOAT32, x, 4, {dims, 2}), bind) == "SHAPE_MISMATCH");
    CHECK(give(View::raw(SIDECALL_DTYPE_FLOAT32, x, 16, {dims, 2}), bind) == "SHAPE_MISMATCH");
    CHECK(give(View::raw(SIDECALL_DTYPE_FLOAT32, x, 8, {flat, 1}), bind) == "SHAPE_MISMATCH");
    CHECK(give(View::raw(SIDECALL_DTYPE_FLOAT32, x, 8, {negative, 2}), bind) == "SHAPE_MISMATCH");
    CHECK(give(View::raw(SIDECALL_DTYPE_FLOAT32, nullptr, 8, {dims, 2}), bind) ==
          "INVALID_ARGUMENT");
    CHECK(give(View::raw(SIDECALL_DTYPE_FLOAT32, x, 8, {nullptr, 2}), bind) == "INVALID_ARGUMENT");
    CHECK(give(View::raw(SIDECALL_DTYPE_FLOAT32, x, 8, {huge, 2}), bind) == "OUT_OF_RANGE");
    CHECK(give(View::raw(0, x, 8, {dims, 2}), bind) == "DTYPE_MISMATCH");
    CHECK(give(View::raw(12345, x, 8, {dims, 2}), bind) == "DTYPE_MISMATCH");
    CHECK(last().got == std::string("unknown"));
  }
  CHECK(status(support::mismatch(call.get(), 0, "complex128")) == "DTYPE_MISMATCH");
  CHECK(last().message == std::string("input 'x': expected float32, got complex128"));
  call.run();
  CHECK(call.get_f64(0, 0) == 11);
}

TEST_CASE("outputs are written into bound memory") {
  const Model model = support::open("add.onnx");
  Call call(model);
  support::give_x(call, {1, 2});
  alignas(64) float y[3] = {0, 0, -1};
  if (!support::has_dim_names()) {
    CHECK(status(sidecall_call_bind_output(call.get(), 0, y, 8, error())) == "SHAPE_MISMATCH");
    return;
  }
  call.bind_output(0, y, 8);
  call.run();
  CHECK(y[0] == 11);
  CHECK(y[1] == 22);
  CHECK(y[2] == -1);
  CHECK(call.output(0).bytes().data() == reinterpret_cast<unsigned char*>(y));
  CHECK(status(sidecall_call_bind_output(call.get(), 0, y, 4, error())) == "SHAPE_MISMATCH");
  CHECK(status(sidecall_call_bind_output(call.get(), 0, y, 12, error())) == "SHAPE_MISMATCH");
  CHECK(status(sidecall_call_bind_output(call.get(), 0, reinterpret_cast<char*>(y) + 1, 8,
                                         error())) == "INVALID_ARGUMENT");
  call.bind_output(0, nullptr, 0);
  y[0] = 0;
  call.run();
  CHECK(y[0] == 0);
  CHECK(call.get_f64(0, 0) == 11);
  // A new input shape also releases the bound memory, because it might be too small.
  call.bind_output(0, y, 8);
  call.resize(2);
  support::give_x(call, {1, 2, 3, 4});
  call.run();
  CHECK(y[0] == 0);
  CHECK(call.get_f64(1, 1) == 24);
  const Model unknown = support::open("nonzero.onnx"),
              words = support::open("identity_string.onnx");
  Call counts(unknown), strings(words);
  CHECK(status(sidecall_call_bind_output(counts.get(), 0, y, 8, error())) == "SHAPE_MISMATCH");
  CHECK(status(sidecall_call_bind_output(strings.get(), 0, y, 8, error())) == "DTYPE_MISMATCH");
}

TEST_CASE("strings are passed as bytes and offsets") {
  const Model model = support::open("identity_string.onnx");
  Call call(model, 3);
  const View before = call.input(0);
  CHECK(before.dtype() == SIDECALL_DTYPE_STRING);
  CHECK(before.bytes().data() == nullptr);
  call.reset();
  const std::string bytes = "xxoneéthree";
  const int64_t offsets[] = {2, 5, 7, 12};
  call.set_strings(0, bytes, {offsets, 4});
  call.run();
  View out = call.output(0);
  CHECK(out.str(0) == "one");
  CHECK(out.str(1) == "é");
  CHECK(out.str(2) == "three");
  CHECK(call.get_str(2, 0) == "three");
  const int64_t falling[] = {0, 3, 2, 5}, negative[] = {-1, 0, 1, 2}, splitting[] = {2, 5, 6, 12};
  CHECK(status(sidecall_call_set_strings(call.get(), 0, bytes.data(), falling, 3, error())) ==
        "INVALID_ARGUMENT");
  CHECK(status(sidecall_call_set_strings(call.get(), 0, bytes.data(), negative, 3, error())) ==
        "INVALID_ARGUMENT");
  CHECK(status(sidecall_call_set_strings(call.get(), 0, bytes.data(), splitting, 3, error())) ==
        "INVALID_STRING");
  CHECK(last().row == 1);
  CHECK(status(sidecall_call_set_strings(call.get(), 0, bytes.data(), offsets, 2, error())) ==
        "SHAPE_MISMATCH");
  CHECK(status(sidecall_call_set_strings(call.get(), 0, bytes.data(), offsets, -1, error())) ==
        "SHAPE_MISMATCH");
  const Model numbers = support::open("add.onnx");
  Call other(numbers);
  CHECK(status(sidecall_call_set_strings(other.get(), 0, bytes.data(), offsets, 3, error())) ==
        "DTYPE_MISMATCH");
}

TEST_CASE("strings whose offsets exceed their bytes are refused") {
  const Model model = support::open("identity_string.onnx");
  Call call(model);
  const int64_t offsets[] = {0, 1000000}, dims[] = {1};
  const View view = View::strings("short", {offsets, 2}, {dims, 1});
  const std::string answer = status(sidecall_call_copy_input(call.get(), 0, &view.get(), error()));
  CHECK((answer == "SHAPE_MISMATCH" || answer == "INVALID_ARGUMENT"));
}

TEST_CASE("a bool is a byte of 0 or 1") {
  const Model model = support::open("identity_bool.onnx");
  Call call(model, 2);
  const View x = call.input(0);
  auto* bytes =
      static_cast<uint8_t*>(const_cast<void*>(static_cast<const void*>(x.bytes().data())));
  bytes[1] = 2;
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "OUT_OF_RANGE");
  CHECK(last().name == std::string(model.input_spec(0)->name));
  bytes[1] = 1;
  call.run();
}

TEST_CASE("after a failed run there are no outputs, and the call stays usable") {
  const Model model = support::open("gather.onnx");
  Call call(model);
  call.input(0).as<int64_t>()[0] = 1;
  call.run();
  CHECK(call.get_f64(0, 0) == 6);
  call.input(0).as<int64_t>()[0] = 99;
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "ENGINE");
  double value = 0;
  CHECK(status(sidecall_call_get_f64(call.get(), 0, 0, &value, error())) == "NOT_RUN");
  call.input(0).as<int64_t>()[0] = 2;
  call.run();
  CHECK(call.get_f64(0, 0) == 7);
}

TEST_CASE("a call outlives its model") {
  auto model = std::make_unique<Model>(support::open("matrix.onnx"));
  auto call = std::make_unique<Call>(*model);
  const char* name = model->input_spec(0)->name;
  model.reset();
  CHECK(name == std::string("X"));  // specs are valid until the last call is closed
  for (float& value : call->input(0).as<float>()) value = 1;
  call->run();
  CHECK(call->get_f64(0, 0) == 1111);
}

TEST_CASE("two calls of one model do not share memory") {
  const Model model = support::open("add.onnx");
  Call first(model), second(model);
  support::give_x(first, {1, 2});
  support::give_x(second, {3, 4});
  first.run();
  const float kept = first.output(0).as<float>()[0];
  second.run();
  CHECK(first.output(0).as<float>()[0] == kept);
  CHECK(second.output(0).as<float>()[0] == 13);
}
