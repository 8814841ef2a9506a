// Reads the `verification` object of a contract; used by contract.cpp.
#include <cmath>

#include "contract_reader.h"
#include "core/error.h"

namespace sidecall {
namespace {

constexpr int64_t kMaxRows = 65536;

// The columns of an output, which are contiguous.
struct Range {
  size_t first = 0;
  int64_t width = 0;
};

// Returns one range per output.
std::vector<Range> ranges_of(const Signature& signature) {
  std::vector<Range> ranges(signature.outputs.size());
  for (size_t i = 0; i < signature.columns.size(); ++i) {
    Range& range = ranges[static_cast<size_t>(signature.columns[i].output)];
    if (range.width++ == 0) range.first = i;
  }
  return ranges;
}

// The data that parse_output() needs for every output.
struct Source {
  const Signature& signature;
  const std::vector<Range> ranges;
  const int64_t rows;
  const JsonMembers expected, tolerances;  // by the name of an output
};

Decision parse_decision(const JsonNode& node, const Source& source) {
  Decision decision;
  if (!node.exists()) return decision;
  const std::string rule = node.member("rule").text();
  const JsonNode output = node.member("output");
  decision.output = source.signature.output_names.find(output.text());
  if (decision.output < 0) output.fail("an output of the graph", "'" + output.text() + "'");
  const TensorSpec& scores = source.signature.outputs[static_cast<size_t>(decision.output)];
  if (scores.dtype != SIDECALL_DTYPE_FLOAT32 && scores.dtype != SIDECALL_DTYPE_FLOAT64)
    output.fail("an output of type float32 or float64", dtype_name(scores.dtype));
  if (rule == "argmax") {
    decision.rule = Decision::Rule::kArgmax;
  } else if (rule == "threshold") {
    decision.rule = Decision::Rule::kThreshold;
    decision.column = node.member("column").integer();
    decision.threshold = node.member("threshold").number();
    const int64_t width = source.ranges[static_cast<size_t>(decision.output)].width;
    if (decision.column < 0 || decision.column >= width)
      node.member("column").fail("a column below " + std::to_string(width),
                                 std::to_string(decision.column));
  } else {
    node.member("rule").fail("argmax or threshold", "'" + rule + "'");
  }
  return decision;
}

std::vector<Value> parse_expected(const JsonNode& node, int64_t rows, int64_t width,
                                  int32_t dtype) {
  if (static_cast<int64_t>(node.size()) != rows)
    node.fail(std::to_string(rows) + " rows", std::to_string(node.size()));
  std::vector<Value> values;
  if (width == 1 && !node.holds_arrays()) {
    node.append_values(dtype, &values);
  } else {
    for (const JsonNode& entry : node.elements()) {
      if (static_cast<int64_t>(entry.size()) != width)
        entry.fail(std::to_string(width) + " values", std::to_string(entry.size()));
      entry.append_values(dtype, &values);
    }
  }
  for (const Value& value : values) {
    if (value.kind == Value::Kind::kMissing) node.fail("answers", "null");
  }
  return values;
}

double parse_tolerance(const JsonNode& node) {
  const double tolerance = node.number();
  if (!(tolerance >= 0) || std::isinf(tolerance))
    node.fail("a finite number of 0 or more", "one that is negative or not finite");
  return tolerance;
}

GoldenOutput parse_output(const JsonNode& output, const Source& source) {
  const std::string name = output.member("name").text();
  GoldenOutput golden;
  golden.output = source.signature.output_names.find(name);
  const Range& range = source.ranges[static_cast<size_t>(golden.output)];
  golden.first_column = range.first;
  golden.width = range.width;
  golden.is_label = output.member("role").text() == "label";
  for (const Value& value : golden.is_label ? parse_classes(output) : std::vector<Value>()) {
    const std::string text =
        value.kind == Value::Kind::kString ? *value.text : std::to_string(value.integer);
    golden.classes.emplace(text, static_cast<int64_t>(golden.classes.size()));
  }
  golden.decision = parse_decision(output.member("decision"), source);
  const int32_t dtype = dtype_from_name(output.member("type").text());
  golden.expected = parse_expected(source.expected.member(name), source.rows, golden.width, dtype);
  if (dtype == SIDECALL_DTYPE_FLOAT32 || dtype == SIDECALL_DTYPE_FLOAT64) {
    const JsonNode tolerance = source.tolerances.member(name);
    golden.absolute = parse_tolerance(tolerance.member("absolute"));
    golden.relative = parse_tolerance(tolerance.member("relative"));
  }
  return golden;
}

// Sets, for each decision, the index of its scores in Golden::outputs.
void find_scores(Golden* golden, const Signature& signature) {
  std::vector<int32_t> places(signature.outputs.size(), -1);
  for (size_t i = 0; i < golden->outputs.size(); ++i) {
    const GoldenOutput& output = golden->outputs[i];
    if (!output.is_label) places[static_cast<size_t>(output.output)] = static_cast<int32_t>(i);
  }
  for (GoldenOutput& output : golden->outputs) {
    if (output.decision.output >= 0)
      output.decision.scores = places[static_cast<size_t>(output.decision.output)];
  }
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
  if (golden.rows < 1 || golden.rows > kMaxRows)
    node.member("rows").fail("1 to " + std::to_string(kMaxRows), std::to_string(golden.rows));
  const JsonElements columns = node.member("features").elements();
  if (columns.size() != signature.features.size()) {
    node.member("features")
        .fail(std::to_string(signature.features.size()) + " features",
              std::to_string(columns.size()));
  }
  golden.features.reserve(columns.size());
  for (size_t i = 0; i < columns.size(); ++i) {
    std::vector<Value> values;
    columns[i].append_values(signature.features[i].dtype, &values);
    if (static_cast<int64_t>(values.size()) != golden.rows)
      columns[i].fail(std::to_string(golden.rows) + " values", std::to_string(values.size()));
    golden.features.push_back(std::move(values));
  }
  const Source source{signature, ranges_of(signature), golden.rows,
                      JsonMembers(node.member("outputs")), JsonMembers(node.member("tolerance"))};
  for (const JsonNode& output : contract.member("outputs").elements()) {
    const JsonNode deterministic = output.member("deterministic");
    if (deterministic.exists() && !deterministic.boolean()) continue;
    golden.outputs.push_back(parse_output(output, source));
  }
  find_scores(&golden, signature);
  return golden;
}

}  // namespace sidecall
