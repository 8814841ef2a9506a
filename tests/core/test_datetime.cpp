// Tests of the text and the counts of datetimes (base/text/datetime.h).
#include <catch2/catch_test_macros.hpp>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string>
#include <utility>

#include "base/text/datetime.h"

using namespace sidecall;
using Kind = DatetimeCount::Kind;

namespace {

constexpr int32_t kUnits[] = {1, 1000, 1000000, kNanosecondsPerSecond};

// The count of a text; "" if it has one, else what is wrong.
std::string read(const std::string& text, bool has_zone, int32_t per_second, int64_t* count) {
  Moment moment;
  if (const char* wrong = parse_datetime(text, has_zone, &moment)) return wrong;
  const DatetimeCount found = count_of(moment, per_second);
  *count = found.count;
  if (found.kind == Kind::kTooFine) return "too fine";
  return found.kind == Kind::kTooFar ? "too far" : "";
}

int64_t count_in(const std::string& text, bool has_zone, int32_t per_second) {
  int64_t count = 0;
  INFO(text);
  REQUIRE(read(text, has_zone, per_second, &count).empty());
  return count;
}

std::string fault_of(const std::string& text, bool has_zone, int32_t per_second = 1) {
  int64_t count = 0;
  return read(text, has_zone, per_second, &count);
}

std::pair<Kind, int64_t> converted(const std::string& number, int32_t from, int32_t to) {
  const DatetimeCount count = convert_number(number, from, to);
  return {count.kind, count.count};
}

}  // namespace

TEST_CASE("every day of the years 1 to 9999 has the text and the count of the C library") {
  int64_t days = days_to_date(1, 1, 1);
  CHECK(days == -719162);
  bool is_right = true;
  for (int year = 1; year <= 9999; ++year) {
    for (int month = 1; month <= 12; ++month) {
      for (int day = 1; day <= days_of_month(year, month); ++day, ++days) {
        char text[40];
        std::snprintf(text, sizeof text, "%04d-%02d-%02dT00:00:00", year, month, day);
        std::tm parts{};
        parts.tm_year = year - 1900;
        parts.tm_mon = month - 1;
        parts.tm_mday = day;
        Moment moment;
        is_right = is_right && days_to_date(year, month, day) == days &&
                   timegm(&parts) == days * 86400 &&
                   parse_datetime(text, false, &moment) == nullptr &&
                   moment.seconds == days * 86400 && datetime_text(days * 86400, 1, false) == text;
      }
    }
  }
  CHECK(is_right);
  CHECK(days == days_to_date(10000, 1, 1));
}

TEST_CASE("each form of a datetime is read") {
  CHECK(count_in("1970-01-01", false, 1) == 0);
  CHECK(count_in("2026-01-31", false, 1) == 1769817600);
  CHECK(count_in("2026-01-31T12:30", false, 1) == 1769862600);
  CHECK(count_in("2026-01-31t12:30:05", false, 1) == 1769862605);
  CHECK(count_in("2026-01-31 12:30:05", false, 1) == 1769862605);
  CHECK(count_in("2026-01-31T12:30:05.25", false, 1000) == 1769862605250);
  CHECK(count_in("2026-01-31T12:30:05,25", false, 1000) == 1769862605250);
  CHECK(count_in("2026-01-31T12:30:05.000000001", false, 1000000000) == 1769862605000000001);
  CHECK(count_in("2026-01-31T12:30:05.250000000", false, 1000) == 1769862605250);
  CHECK(count_in("2026-01-31T12:30:05.000", false, 1) == 1769862605);
  for (const char* zone : {"Z", "z", "+00:00", "-00:00", "+0000", "+00"})
    CHECK(count_in(std::string("2026-01-31T12:30:05") + zone, true, 1) == 1769862605);
  CHECK(count_in("2026-01-31T12:30:05+02:00", true, 1) == 1769862605 - 7200);
  CHECK(count_in("2026-01-31T12:30:05-0130", true, 1) == 1769862605 + 5400);
  CHECK(count_in("2026-01-31T12:30:05.5-23", true, 1000) == 1769945405500);
  CHECK(count_in("2026-01-31 12:30+23:59", true, 1) == 1769862600 - 86340);
  for (const char* zone : {"+00:53:28", "+005328"})
    CHECK(count_in(std::string("2026-01-31T12:30:05") + zone, true, 1) == 1769862605 - 3208);
  CHECK(count_in("2026-01-31T12:30:05-00:00:44", true, 1) == 1769862605 + 44);
  CHECK(count_in("1969-12-31T23:59:59.999999999", false, 1000000000) == -1);
  CHECK(count_in("1969-12-31T23:59:59.999", false, 1000) == -1);
  CHECK(count_in("2000-02-29T00:00:00", false, 1) == 951782400);
  CHECK(count_in("0001-01-01", false, 1) == -62135596800);
  CHECK(count_in("9999-12-31T23:59:59.999999", false, 1000000) == 253402300799999999);
  // The zone moves the instant beyond the years that a text can have.
  CHECK(count_in("0001-01-01T00:00:00+23:59", true, 1) == -62135596800 - 86340);
}

