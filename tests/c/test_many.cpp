// Many values with one function: several features or columns of a row, one feature or column of all
// rows, and the accessors of errors.
#include <sidecall/binding.h>
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <cstring>
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
constexpr int64_t kFeatures = 10;

sidecall_value number(double value) { return {SIDECALL_VALUE_F64, 0, value, 0, nullptr, 0}; }
sidecall_value integer(int64_t value, int32_t kind = SIDECALL_VALUE_I64) {
  return {kind, 0, 0, value, nullptr, 0};
}
sidecall_value text(const char* value, int32_t kind = SIDECALL_VALUE_STR) {
  return {kind, 0, 0, 0, value, std::strlen(value)};
}

// A record that kinds.onnx accepts.
std::vector<sidecall_value> record() {
  std::vector<sidecall_value> values(kFeatures);
  for (const int32_t first : {0, kMust}) {
    values[static_cast<size_t>(first + kF32)] = number(0.5);
    values[static_cast<size_t>(first + kF64)] = number(0.25);
    values[static_cast<size_t>(first + kI64)] = integer(4);
    values[static_cast<size_t>(first + kFlag)] = integer(1, SIDECALL_VALUE_BOOL);
    values[static_cast<size_t>(first + kWord)] = text("b");
  }
  return values;
}

std::string set_row(Call& call, const std::vector<sidecall_value>& values, int64_t row = 0,
                    const std::vector<int32_t>& features = {}) {
  return status(sidecall_call_set_row(call.get(), row, features.empty() ? nullptr : features.data(),
                                      values.data(), static_cast<int64_t>(values.size()), error()));
}

std::string run(Call& call) { return status(sidecall_call_run(call.get(), -1, error())); }

// Sets the features that must be set in every row, one by one.
void give_others(Call& call) {
  for (int64_t row = 0; row < call.rows(); ++row) {
    call.set(row, kMust + kF32, 2.0);
    call.set(row, kMust + kF64, 3.0);
    call.set(row, kMust + kI64, int64_t{4});
    call.set(row, kMust + kFlag, true);
    call.set(row, kMust + kWord, "b");
  }
}

// The memory of an input, which shows what was set.
template <typename T>
std::vector<T> tensor(Call& call, const Model& model, int32_t feature) {
  const sidecall::View view = call.input(model.feature_spec(feature)->input);
  const auto elements = view.as<T>();
  return std::vector<T>(elements.begin(), elements.end());
}

}  // namespace

TEST_CASE("a row is set with one call and gives the answer of single calls") {
  const Model model = support::open("kinds.onnx");
  Call many(model), single(model);
  REQUIRE(set_row(many, record()) == "OK");
  for (const int32_t first : {0, kMust}) {
    single.set(0, first + kF32, 0.5);
    single.set(0, first + kF64, 0.25);
    single.set(0, first + kI64, int64_t{4});
    single.set(0, first + kFlag, true);
    single.set(0, first + kWord, "b");
  }
  many.run();
  single.run();
  const auto columns = static_cast<size_t>(model.num_columns());
  std::vector<sidecall_value> got(columns);
  REQUIRE(status(sidecall_call_get_row(many.get(), 0, nullptr, got.data(),
                                       static_cast<int64_t>(columns), error())) == "OK");
  for (size_t i = 0; i < columns; ++i) {
    const auto column = static_cast<int32_t>(i);
    switch (got[i].kind) {
      case SIDECALL_VALUE_F64:
        CHECK(got[i].f64 == single.get_f64(0, column));
        break;
      case SIDECALL_VALUE_STR:
        CHECK(std::string(got[i].text, got[i].length) == single.get_str(0, column));
        break;
      default:
        CHECK(got[i].i64 == single.get_i64(0, column));
    }
  }
  // All zeros is a missing value.
  std::vector<sidecall_value> values = record();
  values[kF64] = sidecall_value();
  REQUIRE(set_row(many, values) == "OK");
  CHECK(std::isnan(tensor<double>(many, model, kF64)[0]));
}

