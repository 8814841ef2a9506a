// Features of type datetime: what the contract may say, and what the setters, records and whole
// tensors of a call accept.
#include <catch2/catch_test_macros.hpp>
#include <cmath>
#include <limits>
#include <string>

#include "core/call/records.h"
#include "core/contract/signature_json.h"
#include "records_model.h"

using fake::status_of;
using sidecall::Call;
using sidecall::FeatureWriter;
using sidecall::Moment;

namespace {

constexpr int64_t kMissing = std::numeric_limits<int64_t>::min();

// A contract with one datetime feature, whose entry has the members `more`.
std::string contract_with(const std::string& more) {
  return R"({"format": 5, "model": {"id": ""}, "features": [{"name": "when", "type": "datetime", )" +
         more + R"(, "input": "when", "column": 0}],
    "outputs": [{"name": "prediction", "role": "prediction", "type": "float32"}]})";
}

struct OneDatetime {
  fake::Engine engine;
  sidecall::Signature signature;

  explicit OneDatetime(const std::string& more, int32_t tensor_dtype = SIDECALL_DTYPE_INT64) {
    engine.inputs = {fake::tensor("when", tensor_dtype, {-1, 1})};
    engine.outputs = {fake::tensor("prediction", SIDECALL_DTYPE_FLOAT32, {-1, 1})};
    engine.sign(&signature);
    fake::parse_contract(contract_with(more), "test", true, &signature);
    signature.index_records();
  }
};

constexpr const char* kZoned = R"("unit": "ms", "zone": "Europe/Berlin", "nullable": false)";
constexpr const char* kEpoch =
    R"("unit": "ms", "zone": "UTC", "epoch": "s", "nullable": true, "missing": {"value": -9223372036854775808})";
constexpr const char* kNaive =
    R"("unit": "s", "nullable": true, "missing": {"value": -9223372036854775808})";
constexpr const char* kNano = R"("unit": "ns", "nullable": false)";

std::string error_of(const std::string& more, int32_t tensor_dtype = SIDECALL_DTYPE_INT64) {
  try {
    OneDatetime(more, tensor_dtype);
    return "";
  } catch (const sidecall::Error& error) {
    CHECK(error.status() == SIDECALL_CONTRACT_INVALID);
    return error.what();
  }
}

int64_t count_in(Call* call) {
  sidecall_view view = SIDECALL_VIEW_INIT;
  call->view_input(0, &view);
  return *static_cast<const int64_t*>(view.data);
}

template <typename Body>
std::string message_of(Body body) {
  try {
    body();
    return "";
  } catch (const sidecall::Error& error) {
    return error.what();
  }
}

void read_record(Call* call, const std::string& json) {
  call->clear();
  sidecall::RecordReader().read(json, call);
  call->run(-1);
}

}  // namespace

TEST_CASE("the contract of a datetime feature is checked") {
  CHECK(error_of(kZoned).empty());
  CHECK(error_of(kEpoch).empty());
  CHECK(error_of(kNaive).empty());
  CHECK(error_of(R"("nullable": false)").find("unit: expected a string, got nothing") !=
        std::string::npos);
  CHECK(error_of(R"("unit": "m", "nullable": false)").find("expected s, ms, us or ns, got 'm'") !=
        std::string::npos);
  CHECK(error_of(R"("unit": "s", "zone": "", "nullable": false)").find("the name of a zone") !=
        std::string::npos);
  CHECK(error_of(R"("unit": "s", "zone": 1, "nullable": false)").find("zone: expected a string") !=
        std::string::npos);
  CHECK(error_of(R"("unit": "s", "epoch": "s", "nullable": false)")
            .find("epoch: expected a feature with a zone, got one without") != std::string::npos);
  CHECK(error_of(R"("unit": "s", "zone": "UTC", "epoch": "min", "nullable": false)")
            .find("epoch: expected s, ms, us or ns, got 'min'") != std::string::npos);
  CHECK(error_of(R"("unit": "s", "nullable": true, "missing": {"value": -1})")
            .find("expected -9223372036854775808, got -1") != std::string::npos);
  CHECK(error_of(R"("unit": "s", "nullable": true, "missing": "nan")").find("a reserved value") !=
        std::string::npos);
  CHECK(error_of(R"("unit": "s", "nullable": false, "allowed": [1])")
            .find("allowed: expected no list of values for a feature of type datetime, got one") !=
        std::string::npos);
  CHECK(error_of(R"("unit": "s", "nullable": false, "empty": false)").find("type string") !=
        std::string::npos);
  CHECK(error_of(kNano, SIDECALL_DTYPE_FLOAT64).find("a type that fits input 'when' of float64") !=
        std::string::npos);
  CHECK(error_of(kNano, SIDECALL_DTYPE_INT32).find("a type that fits input 'when' of int32") !=
        std::string::npos);
  // A datetime is no type of a tensor.
  CHECK(sidecall::dtype_from_name("datetime") == 0);
}

