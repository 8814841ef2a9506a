// float32 and float64 tensors for inputs of the other type: a copy converts them; binding
// them is refused.
#include <catch2/catch_test_macros.hpp>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "support.h"

using sidecall::Call;
using sidecall::Model;
using sidecall::View;
using support::error;
using support::last;
using support::status;

namespace {

template <typename T>
std::string copy(Call& call, const std::vector<T>& x) {
  const int64_t dims[] = {static_cast<int64_t>(x.size())};
  const View view = View::of<T>({x.data(), x.size()}, {dims, 1});
  return status(sidecall_call_copy_input(call.get(), 0, &view.get(), error()));
}

template <typename T>
std::string bind(Call& call, const std::vector<T>& x) {
  const int64_t dims[] = {static_cast<int64_t>(x.size())};
  const View view = View::of<T>({x.data(), x.size()}, {dims, 1});
  return status(sidecall_call_bind_input(call.get(), 0, &view.get(), error()));
}

template <typename T>
std::vector<T> answers(Call& call) {
  call.run();
  const auto y = call.output(0).as<T>();
  return {y.begin(), y.end()};
}

const double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("float64 is rounded to the nearest float32, and float32 keeps its value as float64") {
  const Model narrow = support::open("identity_float32.onnx"),
              wide = support::open("identity_float64.onnx");
  Call to_float(narrow), to_double(wide);
  REQUIRE(copy<double>(to_float, {0.1, 1 + 0x1p-24, 1 + 0x3p-24, FLT_MAX, 1e-45, 5e-324, kInfinity,
                                  -kInfinity}) == "OK");
  CHECK(answers<float>(to_float) == std::vector<float>{0.1F, 1, 1 + 0x1p-22F, FLT_MAX, 0x1p-149F, 0,
                                                       static_cast<float>(kInfinity),
                                                       static_cast<float>(-kInfinity)});
  REQUIRE(copy<float>(to_double, {0.1F, FLT_MAX, 0x1p-149F, static_cast<float>(-kInfinity)}) ==
          "OK");
  CHECK(answers<double>(to_double) == std::vector<double>{0.10000000149011612,
                                                          static_cast<double>(FLT_MAX), 0x1p-149,
                                                          -kInfinity});
  // Signs of zero and NaNs, which == does not compare.
  REQUIRE(copy<double>(to_float, {-0.0, std::nan(""), -5e-324}) == "OK");
  const std::vector<float> floats = answers<float>(to_float);
  CHECK(std::signbit(floats[0]));
  CHECK(std::isnan(floats[1]));
  CHECK((floats[2] == 0 && std::signbit(floats[2])));
  REQUIRE(copy<float>(to_double, {-0.0F, std::nanf("")}) == "OK");
  const std::vector<double> doubles = answers<double>(to_double);
  CHECK(std::signbit(doubles[0]));
  CHECK(std::isnan(doubles[1]));
}

TEST_CASE("large tensors and unaligned memory of the other float type are converted") {
  const Model narrow = support::open("identity_float32.onnx"),
              wide = support::open("identity_float64.onnx");
  Call to_float(narrow), to_double(wide);
  std::vector<double> doubles(300001);
  std::vector<float> floats(doubles.size());
  for (size_t i = 0; i < doubles.size(); ++i)
    doubles[i] = static_cast<double>(i) / 7, floats[i] = static_cast<float>(doubles[i]);
  REQUIRE(copy(to_float, doubles) == "OK");
  CHECK(answers<float>(to_float) == floats);
  REQUIRE(copy(to_double, floats) == "OK");
  CHECK(answers<double>(to_double) == std::vector<double>(floats.begin(), floats.end()));
  std::vector<char> bytes(1 + 3 * sizeof(double));
  std::memcpy(bytes.data() + 1, doubles.data() + 1, 3 * sizeof(double));
  const int64_t dims[] = {3};
  to_float.copy_input(
      0, View::raw(SIDECALL_DTYPE_FLOAT64, bytes.data() + 1, 3 * sizeof(double), {dims, 1}));
  CHECK(answers<float>(to_float) == std::vector<float>{floats[1], floats[2], floats[3]});
}

TEST_CASE(
    "only memory of the input's own type can be bound, and the error says what to do instead") {
  const Model narrow = support::open("identity_float32.onnx"),
              wide = support::open("identity_float64.onnx");
  Call to_float(narrow), to_double(wide);
  REQUIRE(copy<float>(to_float, {5}) == "OK");
  CHECK(bind<double>(to_float, {1}) == "DTYPE_MISMATCH");
  CHECK(last().message == std::string("input 'x': expected float32, got float64; memory of "
                                      "another type can be copied, but not bound"));
  CHECK(last().name == std::string("x"));
  CHECK(last().expected == std::string("float32"));
  CHECK(last().got == std::string("float64"));
  CHECK(answers<float>(to_float) == std::vector<float>{5});
  CHECK(bind<float>(to_double, {1}) == "DTYPE_MISMATCH");
  CHECK(last().message == std::string("input 'x': expected float64, got float32; memory of "
                                      "another type can be copied, but not bound"));
  // Copying and binding both refuse other types, and the message does not suggest a copy.
  for (const bool is_bound : {false, true}) {
    CHECK((is_bound ? bind<int64_t>(to_double, {1}) : copy<int64_t>(to_double, {1})) ==
          "DTYPE_MISMATCH");
    CHECK(last().message == std::string("input 'x': expected float64, got int64"));
    CHECK((is_bound ? bind<int32_t>(to_float, {1}) : copy<int32_t>(to_float, {1})) ==
          "DTYPE_MISMATCH");
    CHECK(last().message == std::string("input 'x': expected float32, got int32"));
  }
  const Model whole = support::open("identity_int64.onnx");
  Call to_int(whole);
  CHECK(copy<double>(to_int, {1}) == "DTYPE_MISMATCH");
  CHECK(copy<float>(to_int, {1}) == "DTYPE_MISMATCH");
}

TEST_CASE("a converting copy releases the bound memory and does not change the caller's memory") {
  const Model model = support::open("identity_float32.onnx");
  Call call(model);
  alignas(64) float mine[] = {1, 2};
  const int64_t dims[] = {2};
  call.bind_input(0, View::of<float>({mine, 2}, {dims, 1}));
  REQUIRE(copy<double>(call, {7, 8}) == "OK");
  CHECK(mine[0] == 1);
  CHECK(mine[1] == 2);
  mine[0] = 100;
  CHECK(answers<float>(call) == std::vector<float>{7, 8});
}

TEST_CASE("a float64 beyond float32 is refused, and the input does not change") {
  const Model model = support::open("identity_float32.onnx");
  Call call(model);
  REQUIRE(copy<float>(call, {5}) == "OK");
  // Half-way between the largest float32 and the number that would follow it, so this rounds to
  // infinity.
  constexpr double kFirst = 3.4028235677973366e38;
  for (const double beyond : {kFirst, 1e39, -1e39, DBL_MAX, -DBL_MAX}) {
    CHECK(copy<double>(call, {1, 2, beyond, beyond}) == "OUT_OF_RANGE");
    CHECK(last().message ==
          std::string("input 'x': expected float32, got a number beyond its range (row 2)"));
    CHECK(last().row == 2);
  }
  CHECK(answers<float>(call) == std::vector<float>{5});
  REQUIRE(copy<double>(call, {static_cast<double>(FLT_MAX), std::nextafter(kFirst, 0.0)}) == "OK");
  CHECK(answers<float>(call) == std::vector<float>{FLT_MAX, FLT_MAX});
}

TEST_CASE("with a contract, each number beyond float32 is a fault that names its feature and row") {
  const Model model = support::open("floats_finite.onnx");
  Call call(model);
  constexpr int64_t kRows = 1500;
  std::vector<double> x;
  for (int64_t row = 0; row < kRows; ++row) x.insert(x.end(), {-1e300, static_cast<double>(row)});
  x[2] = 0.5;
  std::vector<sidecall_fault> faults(3);
  sidecall_error room = SIDECALL_ERROR_INIT;
  room.faults = faults.data();
  room.faults_capacity = 3;
  const int64_t dims[] = {kRows, 2};
  const View view = View::of<double>({x.data(), x.size()}, {dims, 2});
  REQUIRE(status(sidecall_call_copy_input(call.get(), 0, &view.get(), &room)) == "OUT_OF_RANGE");
  CHECK(room.num_faults == kRows - 1);
  CHECK(faults[0].message ==
        std::string("feature 'x': expected float32, got a number beyond its range"));
  CHECK(faults[0].row == 0);
  CHECK(faults[1].name == std::string("x"));
  CHECK(faults[1].row == 2);
  // A record with this value is refused with the same message.
  CHECK(status(sidecall_call_set_f64(call.get(), 0, 0, -1e300, error())) == "OUT_OF_RANGE");
  CHECK(last().message == std::string(faults[0].message));
}

TEST_CASE(
    "a number gives the same answer in a record, in JSON and in a tensor, except for float32 "
    "rounding") {
  for (const char* name : {"floats_float32.onnx", "floats_float64.onnx"}) {
    INFO(name);
    const Model model = support::open(name);
    const bool is_narrow = model.input_spec(0)->dtype == SIDECALL_DTYPE_FLOAT32;
    Call call(model);
    const int64_t dims[] = {1, 2};
    const auto answer = [&] {
      call.run();
      return call.get_f64(0, 0);
    };
    for (const double number : {0.1, 7.315, 1e-45, 5e-324, 16777217.5, 3.4e38, -0.0}) {
      const float rounded = static_cast<float>(number);
      const double expected = is_narrow ? static_cast<double>(rounded) : number;
      const double wide[] = {number, 1};
      call.copy_input(0, View::of<double>({wide, 2}, {dims, 2}));
      CHECK(answer() == expected);
      const float narrow[] = {rounded, 1};
      call.copy_input(0, View::of<float>({narrow, 2}, {dims, 2}));
      CHECK(answer() == static_cast<double>(rounded));
      sidecall_call_clear(call.get(), nullptr);
      call.set(0, 0, number);
      call.set(0, 1, int64_t{1});
      CHECK(answer() == expected);
      char json[64];
      std::snprintf(json, sizeof json, "{\"x\": %.17g, \"n\": 1}", number);
      const std::string text = model.predict_json(json);
      CHECK(std::strtod(text.c_str() + text.find('[') + 1, nullptr) == expected);
    }
  }
}