TEST_CASE("some features of a row are set by index, and the later of two values is used") {
  const Model model = support::open("kinds.onnx");
  Call call(model, 2);
  give_others(call);
  CHECK(set_row(call, {number(7), number(8), number(9)}, 1, {kF64, kI64, kF64}) == "OK");
  CHECK(tensor<double>(call, model, kF64)[1] == 9);
  const double values[] = {1.5, -2};
  const int32_t features[] = {kF32, kF64};
  CHECK(status(sidecall_call_set_row_f64(call.get(), 0, features, values, 2, error())) == "OK");
  CHECK(tensor<double>(call, model, kF64)[0] == -2);
  CHECK(status(sidecall_call_set_row_f64(call.get(), 0, features, values, 0, error())) == "OK");
  CHECK(status(sidecall_call_set_row_f64(call.get(), 0, features, nullptr, 0, error())) == "OK");
  CHECK(run(call) == "OK");
}

TEST_CASE("refused values of a row are remembered, and the others are set") {
  const Model model = support::open("kinds.onnx");
  Call call(model);
  std::vector<sidecall_value> values = record();
  values[kF32] = number(1e300);                                  // OUT_OF_RANGE
  values[kI64] = number(0.5);                                    // DTYPE_MISMATCH
  values[kFlag] = integer(2, SIDECALL_VALUE_BOOL);               // OUT_OF_RANGE
  values[kWord] = text("\xff");                                  // INVALID_STRING
  values[kMust + kF64] = sidecall_value();                       // MISSING_VALUE
  values[kMust + kWord] = text("list", SIDECALL_VALUE_INVALID);  // DTYPE_MISMATCH
  CHECK(set_row(call, values) == "OUT_OF_RANGE");
  CHECK(std::string(last().name) == model.feature_spec(kF32)->name);
  CHECK(last().num_faults == 1);
  CHECK(last().row == 0);
  CHECK(tensor<double>(call, model, kF64)[0] == 0.25);
  std::vector<sidecall_fault> faults(10);
  sidecall_error* err = error();
  err->faults = faults.data();
  err->faults_capacity = 10;
  CHECK(status(sidecall_call_run(call.get(), -1, err)) == "OUT_OF_RANGE");
  REQUIRE(err->num_faults == 6);
  const std::string expected[] = {"OUT_OF_RANGE",   "DTYPE_MISMATCH", "OUT_OF_RANGE",
                                  "INVALID_STRING", "MISSING_VALUE",  "DTYPE_MISMATCH"};
  for (size_t i = 0; i < 6; ++i) CHECK(status(faults[i].status) == expected[i]);
  CHECK(std::string(faults[5].got) == "list");
  // Setting all features again replaces every refusal.
  CHECK(set_row(call, record()) == "OK");
  CHECK(run(call) == "OK");
}

