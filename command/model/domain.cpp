// Reads the domains of features; see domain.hpp. The library has already checked them when it
// opened the file.
#include "domain.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <vector>

#include "base/text/datetime.h"

namespace sidecall::cli {
namespace {

constexpr size_t kIntervalsShown = 3;

struct Interval {
  double low, high;
};

double end_of(const Json& value) {
  if (value.IsNumber()) return value.GetDouble();
  return text_of(value) == "-inf" ? -HUGE_VAL : HUGE_VAL;
}

std::vector<Interval> intervals_of(const Json& feature) {
  const Json& domain = at(feature, "domain");
  std::vector<Interval> intervals;
  if (!domain.IsArray()) return {{-HUGE_VAL, HUGE_VAL}};
  for (const auto& pair : domain.GetArray()) {
    if (pair.IsArray() && pair.Size() == 2) intervals.push_back({end_of(pair[0]), end_of(pair[1])});
  }
  return intervals;
}

bool is_largest(double number) {
  return number == DBL_MAX || static_cast<float>(number) == FLT_MAX;
}

bool is_all_finite(const std::vector<Interval>& intervals) {
  return intervals.size() == 1 && intervals.front().low == -intervals.front().high &&
         is_largest(intervals.front().high);
}

}  // namespace

std::string describe_domain(const Json& feature) {
  if (at(feature, "empty").IsFalse()) return "not empty";
  const Json& domain = at(feature, "domain");
  if (!domain.IsArray()) return "";
  if (is_all_finite(intervals_of(feature))) return "finite";
  const int32_t per_second = units_per_second(text_at(feature, "unit"));
  const auto shown = [&](const Json& end) {
    return per_second != 0 && end.IsInt64()
               ? datetime_text(end.GetInt64(), per_second, at(feature, "zone").IsString())
               : text_of(end);
  };
  std::string text;
  for (rapidjson::SizeType i = 0; i < domain.Size(); ++i) {
    if (i == kIntervalsShown) return text + " or in another interval";
    const Json& pair = domain[i];
    if (pair.IsArray() && pair.Size() == 2)
      text += (i > 0 ? " or " : "") + shown(pair[0]) + " to " + shown(pair[1]);
  }
  return text;
}

std::string describe_type(const Json& feature) {
  std::string text = text_at(feature, "type");
  if (text != "datetime") return text;
  text += "[" + text_at(feature, "unit");
  if (at(feature, "zone").IsString()) text += ", " + text_at(feature, "zone");
  return text + "]";
}

bool takes_all_of(const Json& feature, const Json& other) {
  const std::vector<Interval> mine = intervals_of(feature), others = intervals_of(other);
  return std::all_of(others.begin(), others.end(), [&](const Interval& wanted) {
    return std::any_of(mine.begin(), mine.end(), [&](const Interval& interval) {
      return interval.low <= wanted.low && wanted.high <= interval.high;
    });
  });
}

}  // namespace sidecall::cli