TEST_CASE("a signature names the unit, the zone and the epoch") {
  const std::string text = sidecall::signature_text(OneDatetime(kEpoch).signature);
  CHECK(text.find(R"("dtype":"datetime","input":0,"column":0,"unit":"ms","zone":"UTC","epoch":"s",)"
                  R"("missing":-9223372036854775808)") != std::string::npos);
  const std::string naive = sidecall::signature_text(OneDatetime(kNano).signature);
  CHECK(naive.find(R"("unit":"ns"})") != std::string::npos);
}

TEST_CASE("each setter of a datetime feature accepts its values and says why it refuses others") {
  const OneDatetime zoned(kZoned), naive(kNaive), nano(kNano);
  Call call(zoned.signature, zoned.engine, false, 1);
  FeatureWriter& features = call.features();
  features.set_str(0, 0, "2026-01-31T12:30:00.25+01:00");
  CHECK(count_in(&call) == 1769859000250);
  features.set_datetime(0, 0, Moment{-1, 999000000});
  CHECK(count_in(&call) == -1);
  features.set_i64(0, 0, 7);
  CHECK(count_in(&call) == 7);
  const auto refuse = [&](const std::string& text) {
    return message_of([&] { features.raise(features.set_str(0, 0, text)); });
  };
  CHECK(refuse("x") ==
        "feature 'when': expected a datetime such as '2026-01-31T12:30:00Z', got another text");
  CHECK(refuse("2026-01-31T12:30:00") ==
        "feature 'when': expected a datetime such as '2026-01-31T12:30:00Z', got one without a "
        "zone");
  CHECK(refuse("2026-01-31T12:30:00.0001Z") ==
        "feature 'when': expected a datetime of whole ms (truncate a finer datetime), got a finer "
        "datetime");
  CHECK(status_of([&] { features.raise(features.set_str(0, 0, "")); }) == SIDECALL_INVALID_STRING);
  CHECK(status_of([&] { features.raise(features.set_str(0, 0, SIDECALL_MISSING_STRING)); }) ==
        SIDECALL_INVALID_STRING);
  CHECK(status_of([&] { features.raise(features.set_str(0, 0, "2026-01-31T12:30:00.0001Z")); }) ==
        SIDECALL_INVALID_STRING);
  CHECK(status_of([&] { features.raise(features.set_datetime(0, 0, Moment{0, 1})); }) ==
        SIDECALL_OUT_OF_RANGE);
  CHECK(status_of([&] { features.raise(features.set_datetime(0, 0, Moment{INT64_MAX, 0})); }) ==
        SIDECALL_OUT_OF_RANGE);
  CHECK(status_of([&] { features.raise(features.set_datetime(0, 0, Moment{0, -1})); }) ==
        SIDECALL_INVALID_ARGUMENT);
  CHECK(status_of([&] { features.raise(features.set_datetime(0, 0, Moment{0, 1000000000})); }) ==
        SIDECALL_INVALID_ARGUMENT);
  CHECK(status_of([&] { features.raise(features.set_f64(0, 0, 7)); }) == SIDECALL_DTYPE_MISMATCH);
  CHECK(status_of([&] { features.raise(features.set_f64(0, 0, std::nan(""))); }) ==
        SIDECALL_DTYPE_MISMATCH);
  CHECK(status_of([&] { features.raise(features.set_bool(0, 0, 1)); }) == SIDECALL_DTYPE_MISMATCH);
  CHECK(status_of([&] { features.raise(features.set_i64(0, 0, kMissing)); }) ==
        SIDECALL_MISSING_VALUE);
  CHECK(status_of([&] { features.raise(features.set_missing(0, 0)); }) == SIDECALL_MISSING_VALUE);
  CHECK(status_of([&] { features.raise(features.set_epoch(0, 0, "7")); }) ==
        SIDECALL_DTYPE_MISMATCH);
  CHECK(status_of([&] { call.run(-1); }) == SIDECALL_DTYPE_MISMATCH);  // the last one is remembered

  Call other(naive.signature, naive.engine, false, 1);
  other.features().set_str(0, 0, "2026-01-31");
  CHECK(count_in(&other) == 1769817600);
  other.features().set_i64(0, 0, kMissing);
  CHECK(count_in(&other) == kMissing);
  other.features().set_missing(0, 0);
  CHECK(count_in(&other) == kMissing);
  other.run(-1);
  CHECK(message_of([&] {
          other.features().raise(other.features().set_str(0, 0, "2026-01-31T12:30:00Z"));
        }) ==
        "feature 'when': expected a datetime such as '2026-01-31T12:30:00', got one with a zone");

  Call third(nano.signature, nano.engine, false, 1);
  third.features().set_str(0, 0, "2262-04-11T23:47:16.854775807");
  CHECK(count_in(&third) == INT64_MAX);
  CHECK(message_of([&] {
          third.features().raise(third.features().set_str(0, 0, "2262-04-11T23:47:16.854775808"));
        }) ==
        "feature 'when': expected a datetime that int64 can count in ns, got one beyond its range");
  CHECK(status_of([&] {
          third.features().raise(third.features().set_str(0, 0, "1677-09-21T00:12:43.145224192"));
        }) == SIDECALL_OUT_OF_RANGE);
}