TEST_CASE("after a mistake of the program no run answers for the values of before") {
  const Model model = support::open("kinds.onnx");
  Call call(model, 2);
  const auto refused = [&](const std::string& got, const std::string& expected) {
    CHECK(got == expected);
    CHECK(last().num_faults == 0);
    const std::string message = last().message;
    CHECK(run(call) == expected);
    CHECK(last().message == message);
    // Setting values again is not enough: some values may still be those of the earlier record.
    for (int64_t row = 0; row < 2; ++row) REQUIRE(set_row(call, record(), row) == "OK");
    CHECK(run(call) == expected);
    call.clear();
    for (int64_t row = 0; row < 2; ++row) REQUIRE(set_row(call, record(), row) == "OK");
    REQUIRE(run(call) == "OK");
  };
  const std::string wrong = "INVALID_ARGUMENT";
  REQUIRE(set_row(call, record(), 0) == "OK");
  REQUIRE(set_row(call, record(), 1) == "OK");
  refused(set_row(call, {number(1)}), wrong);
  refused(set_row(call, record(), 2), wrong);
  refused(set_row(call, record(), -1), wrong);
  refused(set_row(call, {number(1), number(2)}, 0, {kF64, -1}), "UNKNOWN_NAME");
  refused(set_row(call, {number(1), number(2)}, 0, {kF64, 10}), wrong);
  refused(set_row(call, {integer(1, 9)}, 0, {kF64}), wrong);
  refused(set_row(call, {integer(1, -1)}, 0, {kF64}), wrong);
  refused(set_row(call, {{SIDECALL_VALUE_STR, 0, 0, 0, nullptr, 1}}, 0, {kWord}), wrong);
  refused(set_row(call, {text("x", SIDECALL_VALUE_EPOCH)}, 0, {kF64}), wrong);
  sidecall_call* const handle = call.get();
  const double doubles[] = {1, 2};
  const uint8_t flags[] = {0, 1};
  const int64_t offsets[] = {0, 1, 2}, falling[] = {0, 2, 1}, negative[] = {-1, 0, 1};
  const auto of = [](sidecall_status got) { return status(got); };
  refused(of(sidecall_call_set_row(handle, 0, nullptr, nullptr, 10, error())), wrong);
  refused(of(sidecall_call_set_row_f64(handle, 0, nullptr, nullptr, 10, error())), wrong);
  refused(of(sidecall_call_set_row_f64(handle, 0, nullptr, doubles, -1, error())), wrong);
  refused(of(sidecall_call_set_feature_f64(handle, kF64, doubles, nullptr, 1, error())), wrong);
  refused(of(sidecall_call_set_feature_f64(handle, kF64, doubles, nullptr, 3, error())), wrong);
  refused(of(sidecall_call_set_feature_f64(handle, kF64, nullptr, nullptr, 2, error())), wrong);
  refused(of(sidecall_call_set_feature_f64(handle, -1, doubles, nullptr, 2, error())),
          "UNKNOWN_NAME");
  refused(of(sidecall_call_set_feature_f64(handle, 10, doubles, nullptr, 2, error())), wrong);
  refused(of(sidecall_call_set_feature_bool(handle, kFlag, nullptr, flags, 2, error())), wrong);
  refused(of(sidecall_call_set_feature_i64(handle, kI64, nullptr, flags, 2, error())), wrong);
  const auto strings = [&](const char* data, uint64_t bytes, const int64_t* places) {
    return of(
        sidecall_call_set_feature_str(handle, kWord, data, bytes, places, nullptr, 2, error()));
  };
  refused(strings("ab", 1, offsets), wrong);
  refused(strings("ab", 2, falling), wrong);
  refused(strings("ab", 2, negative), wrong);
  refused(strings(nullptr, 2, offsets), wrong);
  refused(strings("ab", 2, nullptr), wrong);
  refused(
      of(sidecall_call_set_feature_datetime(handle, kI64, nullptr, nullptr, nullptr, 2, error())),
      wrong);
}

TEST_CASE("a call of one row goes on when all features are set") {
  const Model model = support::open("kinds.onnx");
  Call call(model);
  REQUIRE(set_row(call, {number(1)}) == "INVALID_ARGUMENT");
  CHECK(run(call) == "INVALID_ARGUMENT");
  REQUIRE(set_row(call, record()) == "OK");
  CHECK(run(call) == "OK");
  REQUIRE(set_row(call, {number(1)}) == "INVALID_ARGUMENT");
  call.resize(2);
  CHECK(run(call) == "MISSING_INPUT");
}

