// Single values: every type is set in every feature, values are missing or refused, and values are
// read back.
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>

#include "support.h"

using sidecall::Call;
using sidecall::Model;
using support::error;
using support::last;
using support::status;

namespace {

// Features of kinds.onnx in order: f32 f64 i64 flag word, nullable; then the same again, not
// nullable.
constexpr int32_t kF32 = 0, kF64 = 1, kI64 = 2, kFlag = 3, kWord = 4, kMust = 5;

std::string f64(Call& call, int32_t feature, double value) {
  return status(sidecall_call_set_f64(call.get(), 0, feature, value, error()));
}
std::string i64(Call& call, int32_t feature, int64_t value) {
  return status(sidecall_call_set_i64(call.get(), 0, feature, value, error()));
}
std::string boolean(Call& call, int32_t feature, int32_t value) {
  return status(sidecall_call_set_bool(call.get(), 0, feature, value, error()));
}
std::string str(Call& call, int32_t feature, std::string_view value) {
  return status(sidecall_call_set_str(call.get(), 0, feature, value.data(), value.size(), error()));
}
std::string missing(Call& call, int32_t feature) {
  return status(sidecall_call_set_missing(call.get(), 0, feature, error()));
}

void give_all(Call& call, int64_t row = 0) {
  call.set(row, kMust + kF32, 2.0);
  call.set(row, kMust + kF64, 3.0);
  call.set(row, kMust + kI64, int64_t{4});
  call.set(row, kMust + kFlag, true);
  call.set(row, kMust + kWord, "b");
}

}  // namespace

TEST_CASE("every setter accepts or refuses every type of feature") {
  const Model model = support::open("kinds.onnx");
  Call call(model);
  const char* expected[][4] = {
      // set_f64          set_i64           set_bool          set_str
      {"OK", "OK", "DTYPE_MISMATCH", "DTYPE_MISMATCH"},              // float32
      {"OK", "OK", "DTYPE_MISMATCH", "DTYPE_MISMATCH"},              // float64
      {"OK", "OK", "DTYPE_MISMATCH", "DTYPE_MISMATCH"},              // int64
      {"DTYPE_MISMATCH", "DTYPE_MISMATCH", "OK", "DTYPE_MISMATCH"},  // bool
      {"DTYPE_MISMATCH", "DTYPE_MISMATCH", "DTYPE_MISMATCH", "OK"},  // string
  };
  const char* got[] = {"float64", "int64", "bool", "string"};
  for (int32_t feature = 0; feature < 10; ++feature) {
    INFO(feature);
    const auto& row = expected[feature % 5];
    const std::string name = model.feature_spec(feature)->name,
                      type = sidecall_dtype_name(model.feature_spec(feature)->dtype);
    const std::string answers[] = {f64(call, feature, 1), i64(call, feature, 1),
                                   boolean(call, feature, 1), str(call, feature, "1")};
    for (int setter = 0; setter < 4; ++setter) {
      INFO(setter);
      CHECK(answers[setter] == row[setter]);
      if (std::string(row[setter]) == "OK") continue;
      const std::string again = setter == 0   ? f64(call, feature, 1)
                                : setter == 1 ? i64(call, feature, 1)
                                : setter == 2 ? boolean(call, feature, 1)
                                              : str(call, feature, "1");
      CHECK(last().name == name);
      CHECK(last().expected == type);
      CHECK(last().got == std::string(got[setter]));
      CHECK(last().row == 0);
    }
    CHECK(missing(call, feature) == (feature < kMust ? "OK" : "MISSING_VALUE"));
    CHECK(f64(call, feature, std::nan("")) == (feature % 5 >= kFlag ? "DTYPE_MISMATCH"
                                               : feature < kMust    ? "OK"
                                                                    : "MISSING_VALUE"));
  }
}

