// Sentences about the values that a feature takes; see about.h.
#include "about.h"

#include <cmath>

#include "base/text/number.h"
#include "source_text.h"

namespace sidecall {
namespace {

constexpr size_t kMaxValuesShown = 8;

// "1, 2 or 3"
std::string listed(const std::vector<std::string>& words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i)
    text += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + words[i];
  return text;
}

}  // namespace

std::string about_list(const FeatureType& feature) {
  if (feature.allowed.empty()) return "Takes no value.";
  std::vector<std::string> numbers;
  for (const Value& value : feature.allowed) {
    const bool is_number = value.kind == Value::Kind::kFloat || value.kind == Value::Kind::kInt;
    // Whether NaN is taken does not depend on the list.
    if (is_number && !std::isnan(value.number)) numbers.push_back(number_text(value.number));
  }
  if (numbers.empty() || (feature.dtype == SIDECALL_DTYPE_INT64 && feature.has_exact_values))
    return "";
  if (numbers.size() > kMaxValuesShown)
    return "Takes only " + std::to_string(numbers.size()) + " numbers.";
  return "Takes " + listed(numbers) + ".";
}

std::string about_domain(const FeatureType& feature, bool has_domain) {
  std::string text = has_domain ? "Takes " + feature.expected + "." : "";
  if (!feature.reserved) return text;
  return text + (has_domain ? " " : "") + "Does not take " + std::to_string(*feature.reserved) +
         ", which stands for a missing value.";
}

std::string about_values(const FeatureType& feature) {
  if (feature.is_closed) {
    std::vector<std::string> values;
    for (const Value& value : feature.allowed) {
      if (value.kind == Value::Kind::kString) values.push_back(source::quoted(*value.text, '\''));
      else if (value.kind == Value::Kind::kBool)
        values.push_back(value.integer != 0 ? "true" : "false");
      else if (!std::isnan(value.number)) values.push_back(number_text(value.number));
    }
    if (values.empty())
      return feature.is_nullable ? "Takes no value but a missing one." : "Takes no value.";
    if (values.size() > kMaxValuesShown)
      return "Takes only " + std::to_string(values.size()) + " values.";
    return "Takes " + listed(values) + ".";
  }
  if (feature.dtype == SIDECALL_DTYPE_DATETIME && feature.expected.empty())
    return feature.has_zone ? "With a time zone." : "Without a time zone.";
  if (!feature.takes_empty) return "Takes a string that is not empty.";
  return about_domain(feature, !feature.expected.empty());
}

}  // namespace sidecall
