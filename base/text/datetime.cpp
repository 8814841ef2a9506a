// Reads, converts and writes dates and times; see datetime.h.
#include "datetime.h"

#include <charconv>
#include <cstdio>

namespace sidecall {
namespace {

constexpr int32_t kSecondsPerDay = 86400;
constexpr int64_t kDaysPerEra = 146097;   // 400 years, after which the calendar repeats
constexpr int64_t kDaysToEpoch = 719468;  // from 0000-03-01 to 1970-01-01

__extension__ using Wide = __int128;  // holds every product of two numbers of 64 bits

constexpr const char* kOtherText = "another text";

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

constexpr int64_t floor_divide(int64_t number, int64_t divisor) noexcept {
  return number / divisor - (number % divisor < 0 ? 1 : 0);
}

// The remainder that belongs to it, which is not negative. The product of quotient and divisor can
// be below the range of int64.
constexpr int32_t floor_remainder(int64_t number, int32_t divisor) noexcept {
  const auto rest = static_cast<int32_t>(number % divisor);
  return rest < 0 ? rest + divisor : rest;
}

bool is_leap(int64_t year) noexcept {
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

// Reads a text from left to right. Each function returns false if the text does not continue so.
class Reader {
 public:
  explicit Reader(std::string_view text) noexcept : text_(text) {}

  bool is_at_end() const noexcept { return at_ == text_.size(); }
  char peek() const noexcept { return is_at_end() ? '\0' : text_[at_]; }

  bool take(char expected) noexcept {
    if (is_at_end() || text_[at_] != expected) return false;
    ++at_;
    return true;
  }

  // Exactly `count` digits.
  bool take_number(size_t count, int32_t* number) noexcept {
    if (text_.size() - at_ < count) return false;
    *number = 0;
    for (const size_t end = at_ + count; at_ < end; ++at_) {
      if (!is_digit(text_[at_])) return false;
      *number = *number * 10 + (text_[at_] - '0');
    }
    return true;
  }

  // 1 to 9 digits of a fraction, in units of 1e-9.
  bool take_fraction(int32_t* nanoseconds) noexcept {
    int32_t scale = kNanosecondsPerSecond;
    *nanoseconds = 0;
    for (; scale > 1 && is_digit(peek()); ++at_) {
      scale /= 10;
      *nanoseconds += (text_[at_] - '0') * scale;
    }
    return scale < kNanosecondsPerSecond && !is_digit(peek());
  }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

const char* read_date(Reader* reader, int64_t* days) noexcept {
  int32_t year = 0, month = 0, day = 0;
  if (!reader->take_number(4, &year) || !reader->take('-') || !reader->take_number(2, &month) ||
      !reader->take('-') || !reader->take_number(2, &day))
    return kOtherText;
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_of_month(year, month))
    return "a date that does not exist";
  *days = days_to_date(year, month, day);
  return nullptr;
}

// Reads "12:30", "12:30:00" or "12:30:00.25".
const char* read_time(Reader* reader, Moment* moment) noexcept {
  int32_t hour = 0, minute = 0, second = 0;
  if (!reader->take_number(2, &hour) || !reader->take(':') || !reader->take_number(2, &minute))
    return kOtherText;
  if (reader->take(':')) {
    if (!reader->take_number(2, &second)) return kOtherText;
    const bool has_fraction = reader->take('.') || reader->take(',');
    if (has_fraction && !reader->take_fraction(&moment->nanoseconds)) return kOtherText;
  }
  if (hour > 23 || minute > 59 || second > 59) return "a time that does not exist";
  moment->seconds = hour * 3600 + minute * 60 + second;
  return nullptr;
}

// Reads "Z", "+01:00", "+0100" or "+01", as the seconds that local time is ahead of UTC. Times
// before the zones of today may have seconds, as in "+00:53:28" or "+005328".
const char* read_zone(Reader* reader, int64_t* offset) noexcept {
  *offset = 0;
  if (reader->take('Z') || reader->take('z')) return nullptr;
  const bool is_behind = reader->peek() == '-';
  if (!reader->take('+') && !reader->take('-')) return kOtherText;
  int32_t hours = 0, minutes = 0, seconds = 0;
  if (!reader->take_number(2, &hours)) return kOtherText;
  if (!reader->is_at_end()) {
    const bool has_colons = reader->take(':');
    if (!reader->take_number(2, &minutes)) return kOtherText;
    if (!reader->is_at_end()) {
      if (reader->take(':') != has_colons || !reader->take_number(2, &seconds)) return kOtherText;
    }
  }
  if (hours > 23 || minutes > 59 || seconds > 59) return "a zone that does not exist";
  *offset = (hours * 3600 + minutes * 60 + seconds) * (is_behind ? -1 : 1);
  return nullptr;
}

// number * 10^exponent, which need not be positive. Gives kTooFar if int64 cannot hold it.
DatetimeCount scale_by_ten(Wide number, int64_t exponent) noexcept {
  constexpr Wide kLimit = static_cast<Wide>(INT64_MAX) + 1;
  if (number == 0) return {DatetimeCount::Kind::kCount, 0};
  for (; exponent < 0; ++exponent) {
    if (number % 10 != 0) return {DatetimeCount::Kind::kTooFine, 0};
    number /= 10;
  }
  for (; exponent > 0 && number < kLimit && number > -kLimit; --exponent) number *= 10;
  // The number that stands for a missing value is outside, too.
  if (number >= kLimit || number <= -kLimit) return {DatetimeCount::Kind::kTooFar, 0};
  return {DatetimeCount::Kind::kCount, static_cast<int64_t>(number)};
}

int32_t decimals_of(int32_t per_second) noexcept {
  int32_t decimals = 0;
  for (; per_second > 1; per_second /= 10) ++decimals;
  return decimals;
}

}  // namespace

int32_t units_per_second(std::string_view unit) noexcept {
  if (unit == "s") return 1;
  if (unit == "ms") return 1000;
  if (unit == "us") return 1000000;
  return unit == "ns" ? kNanosecondsPerSecond : 0;
}

const char* unit_name(int32_t per_second) noexcept {
  switch (per_second) {
    case 1:
      return "s";
    case 1000:
      return "ms";
    case 1000000:
      return "us";
    default:
      return "ns";
  }
}

int32_t days_of_month(int64_t year, int32_t month) noexcept {
  if (month == 2) return is_leap(year) ? 29 : 28;
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

// Years begin in March here, so that the leap day is the last day of its year (Howard Hinnant,
// "chrono-compatible low-level date algorithms").
int64_t days_to_date(int64_t year, int32_t month, int32_t day) noexcept {
  const int64_t shifted = month <= 2 ? year - 1 : year;
  const int64_t era = floor_divide(shifted, 400);
  const int64_t year_of_era = shifted - era * 400;
  const int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * kDaysPerEra + day_of_era - kDaysToEpoch;
}

const char* parse_datetime(std::string_view text, bool has_zone, Moment* moment) noexcept {
  if (text.empty()) return "an empty string";
  Reader reader(text);
  int64_t days = 0, offset = 0;
  Moment read;
  if (const char* wrong = read_date(&reader, &days)) return wrong;
  if (reader.is_at_end() && has_zone) return "a date without a time and a zone";
  if (!reader.is_at_end()) {
    if (!reader.take('T') && !reader.take('t') && !reader.take(' ')) return kOtherText;
    if (const char* wrong = read_time(&reader, &read)) return wrong;
    if (reader.is_at_end() && has_zone) return "one without a zone";
  }
  if (!reader.is_at_end()) {
    if (const char* wrong = read_zone(&reader, &offset)) return wrong;
    if (!reader.is_at_end()) return kOtherText;
    if (!has_zone) return "one with a zone";
  }
  read.seconds += days * kSecondsPerDay - offset;
  *moment = read;
  return nullptr;
}

DatetimeCount count_of(const Moment& moment, int32_t per_second) noexcept {
  const int32_t unit = kNanosecondsPerSecond / per_second;
  if (moment.nanoseconds % unit != 0) return {DatetimeCount::Kind::kTooFine, 0};
  // 128 bits, because the seconds alone may lie just below a range that the sum is in.
  const Wide count = static_cast<Wide>(moment.seconds) * per_second + moment.nanoseconds / unit;
  return scale_by_ten(count, 0);
}

std::string datetime_text(int64_t count, int32_t per_second, bool has_zone) {
  const int64_t seconds = floor_divide(count, per_second);
  const int64_t days = floor_divide(seconds, kSecondsPerDay);
  const int32_t fraction = floor_remainder(count, per_second);
  const int32_t second_of_day = floor_remainder(seconds, kSecondsPerDay);
  const int64_t shifted = days + kDaysToEpoch;
  const int64_t era = floor_divide(shifted, kDaysPerEra);
  const int64_t day_of_era = shifted - era * kDaysPerEra;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t shifted_month = (5 * day_of_year + 2) / 153;
  const auto day = static_cast<int>(day_of_year - (153 * shifted_month + 2) / 5 + 1);
  const auto month = static_cast<int>(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
  const int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  if (year < 1 || year > 9999)
    return std::to_string(count) + " " + unit_name(per_second) + " since 1970";
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d", static_cast<int>(year), month,
                day, second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
  std::string whole = text;
  if (fraction != 0) {
    std::snprintf(text, sizeof text, ".%0*d", decimals_of(per_second), fraction);
    whole += text;
    whole.erase(whole.find_last_not_of('0') + 1);
  }
  return has_zone ? whole + "Z" : whole;
}

DatetimeCount convert_number(std::string_view number, int32_t from_per_second,
                             int32_t to_per_second) noexcept {
  // A number of this size is too far away in every unit, whatever digits follow.
  constexpr Wide kLarge = static_cast<Wide>(1) << 100;
  const bool is_negative = !number.empty() && number.front() == '-';
  if (is_negative) number.remove_prefix(1);
  Wide digits = 0;
  int64_t exponent = decimals_of(to_per_second) - decimals_of(from_per_second);
  int64_t zeros = 0;  // that were read but are not part of `digits`, because they may be the last
  bool is_fraction = false;
  size_t at = 0;
  for (; at < number.size() && number[at] != 'e' && number[at] != 'E'; ++at) {
    if (number[at] == '.') {
      is_fraction = true;
      continue;
    }
    if (is_fraction) --exponent;
    ++zeros;
    if (number[at] == '0') continue;
    for (; zeros > 0 && digits < kLarge; --zeros) digits *= 10;
    if (zeros > 0)
      return {is_fraction ? DatetimeCount::Kind::kTooFine : DatetimeCount::Kind::kTooFar, 0};
    digits += number[at] - '0';
  }
  if (at < number.size()) {
    std::string_view written = number.substr(at + 1);
    if (!written.empty() && written.front() == '+') written.remove_prefix(1);
    int64_t power = 0;
    const auto read = std::from_chars(written.data(), written.data() + written.size(), power);
    constexpr int64_t kFarPower = 1000000000;
    if (read.ec != std::errc() || power > kFarPower || power < -kFarPower)
      power = !written.empty() && written.front() == '-' ? -kFarPower : kFarPower;
    exponent += power;
  }
  return scale_by_ten(is_negative ? -digits : digits, exponent + zeros);
}

}  // namespace sidecall