TEST_CASE(
    "numbers at the limits of their types are accepted, and numbers beyond the limits are "
    "refused") {
  const Model model = support::open("kinds.onnx");
  Call call(model);
  CHECK(f64(call, kI64, 1.5) == "DTYPE_MISMATCH");
  CHECK(f64(call, kI64, 9007199254740992.0) == "OK");
  CHECK(f64(call, kI64, -9223372036854775808.0) == "OK");
  CHECK(f64(call, kI64, 9223372036854775808.0) == "OUT_OF_RANGE");
  CHECK(f64(call, kI64, 1e300) == "OUT_OF_RANGE");
  CHECK(f64(call, kI64, std::numeric_limits<double>::infinity()) != "OK");
  CHECK(i64(call, kI64, INT64_MAX) == "OK");
  CHECK(i64(call, kI64, INT64_MIN) == "OK");
  CHECK(f64(call, kF32, 3.4028234663852886e38) == "OK");
  CHECK(f64(call, kF32, 1e39) == "OUT_OF_RANGE");
  CHECK(f64(call, kF64, std::numeric_limits<double>::max()) == "OK");
  // An integer in a floating-point feature is rounded, as 0.1 is. The same holds for an integer
  // feature that is stored in a float32 column.
  CHECK(i64(call, kF64, 9007199254740993) == "OK");
  CHECK(i64(call, kF32, 16777217) == "OK");
  const Model columns = support::open("matrix.onnx");
  Call in_columns(columns);
  CHECK(i64(in_columns, 1, 16777216) == "OK");
  CHECK(i64(in_columns, 1, 16777217) == "OK");
  CHECK(i64(in_columns, 1, INT64_MAX) == "OK");
  CHECK(i64(in_columns, 1, INT64_MIN) == "OK");
  CHECK(boolean(call, kFlag, 0) == "OK");
  CHECK(boolean(call, kFlag, 2) == "INVALID_ARGUMENT");
  CHECK(boolean(call, kFlag, -1) == "INVALID_ARGUMENT");
}

TEST_CASE("strings must be valid UTF-8 without NUL") {
  const Model model = support::open("kinds.onnx");
  Call call(model);
  CHECK(str(call, kWord, "") == "OK");
  CHECK(str(call, kWord, std::string_view("a\0b", 3)) == "INVALID_STRING");
  CHECK(str(call, kWord, "\xff") == "INVALID_STRING");
  CHECK(str(call, kWord, "\xc0\x80") == "INVALID_STRING");
  CHECK(str(call, kWord, "\xed\xa0\x80") == "INVALID_STRING");
  CHECK(last().message == std::string(last().message).substr(0, 100));
  CHECK(str(call, kWord, std::string(1000000, 'a')) == "OK");
  CHECK(status(sidecall_call_set_str(call.get(), 0, kWord, nullptr, 0, error())) == "OK");
}

TEST_CASE("values are kept for the next run, and missing values are reported") {
  const Model model = support::open("kinds.onnx");
  Call call(model, 2);
  CHECK(status(sidecall_call_run(call.get(), -1, error())) != "OK");
  give_all(call, 0);
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "MISSING_VALUE");
  CHECK(last().row == 1);
  CHECK(last().num_faults == 5);
  CHECK(last().name == std::string("f32_must"));
  give_all(call, 1);
  call.run();
  CHECK(call.get_f64(1, 5) == 2);
  call.set(1, kMust + kF32, 20.0);
  call.run();
  CHECK(call.get_f64(0, 5) == 2);
  CHECK(call.get_f64(1, 5) == 20);
  CHECK(std::isnan(call.get_f64(0, 0)));
  CHECK(call.get_f64(0, 2) == -999);
  CHECK(call.get_f64(0, 4) == -1);
  call.set(0, kI64, int64_t{8});
  call.set(0, kWord, "Größe");
  call.run();
  CHECK(call.get_f64(0, 2) == 8);
  CHECK(call.get_f64(0, 4) == 3);
  call.set_missing(0, kI64);
  call.run();
  CHECK(call.get_f64(0, 2) == -999);
  call.clear();
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "MISSING_VALUE");
  CHECK(last().num_faults == 10);
  call.resize(3);
  CHECK(status(sidecall_call_run(call.get(), -1, error())) != "OK");
}

