// Datetimes through the C ABI and sidecall.hpp: every setter, and the spec of a feature.
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstdint>
#include <limits>
#include <string>

#include "support.h"

using sidecall::Call;
using sidecall::Model;
using support::error;
using support::last;
using support::status;

namespace {

// Features of dates.onnx: `seen` counts ms, has a zone and the epoch s; `born` counts s without a
// zone; `exact` counts ns and `due` counts us, both with a zone. All but `born` and `due` are
// nullable.
constexpr int32_t kSeen = 0, kBorn = 1, kExact = 2, kDue = 3;
constexpr int64_t kMissing = std::numeric_limits<int64_t>::min();

std::string datetime(Call& call, int32_t feature, int64_t seconds, int32_t nanoseconds) {
  return status(sidecall_call_set_datetime(call.get(), 0, feature, seconds, nanoseconds, error()));
}
std::string epoch(Call& call, int32_t feature, std::string_view number) {
  return status(
      sidecall_call_set_epoch(call.get(), 0, feature, number.data(), number.size(), error()));
}
std::string str(Call& call, int32_t feature, std::string_view value) {
  return status(sidecall_call_set_str(call.get(), 0, feature, value.data(), value.size(), error()));
}

void give_all(Call& call) {
  call.clear();
  call.set(0, kBorn, "2026-01-31");
  call.set(0, kDue, "1970-01-01T00:00:01Z");
}

// The count that the model gets.
int64_t count_of(Call& call, int32_t feature) {
  call.run();
  return call.get_i64(0, feature);
}

}  // namespace

TEST_CASE("the spec of a datetime names its unit, zone and epoch") {
  const Model model = support::open("dates.onnx");
  const char* expected[][3] = {
      {"ms", "Europe/Berlin", "s"}, {"s", "", ""}, {"ns", "UTC", ""}, {"us", "+02:00", ""}};
  for (int32_t feature = 0; feature < 4; ++feature) {
    const sidecall_feature_spec& spec = *model.feature_spec(feature);
    CHECK(spec.dtype == SIDECALL_DTYPE_DATETIME);
    CHECK(std::string(spec.unit) == expected[feature][0]);
    CHECK(std::string(spec.zone) == expected[feature][1]);
    CHECK(std::string(spec.epoch) == expected[feature][2]);
  }
  CHECK(std::string(sidecall_dtype_name(SIDECALL_DTYPE_DATETIME)) == "datetime");
  CHECK(sidecall_dtype_bits(SIDECALL_DTYPE_DATETIME) == 0);
  const Model kinds = support::open("kinds.onnx");
  const sidecall_feature_spec& number = *kinds.feature_spec(0);
  CHECK(std::string(number.unit) + number.zone + number.epoch == "");
}

TEST_CASE("each setter of a datetime gives the same count") {
  const Model model = support::open("dates.onnx");
  Call call(model);
  give_all(call);
  CHECK(str(call, kSeen, "2026-01-31T01:00:00.25+01:00") == "OK");
  CHECK(count_of(call, kSeen) == 1769817600250);
  CHECK(datetime(call, kSeen, 1769817600, 250000000) == "OK");
  CHECK(count_of(call, kSeen) == 1769817600250);
  call.set(0, kSeen, int64_t{1769817600250});
  CHECK(count_of(call, kSeen) == 1769817600250);
  CHECK(epoch(call, kSeen, "1769817600.25") == "OK");
  CHECK(count_of(call, kSeen) == 1769817600250);
  CHECK(datetime(call, kSeen, -1, 999000000) == "OK");
  CHECK(count_of(call, kSeen) == -1);
  call.set(0, kSeen, kMissing);
  CHECK(count_of(call, kSeen) == kMissing);
  CHECK(datetime(call, kExact, -9223372037, 145224193) == "OK");
  CHECK(count_of(call, kExact) == kMissing + 1);
}

TEST_CASE("a time_point is an instant, which only features with a zone take") {
  using std::chrono::system_clock;
  const Model model = support::open("dates.onnx");
  Call call(model);
  give_all(call);
  const auto epoch = std::chrono::time_point<system_clock, std::chrono::nanoseconds>();
  call.set(0, kExact, epoch + std::chrono::nanoseconds(1234567890123));
  CHECK(count_of(call, kExact) == 1234567890123);
  call.set(0, kExact, epoch - std::chrono::nanoseconds(1));
  CHECK(count_of(call, kExact) == -1);
  call.set(0, kSeen,
           std::chrono::time_point<system_clock, std::chrono::hours>(std::chrono::hours(-5)));
  CHECK(count_of(call, kSeen) == -5 * 3600 * INT64_C(1000));
  call.set(0, kSeen, std::chrono::floor<std::chrono::milliseconds>(system_clock::now()));
  CHECK(count_of(call, kSeen) > 1700000000000);
  try {
    call.set(0, kBorn, epoch);
    FAIL("a feature without a zone took an instant");
  } catch (const sidecall::Error& refused) {
    CHECK(refused.status() == SIDECALL_DTYPE_MISMATCH);
    CHECK(std::string(refused.what()) ==
          "feature 'born': expected a datetime such as '2026-01-31T12:30:00', got an instant, but "
          "the feature has no zone");
  }
}

TEST_CASE("datetimes that a feature cannot hold are refused, and the run reports them together") {
  const Model model = support::open("dates.onnx");
  Call call(model);
  give_all(call);
  CHECK(datetime(call, kSeen, 0, 1) == "OUT_OF_RANGE");
  CHECK(datetime(call, kSeen, INT64_MAX, 0) == "OUT_OF_RANGE");
  CHECK(datetime(call, kBorn, kMissing, 0) == "OUT_OF_RANGE");
  CHECK(datetime(call, kExact, 9223372036, 854775808) == "OUT_OF_RANGE");
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "OUT_OF_RANGE");
  CHECK(last().num_faults == 3);
  give_all(call);
  CHECK(datetime(call, kSeen, 0, -1) == "INVALID_ARGUMENT");
  CHECK(datetime(call, kSeen, 0, 1000000000) == "INVALID_ARGUMENT");
  CHECK(epoch(call, kSeen, "x") == "INVALID_ARGUMENT");
  CHECK(epoch(call, kSeen, "nan") == "INVALID_ARGUMENT");
  CHECK(epoch(call, kSeen, "-inf") == "INVALID_ARGUMENT");
  CHECK(epoch(call, kSeen, "") == "INVALID_ARGUMENT");
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "OK");  // they are not remembered
  CHECK(epoch(call, kExact, "5") == "DTYPE_MISMATCH");
  CHECK(status(sidecall_call_set_f64(call.get(), 0, kSeen, 5, error())) == "DTYPE_MISMATCH");
  CHECK(status(sidecall_call_set_bool(call.get(), 0, kSeen, 1, error())) == "DTYPE_MISMATCH");
  CHECK(status(sidecall_call_set_i64(call.get(), 0, kBorn, kMissing, error())) == "MISSING_VALUE");
  CHECK(status(sidecall_call_set_i64(call.get(), 0, kDue, -1, error())) == "OUT_OF_RANGE");
  const Model kinds = support::open("kinds.onnx");
  Call other(kinds);
  for (int32_t feature = 0; feature < 10; ++feature) {
    CHECK(datetime(other, feature, 0, 0) == "DTYPE_MISMATCH");
    CHECK(epoch(other, feature, "1") == "DTYPE_MISMATCH");
    CHECK(status(sidecall_call_set_instant(other.get(), 0, feature, 0, 0, error())) ==
          "DTYPE_MISMATCH");
  }
}
