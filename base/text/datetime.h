// Dates and times: the text of ISO 8601, and counts of a unit since 1970. Integers only, so nothing
// is rounded. The calendar is the Gregorian one, also before it was introduced.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sidecall {

// An instant, or a time of the wall clock if there is no zone, like struct timespec: `nanoseconds`
// are added to `seconds`, which may be negative.
struct Moment {
  int64_t seconds = 0;      // since 1970-01-01T00:00:00
  int32_t nanoseconds = 0;  // 0 to 999 999 999
};

constexpr int32_t kNanosecondsPerSecond = 1000000000;

// The count that stands for a missing datetime. Every other int64 is a value.
constexpr int64_t kMissingDatetime = INT64_MIN;

// How many of the unit "s", "ms", "us" or "ns" a second has; 0 for any other text.
int32_t units_per_second(std::string_view unit) noexcept;
// "s", "ms", "us" or "ns"
const char* unit_name(int32_t per_second) noexcept;

// Days from 1970-01-01 to a date of the Gregorian calendar, whose month is 1 to 12.
int64_t days_to_date(int64_t year, int32_t month, int32_t day) noexcept;
int32_t days_of_month(int64_t year, int32_t month) noexcept;

// Reads a date ("2026-01-31"), or a date and a time ("2026-01-31T12:30:00.25+01:00"). With
// `has_zone` the text must end with a zone, and without it must not. Returns nullptr, or what is
// wrong with the text, as the words after "got" in a message.
const char* parse_datetime(std::string_view text, bool has_zone, Moment* moment) noexcept;

// The count of a moment.
struct DatetimeCount {
  enum class Kind { kCount, kTooFine, kTooFar } kind;
  int64_t count;
};
// The kind is kTooFine if the unit cannot express the nanoseconds, and kTooFar if int64 cannot hold
// the count, or the count stands for a missing value.
DatetimeCount count_of(const Moment& moment, int32_t per_second) noexcept;

// The text of a count: "2026-01-31T12:30:00.25Z", with as many digits as it needs, and with "Z" if
// `has_zone`. A year outside of 1 to 9999 has no such text; then the count with its unit, as in
// "-9000000000000000000 s since 1970".
std::string datetime_text(int64_t count, int32_t per_second, bool has_zone);

// Reads a JSON number, or another one that read_number() accepts. It counts `from_per_second`, and
// the result counts `to_per_second`; its kind is kTooFine if that is not a whole number.
DatetimeCount convert_number(std::string_view number, int32_t from_per_second,
                             int32_t to_per_second) noexcept;

}  // namespace sidecall