TEST_CASE("the int64 whose bytes are all 0xA5 is refused unless the feature is nullable") {
  const Model model = support::open("kinds.onnx");
  Call call(model);
  constexpr int64_t kReserved = -0x5A5A5A5A5A5A5A5B;
  give_all(call);
  CHECK(i64(call, kMust + kI64, kReserved) == "OUT_OF_RANGE");
  CHECK(std::string(last().message) ==
        "feature 'i64_must': expected an int64 whose bytes are not all 0xA5 (only a nullable "
        "feature takes that one), got that one");
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "OUT_OF_RANGE");
  CHECK(i64(call, kMust + kI64, kReserved + 1) == "OK");
  CHECK(i64(call, kI64, kReserved) == "OK");
  call.run();
}

TEST_CASE("a refused value is reported until it is set again") {
  const Model model = support::open("kinds.onnx");
  Call call(model);
  give_all(call);
  CHECK(str(call, kF32, "secret") == "DTYPE_MISMATCH");
  CHECK(boolean(call, kI64, 1) == "DTYPE_MISMATCH");
  CHECK(status(sidecall_call_set_invalid(call.get(), 0, kWord, "list", error())) ==
        "DTYPE_MISMATCH");
  CHECK(status(sidecall_call_set_unknown(call.get(), 0, "colour", 6, error())) == "UNKNOWN_NAME");
  sidecall_fault faults[8];
  sidecall_error all = SIDECALL_ERROR_INIT;
  all.faults = faults;
  all.faults_capacity = 8;
  CHECK(status(sidecall_call_run(call.get(), -1, &all)) == "DTYPE_MISMATCH");
  REQUIRE(all.num_faults == 4);
  CHECK(faults[0].name == std::string("f32"));
  CHECK(faults[0].got == std::string("string"));
  for (uint32_t i = 0; i < all.num_faults; ++i)
    CHECK(std::string(faults[i].message).find("secret") == std::string::npos);
  CHECK(std::string(all.message).find("secret") == std::string::npos);
  call.set(0, kF32, 1.0);
  call.set(0, kI64, int64_t{1});
  call.set(0, kWord, "a");
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "UNKNOWN_NAME");
  CHECK(last().name == std::string("colour"));
  call.clear();
  give_all(call);
  call.run();
  CHECK(call.get_f64(0, 9) == 2);
}

TEST_CASE("unknown features are ignored if the options of the model say so") {
  sidecall::Options options;
  options.extra = SIDECALL_EXTRA_IGNORE;
  const Model model(test_paths::model("kinds.onnx"), options);
  Call call(model);
  give_all(call);
  CHECK(status(sidecall_call_set_unknown(call.get(), 0, "colour", 6, error())) == "OK");
  call.run();
}

TEST_CASE("values outside a closed list are refused") {
  const Model model = support::open("closed.onnx");
  Call call(model);
  CHECK(str(call, 0, "XL") == "UNKNOWN_CATEGORY");
  CHECK(std::string(last().message).find("XL") == std::string::npos);
  CHECK(i64(call, 1, 11) == "UNKNOWN_CATEGORY");
  CHECK(f64(call, 1, 11) == "UNKNOWN_CATEGORY");
  CHECK(boolean(call, 2, 0) == "UNKNOWN_CATEGORY");
  CHECK(str(call, 0, "S") == "OK");
  CHECK(f64(call, 1, 10) == "OK");
  CHECK(boolean(call, 2, 1) == "OK");
  call.run();
  CHECK(call.get_f64(0, 0) == 111);
}