TEST_CASE("datetimes are set at once, and refused one by one") {
  const Model model = support::open("dates.onnx");
  const int64_t seconds[] = {0, -1}, counts[] = {INT64_MIN, 7};
  const int32_t halves[] = {0, 500000000}, wrong[] = {0, 1000000000};
  const uint8_t last_is_missing[] = {0, 1};
  for (int32_t feature = 0; feature < model.num_features(); ++feature) {
    const auto* const spec = model.feature_spec(feature);
    if (spec->dtype != SIDECALL_DTYPE_DATETIME || std::string(spec->name) == "due") continue;
    INFO(spec->name);
    Call call(model, 2);
    const auto set = [&](const int32_t* rest, const uint8_t* missing) {
      return status(sidecall_call_set_feature_datetime(call.get(), feature, seconds, rest, missing,
                                                       2, error()));
    };
    const bool is_fine = std::string(spec->unit) != "s";
    CHECK(set(nullptr, nullptr) == "OK");
    CHECK(set(halves, nullptr) == (is_fine ? "OK" : "OUT_OF_RANGE"));
    CHECK(set(wrong, nullptr) == "OUT_OF_RANGE");
    CHECK(last().row == 1);
    CHECK(set(wrong, last_is_missing) == (spec->nullable != 0 ? "OK" : "MISSING_VALUE"));
    CHECK(status(sidecall_call_set_feature_i64(call.get(), feature, counts, nullptr, 2, error())) ==
          (spec->nullable != 0 ? "OK" : "MISSING_VALUE"));
    const bool has_zone = *spec->zone != '\0';
    const auto one = [&](int32_t kind, int32_t nanoseconds) {
      return set_row(call, {{kind, nanoseconds, 0, 86400, nullptr, 0}}, 0, {feature});
    };
    CHECK(one(SIDECALL_VALUE_DATETIME, 0) == "OK");
    CHECK(one(SIDECALL_VALUE_DATETIME, -1) == "OUT_OF_RANGE");
    CHECK(one(SIDECALL_VALUE_INSTANT, 0) == (has_zone ? "OK" : "DTYPE_MISMATCH"));
    CHECK(one(SIDECALL_VALUE_INSTANT, 1000000000) ==
          (has_zone ? "OUT_OF_RANGE" : "DTYPE_MISMATCH"));
    const std::string epoch = set_row(call, {text("86400", SIDECALL_VALUE_EPOCH)}, 0, {feature});
    CHECK(epoch == (*spec->epoch != '\0' ? "OK" : "DTYPE_MISMATCH"));
  }
}

TEST_CASE("a value that was given and then refused is one fault") {
  const Model model = support::open("kinds.onnx");
  Call call(model);
  REQUIRE(set_row(call, record()) == "OK");
  call.input(model.feature_spec(kMust + kF64)->input).as<double>()[0] = std::nan("");
  CHECK(set_row(call, {integer(1, SIDECALL_VALUE_BOOL)}, 0, {kMust + kF64}) == "DTYPE_MISMATCH");
  CHECK(run(call) == "DTYPE_MISMATCH");
  CHECK(last().num_faults == 1);
}

