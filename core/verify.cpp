// Runs golden rows and compares the answers; used by model.cpp at open and by the C ABI.
#include "verify.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/json/json.h"
#include "base/text/number.h"
#include "error.h"
#include "model.h"
#include "text.h"

namespace sidecall {
namespace {

// For tolerances: three digits are enough.
std::string rough_text(double number) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, number, std::chars_format::general, 3).ptr};
}

const Fault* set_value(Call* call, int64_t row, int32_t feature, const Value& value) {
  switch (value.kind) {
    case Value::Kind::kMissing:
      return call->features().set_missing(row, feature);
    case Value::Kind::kFloat:
      return call->features().set_f64(row, feature, value.number);
    case Value::Kind::kInt:
      return call->features().set_i64(row, feature, value.integer);
    case Value::Kind::kBool:
      return call->features().set_bool(row, feature, static_cast<int32_t>(value.integer));
    case Value::Kind::kString:
      return call->features().set_str(row, feature, *value.text);
  }
  return nullptr;
}

// Compares the answers of a run with those of the contract.
class Comparison {
 public:
  Comparison(const Model& model, const Engine& engine, Call* call)
      : model_(model),
        engine_(engine),
        signature_(model.signature()),
        golden_(model.contract()->golden),
        call_(call) {}

  Verification compare() {
    for (const GoldenOutput& output : golden_.outputs) {
      OutputCheck check{signature_.outputs[static_cast<size_t>(output.output)].name, 0,
                        output.absolute, output.relative, true};
      for (int64_t row = 0; row < golden_.rows; ++row) compare_row(output, row, &check);
      result_.outputs.push_back(check);
    }
    return std::move(result_);
  }

 private:
  void compare_row(const GoldenOutput& output, int64_t row, OutputCheck* check) {
    for (int64_t i = 0; i < output.width; ++i) {
      const auto column = static_cast<int32_t>(output.first_column) + static_cast<int32_t>(i);
      const Value& expected = output.expected[static_cast<size_t>(row * output.width + i)];
      if (expected.kind == Value::Kind::kFloat) {
        compare_number(output, row, column, expected.number, check);
      } else {
        compare_exact(output, row, column, expected, check);
      }
    }
  }

  void compare_number(const GoldenOutput& output, int64_t row, int32_t index, double expected,
                      OutputCheck* check) {
    const double got = call_->columns().get_f64(row, index);
    if (got == expected || (std::isnan(got) && std::isnan(expected))) return;
    const double difference = std::fabs(got - expected);
    const double allowed =
        std::isinf(expected) ? 0 : output.absolute + output.relative * std::fabs(expected);
    if (!(difference <= check->largest)) check->largest = difference;
    if (difference <= allowed) return;
    fail(row, index, number_text(expected), number_text(got),
         std::isnan(expected) ? "" : "tolerance " + rough_text(allowed) + "; ", check);
  }

  void compare_exact(const GoldenOutput& output, int64_t row, int32_t index, const Value& expected,
                     OutputCheck* check) {
    const bool is_text = expected.kind == Value::Kind::kString;
    const std::string got = is_text ? std::string(call_->columns().get_str(row, index))
                                    : std::to_string(call_->columns().get_i64(row, index));
    const std::string wanted = is_text ? *expected.text : std::to_string(expected.integer);
    if (got == wanted || (output.is_label && output.width == 1 && is_tie(output, row, wanted, got)))
      return;
    check->largest = 1;
    const auto shown = [&](const std::string& text) {
      if (is_text) return "'" + text + "'";
      return expected.kind == Value::Kind::kBool ? std::string(text == "0" ? "false" : "true")
                                                 : text;
    };
    // A server may answer with bytes that are not text.
    fail(row, index, printable(shown(wanted)), printable(shown(got)), "", check);
  }

