// Compares the answers of two models column by column; see pairs.hpp.
#include "pairs.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sidecall::cli {
namespace {

// The answer in one column. Strings and integers are stored as text, because they are only compared
// for equality.
struct Value {
  bool is_number = false;
  double number = 0;
  std::string text;
};

Value read_column(sidecall_call* call, int32_t column) {
  Value value;
  sidecall_value got{};
  if (sidecall_call_get_row(call, 0, &column, &got, 1, nullptr) != SIDECALL_OK) return value;
  value.is_number = got.kind == SIDECALL_VALUE_F64;
  if (value.is_number) value.number = got.f64;
  else if (got.kind == SIDECALL_VALUE_STR) value.text.assign(got.text, got.length);
  else value.text = std::to_string(got.i64);
  return value;
}

double tolerance_of(const Json& contract, const char* output, const char* part) {
  const Json& value = at(at(at(at(contract, "verification"), "tolerance"), output), part);
  return value.IsNumber() ? value.GetDouble() : 0;
}

bool has_moved(const Value& before, const Value& after, double absolute, double relative,
               Movement& movement) {
  if (!before.is_number || !after.is_number)
    return before.is_number != after.is_number || before.text != after.text;
  movement.is_number = true;
  if (before.number == after.number || (std::isnan(before.number) && std::isnan(after.number)))
    return false;
  const double difference = std::fabs(after.number - before.number);
  movement.largest =
      std::max(movement.largest,
               std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference);
  return !(difference <= absolute + relative * std::fabs(before.number));
}

}  // namespace

ColumnPairs::ColumnPairs(const sidecall_model* before, const sidecall_model* after,
                         const Json& contract, std::vector<Movement>& movements)
    : movements_(movements) {
  for (int32_t column = 0; column < sidecall_model_num_columns(before); ++column) {
    const sidecall_column_spec& spec = *sidecall_model_column_spec(before, column);
    const int32_t other = sidecall_model_column(after, spec.name);
    if (other < 0) continue;
    const char* output = sidecall_model_output_spec(before, spec.output)->name;
    if (movements.empty() || movements.back().output != output) {
      movements.emplace_back();
      movements.back().output = output;
    }
    pairs_.push_back({column, other, movements.size() - 1,
                      tolerance_of(contract, output, "absolute"),
                      tolerance_of(contract, output, "relative")});
  }
}

bool ColumnPairs::compare(sidecall_call* old_call, sidecall_call* new_call) {
  std::vector<bool> moved(movements_.size(), false);
  for (const auto& pair : pairs_) {
    const Value was = read_column(old_call, pair.before);
    const Value is = read_column(new_call, pair.after);
    if (has_moved(was, is, pair.absolute, pair.relative, movements_[pair.movement]))
      moved[pair.movement] = true;
  }
  for (size_t i = 0; i < movements_.size(); ++i) movements_[i].moved += moved[i] ? 1 : 0;
  return std::find(moved.begin(), moved.end(), true) != moved.end();
}

std::string why_not_comparable(const sidecall_model* before, const sidecall_model* after) {
  if (sidecall_model_num_features(before) == 0) return "the old file has no contract";
  return sidecall_model_num_features(after) == 0 ? "the new file has no contract" : "";
}

}  // namespace sidecall::cli