TEST_CASE("the C++ classes set and read many values") {
  const Model model = support::open("kinds.onnx");
  Call call(model, 2);
  const std::string word = "b";
  call.set_row(0, {0.5, 0.25, 4, true, word, 1.0F, 0.25, int64_t{4}, false, "b"});
  call.set_row(1, {{}, {}, {}, {}, {}, 0.5, 0.25, 4, true, "b"});
  const std::vector<int32_t> features = {kF64, kI64};
  const std::vector<double> numbers = {7, 8}, column = {9, 10};
  const std::vector<uint8_t> missing = {0, 1};
  call.set_row(1, {features.data(), 2}, sidecall::Span<const double>(numbers.data(), 2));
  call.set_feature<double>(kMust + kF64, {column.data(), 2});
  call.set_feature<double>(kF32, {column.data(), 2}, {missing.data(), 2});
  const std::vector<int64_t> offsets = {0, 1, 2};
  call.set_feature(kWord, "ab", {offsets.data(), 3});
  call.run();
  CHECK(tensor<double>(call, model, kF64) == std::vector<double>{0.25, 7});
  std::vector<sidecall::Value> answer(static_cast<size_t>(model.num_columns()));
  call.get_row(0, {answer.data(), answer.size()});
  for (int32_t i = 0; i < model.num_columns(); ++i) {
    const sidecall::Value& value = answer[static_cast<size_t>(i)];
    if (value.kind == SIDECALL_VALUE_STR) CHECK(value.str() == call.get_str(0, i));
    if (value.kind == SIDECALL_VALUE_F64) CHECK(value.f64 == call.get_f64(0, i));
  }
  // Empty spans are nothing, wherever they point to.
  std::vector<uint8_t> spare(16, 1);
  call.set_feature<double>(kF64, {column.data(), 2}, {spare.data(), 0});
  call.set_feature(kWord, "ab", {offsets.data(), 3}, {spare.data(), 0});
  call.set_row(0, sidecall::Span<const int32_t>(), sidecall::Span<const double>());
  CHECK(tensor<double>(call, model, kF64) == column);
  CHECK_THROWS_AS(call.set_row(0, {features.data(), 1}, {numbers.data(), 2}), sidecall::Error);
  CHECK_THROWS_AS(call.set_feature<double>(kF64, {column.data(), 2}, {missing.data(), 1}),
                  sidecall::Error);
  CHECK_THROWS_AS(call.set_row(0, {1.0}), sidecall::Error);
  CHECK_THROWS_AS(call.get_row(0, {answer.data(), 1}), sidecall::Error);
}

TEST_CASE("a model without a contract has no rows to set") {
  const Model model = support::open("add.onnx");
  Call call(model);
  const double values[] = {1, 2};
  CHECK(status(sidecall_call_set_row_f64(call.get(), 0, nullptr, values, 2, error())) ==
        "NO_CONTRACT");
  CHECK(status(sidecall_call_set_feature_f64(call.get(), 0, values, nullptr, 1, error())) ==
        "NO_CONTRACT");
}

TEST_CASE("a feature of all rows is set with one call") {
  const Model model = support::open("kinds.onnx");
  Call call(model, 3);
  call.clear();
  give_others(call);
  sidecall_call* const handle = call.get();
  const double doubles[] = {1, std::nan(""), 3};
  const int64_t integers[] = {1, 2, 3};
  const uint8_t bools[] = {0, 1, 7}, last_is_missing[] = {0, 0, 255};
  const int64_t offsets[] = {1, 2, 2, 4};
  CHECK(status(sidecall_call_set_feature_f64(handle, kF64, doubles, nullptr, 3, error())) == "OK");
  CHECK(status(sidecall_call_set_feature_i64(handle, kF32, integers, last_is_missing, 3,
                                             error())) == "OK");
  CHECK(status(sidecall_call_set_feature_bool(handle, kFlag, bools, last_is_missing, 3, error())) ==
        "OK");
  CHECK(status(sidecall_call_set_feature_str(handle, kWord, "-abc", 4, offsets, last_is_missing, 3,
                                             error())) == "OK");
  CHECK(run(call) == "OK");
  const std::vector<double> f64 = tensor<double>(call, model, kF64);
  CHECK((f64[0] == 1 && std::isnan(f64[1]) && f64[2] == 3));
  // A refusal names its row; the run reports all of them.
  CHECK(status(sidecall_call_set_feature_bool(handle, kFlag, bools, nullptr, 3, error())) ==
        "OUT_OF_RANGE");
  CHECK(last().row == 2);
  CHECK(status(sidecall_call_set_feature_f64(handle, kMust + kF64, doubles, last_is_missing, 3,
                                             error())) == "MISSING_VALUE");
  CHECK(last().row == 1);
  CHECK(run(call) == "MISSING_VALUE");
  CHECK(last().num_faults == 3);
  CHECK(status(sidecall_call_set_feature_f64(handle, kWord, doubles, nullptr, 3, error())) ==
        "DTYPE_MISMATCH");
  CHECK(status(sidecall_call_set_feature_datetime(handle, kI64, integers, nullptr, nullptr, 3,
                                                  error())) == "DTYPE_MISMATCH");
}