TEST_CASE("any other text is refused with what is wrong") {
  for (const char* text : {"x",
                           "2026",
                           "2026-01",
                           "2026-1-31",
                           "26-01-31",
                           "2026-01-31T",
                           "2026-01-31 ",
                           "2026-01-31T12",
                           "2026-01-31T1230",
                           "2026-01-31T12:3",
                           "2026-01-31T12:30:5",
                           "2026-01-31T12:30:05.",
                           "2026-01-31T12:30:05.x",
                           "2026-01-31T12:30:05.1234567890",
                           "2026-01-31T12:30:05 ",
                           " 2026-01-31",
                           "2026-01-31  12:30",
                           "2026/01/31",
                           "20260131",
                           "2026-W05-6",
                           "2026-031",
                           "+2026-01-31",
                           "-026-01-31",
                           "2026-01-31T12:30.5",
                           "now",
                           "NaT",
                           "1769862605",
                           "2026-01-31_12:30",
                           "2026-01-31T12:30:05Zx",
                           "2026-01-31T12:30:05x",
                           "\xef\xbc\x92"
                           "026-01-31"}) {
    CAPTURE(text);
    CHECK(fault_of(text, false) == "another text");
  }
  for (const char* text :
       {"2026-01-31T12:30:05+1", "2026-01-31T12:30:05+1:00", "2026-01-31T12:30:05+01:0",
        "2026-01-31T12:30:05+01:000", "2026-01-31T12:30:05 Z", "2026-01-31T12:30:05UTC",
        "2026-01-31T12:30:05+00:5328", "2026-01-31T12:30:05+0053:28", "2026-01-31T12:30:05+00:53:2",
        "2026-01-31T12:30:05+00:53:28.5", "2026-01-31T12:30:05+01:", "2026-01-31T12:30:05ZZ",
        "2026-01-31T12:30:05+", "2026-01-31T12:30:05[Europe/Berlin]",
        "2026-01-31T12:30:05\xe2\x88\x92"
        "01:00"}) {
    CAPTURE(text);
    CHECK(fault_of(text, true) == "another text");
  }
  for (const char* text : {"0000-01-01", "2026-00-10", "2026-13-10", "2026-01-00", "2026-01-32",
                           "2026-02-29", "1900-02-29", "2026-04-31"}) {
    CAPTURE(text);
    CHECK(fault_of(text, false) == "a date that does not exist");
  }
  for (const char* time : {"24:00", "23:60", "23:59:60"})
    CHECK(fault_of(std::string("2026-01-31T") + time, false) == "a time that does not exist");
  for (const char* zone : {"+24:00", "+23:60", "-9900", "+00:53:60"})
    CHECK(fault_of(std::string("2026-01-31T12:30") + zone, true) == "a zone that does not exist");
  CHECK(fault_of("", true) == "an empty string");
  CHECK(fault_of("2026-01-31", true) == "a date without a time and a zone");
  CHECK(fault_of("2026-01-31T12:30", true) == "one without a zone");
  CHECK(fault_of("2026-01-31T12:30Z", false) == "one with a zone");
  CHECK(fault_of("2026-01-31T12:30+01:00", false) == "one with a zone");
  CHECK(fault_of(std::string("2026-01-31\0", 11), false) == "another text");
  CHECK(fault_of("2026-01-31T12:30:05.5", false, 1) == "too fine");
  CHECK(fault_of("2026-01-31T12:30:05.0001", false, 1000) == "too fine");
  CHECK(fault_of("2026-01-31T12:30:05.000000001", false, 1000000) == "too fine");
}

TEST_CASE("a count reaches to the ends of int64, except the one that is missing") {
  constexpr int32_t kNano = kNanosecondsPerSecond;
  CHECK(count_in("2262-04-11T23:47:16.854775807", false, kNano) == INT64_MAX);
  CHECK(fault_of("2262-04-11T23:47:16.854775808", false, kNano) == "too far");
  CHECK(count_in("1677-09-21T00:12:43.145224193", false, kNano) == INT64_MIN + 1);
  CHECK(fault_of("1677-09-21T00:12:43.145224192", false, kNano) == "too far");
  CHECK(fault_of("0001-01-01", false, kNano) == "too far");
  CHECK(fault_of("9999-12-31", false, kNano) == "too far");
  CHECK(datetime_text(INT64_MAX, kNano, false) == "2262-04-11T23:47:16.854775807");
  CHECK(datetime_text(INT64_MIN + 1, kNano, true) == "1677-09-21T00:12:43.145224193Z");
  CHECK(count_of({INT64_MAX, 999999999}, 1).kind == Kind::kTooFine);
  CHECK(count_of({INT64_MAX, 0}, 1).count == INT64_MAX);
  CHECK(count_of({INT64_MIN, 0}, 1).kind == Kind::kTooFar);
  CHECK(count_of({INT64_MIN + 1, 0}, 1).count == INT64_MIN + 1);
  CHECK(count_of({INT64_MAX, 0}, 1000).kind == Kind::kTooFar);
  CHECK(count_of({INT64_MIN, 999999999}, kNano).kind == Kind::kTooFar);
  // The seconds alone would lie outside.
  CHECK(count_of({-9223372037, 145224193}, kNano).count == INT64_MIN + 1);
  CHECK(datetime_text(INT64_MAX, 1, false) == "9223372036854775807 s since 1970");
  CHECK(datetime_text(INT64_MIN, 1000, true) == "-9223372036854775808 ms since 1970");
  CHECK(datetime_text(INT64_MIN + 1, 1, true) == "-9223372036854775807 s since 1970");
}

