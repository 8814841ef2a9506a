// Runs the golden rows of the old file through both models and measures how far the answers moved.
#include <algorithm>
#include <cmath>
#include <limits>

#include "diff.hpp"
#include "golden.hpp"
#include "model.hpp"

namespace sidecall::cli {
namespace {

Call open_call(const sidecall_model* model) {
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_call* call = nullptr;
  if (const sidecall_status status = sidecall_call_open(model, 1, &call, &err)) throw Failure(exit_code_of(status), err.message);
  return Call(call);
}

// One answer of one column. Text for strings and integers, which are equal or not.
struct Value {
  bool is_number = false;
  double number = 0;
  std::string text;
};

Value read_column(const sidecall_model* model, sidecall_call* call, int32_t column) {
  const sidecall_column_spec& spec = *sidecall_model_column_spec(model, column);
  Value value;
  const char* text = nullptr;
  size_t length = 0;
  int64_t integer = 0;
  if (spec.dtype == SIDECALL_STRING) {
    if (sidecall_call_get_str(call, 0, column, &text, &length, nullptr) == SIDECALL_OK) value.text.assign(text, length);
  } else if (sidecall_call_get_i64(call, 0, column, &integer, nullptr) == SIDECALL_OK) {
    value.text = std::to_string(integer);
  } else {
    value.is_number = sidecall_call_get_f64(call, 0, column, &value.number, nullptr) == SIDECALL_OK;
  }
  return value;
}

// A column that both models have.
struct Pair {
  int32_t before;
  int32_t after;
  size_t movement;
  double absolute;
  double relative;
};

double tolerance_of(const Json& contract, const char* output, const char* part) {
  const Json& value = at(at(at(at(contract, "verification"), "tolerance"), output), part);
  return value.IsNumber() ? value.GetDouble() : 0;
}

std::vector<Pair> pair_columns(const sidecall_model* before, const sidecall_model* after, const Json& contract,
                               std::vector<Movement>& movements) {
  std::vector<Pair> pairs;
  for (int32_t column = 0; column < sidecall_model_num_columns(before); ++column) {
    const sidecall_column_spec& spec = *sidecall_model_column_spec(before, column);
    const int32_t other = sidecall_model_column(after, spec.name);
    if (other < 0) continue;
    const char* output = sidecall_model_output_spec(before, spec.output)->name;
    if (movements.empty() || movements.back().output != output) {
      movements.emplace_back();
      movements.back().output = output;
    }
    pairs.push_back(
        {column, other, movements.size() - 1, tolerance_of(contract, output, "absolute"), tolerance_of(contract, output, "relative")});
  }
  return pairs;
}

bool has_moved(const Value& before, const Value& after, const Pair& pair, Movement& movement) {
  if (!before.is_number || !after.is_number) return before.is_number != after.is_number || before.text != after.text;
  movement.is_number = true;
  if (before.number == after.number || (std::isnan(before.number) && std::isnan(after.number))) return false;
  const double difference = std::fabs(after.number - before.number);
  movement.largest = std::max(movement.largest, std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference);
  return !(difference <= pair.absolute + pair.relative * std::fabs(before.number));
}

void compare_row(const sidecall_model* before, sidecall_call* old_call, const sidecall_model* after, sidecall_call* new_call,
                 const std::vector<Pair>& pairs, std::vector<Movement>& movements) {
  std::vector<bool> moved(movements.size(), false);
  for (const auto& pair : pairs) {
    const Value was = read_column(before, old_call, pair.before);
    const Value is = read_column(after, new_call, pair.after);
    if (has_moved(was, is, pair, movements[pair.movement])) moved[pair.movement] = true;
  }
  for (size_t i = 0; i < movements.size(); ++i) movements[i].moved += moved[i] ? 1 : 0;
}

}  // namespace

Answers compare_answers(const sidecall_model* before, const sidecall_model* after, const Signature& old_signature,
                        const std::map<std::string, std::string>& renames) {
  Answers answers;
  const Json& features = at(old_signature.contract, "features");
  const Json& verification = at(old_signature.contract, "verification");
  const Json& columns = at(verification, "features");
  if (at(verification, "rows").IsInt64()) answers.rows = at(verification, "rows").GetInt64();
  if (answers.rows == 0 || !columns.IsArray() || !features.IsArray()) {
    answers.problem = "the old file has no golden rows";
    return answers;
  }
  if (sidecall_model_num_features(after) == 0) {
    answers.problem = "the new file has no contract";
    return answers;
  }
  const auto pairs = pair_columns(before, after, old_signature.contract, answers.movements);
  const Call old_call = open_call(before);
  const Call new_call = open_call(after);
  for (int64_t row = 0; row < answers.rows; ++row) {
    sidecall_call_clear(old_call.get(), nullptr);
    sidecall_call_clear(new_call.get(), nullptr);
    for (rapidjson::SizeType i = 0; i < features.Size() && i < columns.Size(); ++i) {
      const std::string name = text_at(features[i], "name");
      const Json& value = columns[i][static_cast<rapidjson::SizeType>(row)];
      set_golden(before, old_call.get(), 0, sidecall_model_feature(before, name.c_str()), value);
      const auto renamed = renames.find(name);
      const int32_t feature = sidecall_model_feature(after, renamed == renames.end() ? name.c_str() : renamed->second.c_str());
      if (feature >= 0) set_golden(after, new_call.get(), 0, feature, value);
    }
    sidecall_error err = SIDECALL_ERROR_INIT;
    if (sidecall_call_run(old_call.get(), -1, &err)) {
      answers.problem = std::string("the old model fails on its own golden rows: ") + err.message;
      return answers;
    }
    if (sidecall_call_run(new_call.get(), -1, &err)) {
      if (answers.refused++ == 0) answers.first_refusal = err.message;
      continue;
    }
    compare_row(before, old_call.get(), after, new_call.get(), pairs, answers.movements);
  }
  return answers;
}

}  // namespace sidecall::cli