TEST_CASE("many refusals of a feature cost no more than the kept ones") {
  const Model model = support::open("kinds.onnx");
  constexpr int64_t kRows = 200000;
  Call call(model, kRows);
  call.clear();
  const std::vector<double> values(kRows, std::nan(""));
  CHECK(status(sidecall_call_set_feature_f64(call.get(), kMust + kF64, values.data(), nullptr,
                                             kRows, error())) == "MISSING_VALUE");
  CHECK(last().row == 0);
}

TEST_CASE("a column of all rows is read with one call") {
  const Model model = support::open("kinds.onnx");
  Call call(model, 3);
  for (int64_t row = 0; row < 3; ++row) REQUIRE(set_row(call, record(), row) == "OK");
  sidecall_call* const handle = call.get();
  double doubles[3] = {};
  int64_t integers[3] = {};
  const char* texts[3] = {};
  size_t lengths[3] = {};
  CHECK(status(sidecall_call_get_column_f64(handle, 0, doubles, 3, error())) == "NOT_RUN");
  call.run();
  for (int32_t column = 0; column < model.num_columns(); ++column) {
    INFO(column);
    const int32_t dtype = model.column_spec(column)->dtype;
    const bool is_text = dtype == SIDECALL_DTYPE_STRING;
    const bool is_float = dtype == SIDECALL_DTYPE_FLOAT32 || dtype == SIDECALL_DTYPE_FLOAT64;
    CHECK(status(sidecall_call_get_column_f64(handle, column, doubles, 3, error())) ==
          (is_text ? "DTYPE_MISMATCH" : "OK"));
    CHECK(status(sidecall_call_get_column_i64(handle, column, integers, 3, error())) ==
          (is_text || is_float ? "DTYPE_MISMATCH" : "OK"));
    CHECK(status(sidecall_call_get_column_str(handle, column, texts, lengths, 3, error())) ==
          (is_text ? "OK" : "DTYPE_MISMATCH"));
    for (int64_t row = 0; row < 3; ++row) {
      const auto at = static_cast<size_t>(row);
      if (is_text) CHECK(std::string(texts[at], lengths[at]) == call.get_str(row, column));
      else CHECK(doubles[at] == call.get_f64(row, column));
    }
  }
  const std::string wrong = "INVALID_ARGUMENT";
  CHECK(status(sidecall_call_get_column_f64(handle, 0, doubles, 2, error())) == wrong);
  CHECK(status(sidecall_call_get_column_f64(handle, 0, nullptr, 3, error())) == wrong);
  CHECK(status(sidecall_call_get_column_i64(handle, 0, nullptr, 3, error())) == wrong);
  CHECK(status(sidecall_call_get_column_str(handle, 0, texts, nullptr, 3, error())) == wrong);
  CHECK(status(sidecall_call_get_column_f64(handle, -1, doubles, 3, error())) == "UNKNOWN_NAME");
  CHECK(status(sidecall_call_get_column_f64(handle, 99, doubles, 3, error())) == wrong);
  sidecall_value value;
  CHECK(status(sidecall_call_get_row(handle, 0, nullptr, &value, 1, error())) == wrong);
  CHECK(status(sidecall_call_get_row(handle, 0, nullptr, nullptr, model.num_columns(), error())) ==
        wrong);
  const int32_t unknown = -1, first = 0;
  CHECK(status(sidecall_call_get_row(handle, 0, &unknown, &value, 1, error())) == "UNKNOWN_NAME");
  CHECK(status(sidecall_call_get_row(handle, 3, &first, &value, 1, error())) == wrong);
  CHECK(status(sidecall_call_get_row_f64(handle, 0, &first, doubles, -1, error())) == wrong);
}