TEST_CASE("setters of datetimes refuse features of other types") {
  const fake::RecordsModel model;
  const auto call = model.call(1);
  FeatureWriter& features = call->features();
  for (const char* name : {"amount", "count", "flag", "id", "job"}) {
    CHECK(status_of([&] {
            features.raise(features.set_datetime(0, model.feature(name), Moment{1, 0}));
          }) == SIDECALL_DTYPE_MISMATCH);
    CHECK(status_of([&] { features.raise(features.set_epoch(0, model.feature(name), "1")); }) ==
          SIDECALL_DTYPE_MISMATCH);
  }
}

TEST_CASE("records hold datetimes as text, and as numbers where the contract says the unit") {
  const OneDatetime epoch(kEpoch), zoned(kZoned);
  Call call(epoch.signature, epoch.engine, false, 1);
  const auto count_of = [&](const std::string& value) {
    read_record(&call, R"({"when": )" + value + "}");
    return count_in(&call);
  };
  const auto status = [&](const std::string& value) {
    return status_of([&] { read_record(&call, R"({"when": )" + value + "}"); });
  };
  CHECK(count_of(R"("2026-01-31T12:30:00Z")") == 1769862600000);
  CHECK(count_of("1769862600") == 1769862600000);
  CHECK(count_of("1769862600.25") == 1769862600250);
  CHECK(count_of("1.76986260025e9") == 1769862600250);
  CHECK(count_of("-1") == -1000);
  CHECK(count_of("-0.0") == 0);
  CHECK(count_of("null") == kMissing);
  CHECK(status("1769862600.0001") == SIDECALL_OUT_OF_RANGE);
  CHECK(status("1e300") == SIDECALL_OUT_OF_RANGE);
  CHECK(status("9223372036854776") == SIDECALL_OUT_OF_RANGE);
  CHECK(count_of("9223372036854775") == 9223372036854775000);
  CHECK(status("true") == SIDECALL_DTYPE_MISMATCH);
  CHECK(status("[1]") == SIDECALL_DTYPE_MISMATCH);
  CHECK(status(R"({"x": 1})") == SIDECALL_DTYPE_MISMATCH);
  CHECK(status(R"("NaT")") == SIDECALL_INVALID_STRING);
  call.clear();
  sidecall::RecordReader().read("{}", &call);
  call.run(-1);
  CHECK(count_in(&call) == kMissing);

  Call strict(zoned.signature, zoned.engine, false, 1);
  CHECK(message_of([&] { read_record(&strict, R"({"when": 1769862600})"); }) ==
        "feature 'when': expected a datetime such as '2026-01-31T12:30:00Z', got a number, for "
        "which the contract has no 'epoch'");
  CHECK(status_of([&] { read_record(&strict, R"({"when": null})"); }) == SIDECALL_MISSING_VALUE);
}

TEST_CASE("whole tensors of datetimes are checked before a run") {
  const OneDatetime required(kZoned), nullable(kNaive);
  const OneDatetime limited(
      R"("unit": "s", "zone": "UTC", "nullable": true, "missing": {"value": -9223372036854775808}, "domain": [[0, 86399], [172800, 259199]])");
  const auto run = [](const OneDatetime& model, int64_t count) {
    Call call(model.signature, model.engine, false, 3);
    sidecall_view view = SIDECALL_VIEW_INIT;
    call.view_input(0, &view);
    auto* counts = static_cast<int64_t*>(view.data);
    counts[0] = counts[1] = counts[2] = 1;
    counts[1] = count;
    return message_of([&] { call.run(-1); });
  };
  CHECK(run(required, kMissing + 1).empty());
  CHECK(run(required, kMissing) ==
        "feature 'when': expected datetime, got a missing value (row 1)");
  CHECK(run(nullable, kMissing).empty());
  CHECK(run(nullable, INT64_MAX).empty());
  CHECK(run(limited, kMissing).empty());
  CHECK(run(limited, 86399).empty());
  CHECK(run(limited, 172800).empty());
  const std::string expected =
      "feature 'when': expected a datetime from '1970-01-01T00:00:00Z' to '1970-01-01T23:59:59Z' "
      "or from '1970-01-03T00:00:00Z' to '1970-01-03T23:59:59Z', got another";
  CHECK(run(limited, 86400) == expected + " (row 1)");
  CHECK(run(limited, -1) == expected + " (row 1)");
  CHECK(run(limited, kMissing + 1) == expected + " (row 1)");
  Call call(limited.signature, limited.engine, false, 1);
  FeatureWriter& features = call.features();
  CHECK(message_of([&] { features.raise(features.set_str(0, 0, "1970-01-02T00:00:00Z")); }) ==
        expected);
  CHECK(status_of([&] { features.raise(features.set_str(0, 0, "1970-01-02T00:00:00Z")); }) ==
        SIDECALL_OUT_OF_RANGE);
}