TEST_CASE("a missing value that is written through a view is reported") {
  const Model model = support::open("matrix.onnx");
  Call call(model, 2);
  const auto x = call.input(0).as<float>();
  for (float& value : x) value = 1;
  call.run();
  x[7] = std::nanf("");
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "MISSING_VALUE");
  CHECK(last().name == std::string("d"));
  CHECK(last().row == 1);
  x[7] = 1;
  x[0] = std::nanf("");  // nullable
  call.run();
  CHECK(call.get_f64(0, 0) == 1109);
}

TEST_CASE("a column is read as another type only if no value changes") {
  const Model words = support::open("label_string.onnx"), flags = support::open("label_bool.onnx"),
              numbers = support::open("label_int.onnx"),
              echo = support::open("identity_int64.onnx");
  double real = 0;
  int64_t whole = 0;
  const char* text = nullptr;
  size_t length = 0;
  Call a(words), b(flags), c(numbers), d(echo);
  for (int32_t i = 0; i < 3; ++i) {
    a.set(0, i, i == 1 ? 0.75 : 0.125);
    c.set(0, i, i == 1 ? 0.75 : 0.125);
    if (i < 2) b.set(0, i, i == 1 ? 0.75 : 0.25);
  }
  a.run();
  b.run();
  c.run();
  CHECK(a.get_str(0, 0) == "yes");
  CHECK(status(sidecall_call_get_f64(a.get(), 0, 0, &real, error())) == "DTYPE_MISMATCH");
  CHECK(last().name == std::string("label"));
  CHECK(status(sidecall_call_get_i64(a.get(), 0, 0, &whole, error())) == "DTYPE_MISMATCH");
  CHECK(status(sidecall_call_get_i64(a.get(), 0, 1, &whole, error())) == "DTYPE_MISMATCH");
  CHECK(status(sidecall_call_get_str(a.get(), 0, 1, &text, &length, error())) == "DTYPE_MISMATCH");
  CHECK(text == nullptr);
  CHECK(b.get_i64(0, 0) == 1);
  CHECK(b.get_f64(0, 0) == 1);
  CHECK(status(sidecall_call_get_str(b.get(), 0, 0, &text, &length, error())) == "DTYPE_MISMATCH");
  CHECK(c.get_i64(0, 0) == 5);
  CHECK(c.get_f64(0, 0) == 5);
  // Beyond 2^53 a double would not be exact.
  for (const int64_t value :
       {int64_t{9007199254740992}, int64_t{9007199254740993}, INT64_MIN, INT64_MAX}) {
    d.input(0).as<int64_t>()[0] = value;
    d.run();
    CHECK(d.get_i64(0, 0) == value);
    CHECK(status(sidecall_call_get_f64(d.get(), 0, 0, &real, error())) ==
          (value == 9007199254740992 ? "OK" : "OUT_OF_RANGE"));
  }
}

TEST_CASE("integers of every width can be read as numbers") {
  for (const char* type : {"uint8", "int8", "uint16", "int16", "uint32", "int32"}) {
    const Model model = support::open(std::string("identity_") + type + ".onnx");
    Call call(model);
    for (unsigned char& byte : call.input(0).bytes()) byte = 0xff;
    call.run();
    const bool is_unsigned = type[0] == 'u';
    const int bits = sidecall_dtype_bits(model.input_spec(0)->dtype);
    const int64_t expected = is_unsigned ? (int64_t{1} << bits) - 1 : -1;
    CHECK(call.get_i64(0, 0) == expected);
    CHECK(call.get_f64(0, 0) == static_cast<double>(expected));
  }
  const Model model = support::open("identity_uint64.onnx");
  Call call(model);
  call.input(0).as<uint64_t>()[0] = UINT64_MAX;
  call.run();
  int64_t whole = 0;
  CHECK(status(sidecall_call_get_i64(call.get(), 0, 0, &whole, error())) == "OUT_OF_RANGE");
  call.input(0).as<uint64_t>()[0] = 7;
  call.run();
  CHECK(call.get_i64(0, 0) == 7);
}