TEST_CASE("values of a call are not set while a run is under way") {
  const Model model = support::open("slow.onnx");
  Call call(model);
  support::give_rounds(call, 2000, 10000);
  sidecall::Queue queue;
  const uint64_t run = queue.submit(call);
  const double value = 1;
  sidecall_value read;
  CHECK(status(sidecall_call_set_row_f64(call.get(), 0, nullptr, &value, 1, error())) == "BUSY");
  CHECK(status(sidecall_call_set_feature_f64(call.get(), 0, &value, nullptr, 1, error())) ==
        "BUSY");
  CHECK(status(sidecall_call_get_row(call.get(), 0, nullptr, &read, model.num_columns(),
                                     error())) == "BUSY");
  call.cancel();
  CHECK_THROWS(queue.wait(run));
  CHECK(status(sidecall_call_error(call.get(), error())) == "CANCELLED");
}

TEST_CASE("an error can be read without the layout of its struct") {
  const Model model = support::open("kinds.onnx");
  Call call(model);
  sidecall_error* const err = sidecall_error_open(4);
  REQUIRE(err != nullptr);
  CHECK(sidecall_error_status(err) == SIDECALL_OK);
  CHECK(sidecall_error_fault(err, 0) == nullptr);
  call.clear();
  const sidecall_status got = sidecall_call_run(call.get(), -1, err);
  CHECK(status(got) == "MISSING_VALUE");
  CHECK(sidecall_error_status(err) == got);
  CHECK(sidecall_error_retryable(err) == 0);
  CHECK(sidecall_error_row(err) == 0);
  CHECK(sidecall_error_num_faults(err) == 5);
  CHECK(std::string(sidecall_error_name(err)) == model.feature_spec(kMust)->name);
  CHECK(std::string(sidecall_error_expected(err)) == "float32");
  CHECK(std::string(sidecall_error_got(err)) == "a missing value");
  CHECK(std::string(sidecall_error_message(err)).find("expected float32") != std::string::npos);
  uint32_t held = 0;
  while (const sidecall_fault* fault = sidecall_error_fault(err, held)) {
    const auto* const spec = model.feature_spec(kMust + static_cast<int32_t>(held++));
    CHECK(sidecall_fault_status(fault) == got);
    CHECK(sidecall_fault_row(fault) == 0);
    CHECK(std::string(sidecall_fault_name(fault)) == spec->name);
    CHECK(std::string(sidecall_fault_expected(fault)) == sidecall_dtype_name(spec->dtype));
    CHECK(std::string(sidecall_fault_got(fault)) == "a missing value");
    CHECK(std::string(sidecall_fault_message(fault)).find(spec->name) != std::string::npos);
  }
  CHECK(held == 4);
  sidecall_error_close(err);
  sidecall_error* const without = error();
  without->faults_capacity = 4;
  CHECK(sidecall_call_run(call.get(), -1, without) == got);
  CHECK(sidecall_error_fault(without, 1) == nullptr);
  sidecall_error_close(nullptr);
  CHECK(sidecall_error_status(nullptr) == SIDECALL_OK);
  CHECK(sidecall_error_row(nullptr) == -1);
  CHECK(std::string(sidecall_error_message(nullptr)).empty());
  CHECK(sidecall_error_fault(nullptr, 0) == nullptr);
  CHECK(sidecall_fault_row(nullptr) == -1);
  CHECK(std::string(sidecall_fault_message(nullptr)).empty());
}

TEST_CASE("the library tells the sizes of its structs") {
  CHECK(sidecall_struct_size("sidecall_error") == sizeof(sidecall_error));
  CHECK(sidecall_struct_size("sidecall_fault") == sizeof(sidecall_fault));
  CHECK(sidecall_struct_size("sidecall_value") == sizeof(sidecall_value));
  CHECK(sidecall_struct_size("sidecall_view") == sizeof(sidecall_view));
  CHECK(sidecall_struct_size("sidecall_model") == 0);
  CHECK(sidecall_struct_size("") == 0);
  CHECK(sidecall_struct_size(nullptr) == 0);
}