TEST_CASE("the text of a count has as many digits as it needs and reads back") {
  CHECK(datetime_text(0, 1, true) == "1970-01-01T00:00:00Z");
  CHECK(datetime_text(-1, 1000, false) == "1969-12-31T23:59:59.999");
  CHECK(datetime_text(1769862605250, 1000, true) == "2026-01-31T12:30:05.25Z");
  CHECK(datetime_text(1769862605000001, 1000000, true) == "2026-01-31T12:30:05.000001Z");
  CHECK(datetime_text(-62135596800, 1, false) == "0001-01-01T00:00:00");
  CHECK(datetime_text(-62135596801, 1, false) == "-62135596801 s since 1970");
  CHECK(datetime_text(253402300799, 1, false) == "9999-12-31T23:59:59");
  CHECK(datetime_text(253402300800, 1, false) == "253402300800 s since 1970");
  uint64_t state = 1;
  for (int i = 0; i < 20000; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    const auto drawn = static_cast<int64_t>(state);
    const int32_t per_second = kUnits[i % 4];
    const int64_t count = per_second == 1 ? drawn % 60000000000 : drawn % (60000000000 * 1000);
    const bool has_zone = i % 8 < 4;
    REQUIRE(count_in(datetime_text(count, per_second, has_zone), has_zone, per_second) == count);
  }
}

TEST_CASE("numbers are converted between units exactly or not at all") {
  const auto whole = [](int64_t count) { return std::pair(Kind::kCount, count); };
  const auto too_fine = std::pair(Kind::kTooFine, INT64_C(0)),
             too_far = std::pair(Kind::kTooFar, INT64_C(0));
  CHECK(converted("1769862605", 1, 1) == whole(1769862605));
  CHECK(converted("1769862605", 1, 1000000000) == whole(1769862605000000000));
  CHECK(converted("1769862605250", 1000, 1) == too_fine);
  CHECK(converted("1769862605000", 1000, 1) == whole(1769862605));
  CHECK(converted("-1500", 1000, 1000) == whole(-1500));
  CHECK(converted("1769862605.25", 1, 1000) == whole(1769862605250));
  CHECK(converted("1769862605.250000000000000000000000000000000000000", 1, 1000) ==
        whole(1769862605250));
  CHECK(converted("1769862605.2500000000000000000000000000000000000001", 1, 1000) == too_fine);
  CHECK(converted("1.769862605e9", 1, 1) == whole(1769862605));
  CHECK(converted("1.7698626055e+9", 1, 1) == too_fine);
  CHECK(converted("17698626050E-1", 1, 1) == whole(1769862605));
  CHECK(converted("0", 1, 1000000000) == whole(0));
  CHECK(converted("-0.0", 1, 1) == whole(0));
  CHECK(converted("0e999999999999999999999", 1, 1) == whole(0));
  CHECK(converted("1e999999999999999999999", 1, 1) == too_far);
  CHECK(converted("1e-999999999999999999999", 1, 1) == too_fine);
  CHECK(converted("9223372036854775807", 1, 1) == whole(INT64_MAX));
  CHECK(converted("9223372036854775808", 1, 1) == too_far);
  CHECK(converted("-9223372036854775807", 1, 1) == whole(INT64_MIN + 1));
  CHECK(converted("-9223372036854775808", 1, 1) == too_far);
  CHECK(converted("9223372036854775807000000000", 1000000000, 1) == whole(INT64_MAX));
  CHECK(converted("9223372036854775808000000000", 1000000000, 1) == too_far);
  CHECK(converted("9223372036.854775807", 1, 1000000000) == whole(INT64_MAX));
  CHECK(converted("9223372036.854775808", 1, 1000000000) == too_far);
  CHECK(converted("10000000000000000000000000000000000000000000000000000", 1, 1) == too_far);
  CHECK(converted("1000000000000000000000000000000000000000001e-42", 1, 1).first != Kind::kCount);
  CHECK(converted("100000000000000000000000000000000000000000e-40", 1, 1) == whole(10));
}

TEST_CASE("units have names") {
  for (const int32_t per_second : kUnits)
    CHECK(units_per_second(unit_name(per_second)) == per_second);
  for (const char* other : {"", "S", "m", "min", "D", "h", "sec", "ps"})
    CHECK(units_per_second(other) == 0);
}
