// Reads the `verification` object of a contract; used by contract.cpp.
#include <cmath>

#include "contract_reader.h"
#include "error.h"

namespace sidecall {
namespace {

constexpr int64_t kMaxRows = 65536;

int64_t width_of_output(const Signature& signature, int32_t output) {
  int64_t width = 0;
  for (const Column& column : signature.columns) width += column.output == output ? 1 : 0;
  return width;
}

Decision parse_decision(const JsonNode& node, const Signature& signature) {
  Decision decision;
  if (!node.exists()) return decision;
  const std::string rule = node.member("rule").text();
  const JsonNode output = node.member("output");
  decision.output = signature.output_names.find(output.text());
  if (decision.output < 0) output.fail("an output of the graph", "'" + output.text() + "'");
  const TensorSpec& scores = signature.outputs[static_cast<size_t>(decision.output)];
  if (scores.dtype != SIDECALL_FLOAT32 && scores.dtype != SIDECALL_FLOAT64) output.fail("an output of scores", dtype_name(scores.dtype));
  if (rule == "argmax") {
    decision.rule = Decision::Rule::kArgmax;
  } else if (rule == "threshold") {
    decision.rule = Decision::Rule::kThreshold;
    decision.column = node.member("column").integer();
    decision.threshold = node.member("threshold").number();
    const int64_t width = width_of_output(signature, decision.output);
    if (decision.column < 0 || decision.column >= width)
      node.member("column").fail("a column below " + std::to_string(width), std::to_string(decision.column));
  } else {
    node.member("rule").fail("argmax or threshold", "'" + rule + "'");
  }
  return decision;
}

std::vector<Value> parse_expected(const JsonNode& node, int64_t rows, int64_t width, int32_t dtype) {
  if (static_cast<int64_t>(node.size()) != rows) node.fail(std::to_string(rows) + " rows", std::to_string(node.size()));
  std::vector<Value> values;
  const std::vector<JsonNode> entries = width > 1 || node.elements().front().is_array() ? node.elements() : std::vector<JsonNode>();
  if (entries.empty()) values = node.values(dtype);
  for (const JsonNode& entry : entries) {
    if (static_cast<int64_t>(entry.size()) != width) entry.fail(std::to_string(width) + " values", std::to_string(entry.size()));
    for (Value& value : entry.values(dtype)) values.push_back(std::move(value));
  }
  for (const Value& value : values) {
    if (value.kind == Value::Kind::kMissing) node.fail("answers", "null");
  }
  return values;
}

double parse_tolerance(const JsonNode& node) {
  const double tolerance = node.number();
  if (!(tolerance >= 0) || std::isinf(tolerance)) node.fail("a number of 0 or more", "another one");
  return tolerance;
}

GoldenOutput parse_output(const JsonNode& output, const JsonNode& verification, int64_t rows, const Signature& signature) {
  const std::string name = output.member("name").text();
  GoldenOutput golden;
  golden.output = signature.output_names.find(name);
  golden.width = width_of_output(signature, golden.output);
  golden.is_label = output.member("role").text() == "label";
  golden.classes = parse_classes(output);
  golden.decision = parse_decision(output.member("decision"), signature);
  const int32_t dtype = dtype_from_name(output.member("type").text());
  golden.expected = parse_expected(verification.member("outputs").member(name.c_str()), rows, golden.width, dtype);
  if (dtype == SIDECALL_FLOAT32 || dtype == SIDECALL_FLOAT64) {
    const JsonNode tolerance = verification.member("tolerance").member(name.c_str());
    golden.absolute = parse_tolerance(tolerance.member("absolute"));
    golden.relative = parse_tolerance(tolerance.member("relative"));
  }
  return golden;
}

}  // namespace

Golden parse_golden(const JsonNode& contract, const Signature& signature) {
  Golden golden;
  golden.source = "none";
  const JsonNode node = contract.member("verification");
  if (!node.exists()) return golden;
  golden.source = node.member("source").text();
  if (golden.source == "none") return golden;
  golden.rows = node.member("rows").integer();
  if (golden.rows < 1 || golden.rows > kMaxRows) node.member("rows").fail("1 to " + std::to_string(kMaxRows), std::to_string(golden.rows));
  const std::vector<JsonNode> columns = node.member("features").elements();
  if (columns.size() != signature.features.size()) {
    node.member("features").fail(std::to_string(signature.features.size()) + " features", std::to_string(columns.size()));
  }
  for (size_t i = 0; i < columns.size(); ++i) {
    std::vector<Value> values = columns[i].values(signature.features[i].dtype);
    if (static_cast<int64_t>(values.size()) != golden.rows)
      columns[i].fail(std::to_string(golden.rows) + " values", std::to_string(values.size()));
    golden.features.push_back(std::move(values));
  }
  for (const JsonNode& output : contract.member("outputs").elements()) {
    const JsonNode deterministic = output.member("deterministic");
    if (deterministic.exists() && !deterministic.boolean()) continue;
    golden.outputs.push_back(parse_output(output, node, golden.rows, signature));
  }
  return golden;
}

}  // namespace sidecall