  // Whether the scores from which the label follows are so close that either label is right within
  // the tolerance.
  bool is_tie(const GoldenOutput& label, int64_t row, const std::string& wanted,
              const std::string& got) const {
    if (label.decision.scores < 0) return false;
    const GoldenOutput& scores = golden_.outputs[static_cast<size_t>(label.decision.scores)];
    const auto score = [&](int64_t column) {
      return scores.expected[static_cast<size_t>(row * scores.width + column)].number;
    };
    if (label.decision.rule == Decision::Rule::kThreshold) {
      const double value = score(label.decision.column);
      return std::fabs(value - label.decision.threshold) <=
             scores.absolute + scores.relative * std::fabs(value);
    }
    const auto first = label.classes.find(wanted), second = label.classes.find(got);
    if (first == label.classes.end() || second == label.classes.end()) return false;
    if (first->second >= scores.width || second->second >= scores.width) return false;
    return std::fabs(score(first->second) - score(second->second)) <=
           scores.absolute + scores.relative * std::fabs(score(first->second));
  }

  void fail(int64_t row, int32_t index, const std::string& expected, const std::string& got,
            const std::string& tolerance, OutputCheck* check) {
    check->holds = false;
    if (!result_.failure.empty()) return;
    result_.fault = {SIDECALL_VERIFICATION_FAILED, row,
                     signature_.columns[static_cast<size_t>(index)].name, expected, got};
    result_.failure = "verification: golden row " + std::to_string(row) + ", column '" +
                      result_.fault.name + "': expected " + expected + ", got " + got + " (" +
                      tolerance + "exported with onnxruntime " + model_.contract()->engine +
                      ", running on " + engine_.version() + ")";
  }

  const Model& model_;
  const Engine& engine_;
  const Signature& signature_;
  const Golden& golden_;
  Call* call_;
  Verification result_;
};

// At least a nanosecond, because a run does not accept a timeout of 0.
int64_t time_left(std::optional<Clock::time_point> deadline) {
  if (!deadline) return -1;
  return std::max<int64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(*deadline - Clock::now()).count(), 1);
}

}  // namespace

Verification run_golden_rows(const Model& model, const Engine& engine,
                             std::optional<Clock::time_point> deadline) {
  const Golden& golden = model.contract()->golden;
  // Lazy: if the model runs in another process, connecting to it is part of the run and of its
  // timeout.
  Call call(model.signature(), engine, false, golden.rows, true);
  try {
    for (size_t i = 0; i < golden.features.size(); ++i) {
      for (int64_t row = 0; row < golden.rows; ++row)
        call.features().raise(set_value(&call, row, static_cast<int32_t>(i),
                                        golden.features[i][static_cast<size_t>(row)]));
    }
    call.run(time_left(deadline));
    return Comparison(model, engine, &call).compare();
  } catch (const Error& error) {
    const bool is_replica = &engine != &model.engine();
    if (error.retryable() || (is_replica && error.status() == SIDECALL_CONTRACT_CHANGED)) throw;
    Fault fault = error.faults().empty() ? Fault() : error.faults().front();
    fault.status = SIDECALL_VERIFICATION_FAILED;
    return {{},
            "verification: the golden rows cannot be run" +
                (is_replica ? " on " + engine.version() : "") + ": " + error.what(),
            fault};
  }
}

std::string verification_report(const Model& model, Verification* checked) {
  const Contract& contract = *model.contract();
  Verification& result = *checked;
  if (contract.golden.rows > 0) result = run_golden_rows(model, model.engine(), std::nullopt);
  json::Buffer buffer;
  json::Writer writer(buffer);
  const auto text = [&](const char* key, const std::string& value) {
    writer.Key(key);
    writer.String(value.c_str(), static_cast<rapidjson::SizeType>(value.size()));
  };
  const auto number = [&](const char* key, double value) {
    writer.Key(key);
    std::isfinite(value) ? writer.Double(value) : writer.Null();
  };
  writer.StartObject();
  text("id", model.id());
  writer.Key("rows");
  writer.Int64(contract.golden.rows);
  writer.Key("outputs");
  writer.StartArray();
  for (const OutputCheck& check : result.outputs) {
    writer.StartObject();
    text("name", check.name);
    number("largest", check.largest);
    number("absolute", check.absolute);
    number("relative", check.relative);
    writer.Key("holds");
    writer.Bool(check.holds);
    writer.EndObject();
  }
  writer.EndArray();
  text("source", contract.golden.source);
  text("engine", model.engine_version());
  if (!result.failure.empty()) text("failure", result.failure);
  writer.EndObject();
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace sidecall
