// Reads the parts of a contract that say what the model refuses: numbers outside a domain,
// empty strings, rows that a step refuses, and answers that are not finite. Used by contract.cpp.
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/text/datetime.h"
#include "contract_reader.h"
#include "feature_refusal.h"

namespace sidecall {
namespace {

constexpr size_t kIntervalsNamed = 3;

template <typename Number>
std::string shortest(Number number) {
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), number).ptr};
}

template <typename Number, typename Shown>
std::string describe_intervals(std::string text, const std::vector<Interval<Number>>& intervals,
                               Shown shown) {
  for (size_t i = 0; i < intervals.size() && i < kIntervalsNamed; ++i)
    text += (i == 0 ? "from " : " or from ") + shown(intervals[i].low) + " to " +
            shown(intervals[i].high);
  return intervals.size() > kIntervalsNamed ? text + " or in another interval" : text;
}

std::string describe_numbers(const std::vector<Interval<double>>& intervals, bool is_float32) {
  const double largest =
      is_float32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
  if (intervals.size() == 1 && intervals.front().low == -largest &&
      intervals.front().high == largest)
    return "a finite number";
  return describe_intervals("a number ", intervals, [&](double end) {
    return is_float32 ? shortest(static_cast<float>(end)) : shortest(end);
  });
}

double read_end(const JsonNode& node, bool is_float32) {
  const double number = node.number();
  if (std::isnan(number)) node.fail("a number, \"-inf\" or \"inf\"", "\"nan\"");
  if (!is_float32) return number;
  const auto rounded = static_cast<float>(number);
  if (std::isinf(rounded) && !std::isinf(number))
    node.fail("a number that float32 can hold", "a larger one");
  return static_cast<double>(rounded);
}

template <typename Number, typename Read>
void read_intervals(const JsonNode& domain, std::vector<Interval<Number>>* intervals, Read read) {
  for (const JsonNode& node : domain.elements()) {
    if (node.size() != 2)
      node.fail("a low and a high end", std::to_string(node.size()) + " values");
    const JsonElements ends = node.elements();
    const Interval<Number> interval{read(ends[0]), read(ends[1])};
    if (interval.low > interval.high)
      node.fail("a low end that is not above the high end", "a larger one");
    if (!intervals->empty() && interval.low <= intervals->back().high)
      node.fail("intervals in ascending order without overlap", "others");
    intervals->push_back(interval);
  }
  if (intervals->empty()) domain.fail("at least one interval", "none");
}

void read_domain(const JsonNode& node, Feature* feature) {
  const JsonNode domain = node.member("domain");
  if (!domain.exists()) return;
  if (feature->dtype == SIDECALL_DTYPE_STRING || feature->dtype == SIDECALL_DTYPE_BOOL)
    domain.fail("a feature of type float32, float64, int64 or datetime",
                std::string("one of type ") + dtype_name(feature->dtype));
  if (feature->is_closed) domain.fail("a feature without 'allowed'", "one with it");
  if (feature->tensor_dtype == SIDECALL_DTYPE_INT64) {
    read_intervals(domain, &feature->domain.integers,
                   [](const JsonNode& end) { return end.integer(); });
    return;
  }
  const bool is_float32 = feature->tensor_dtype == SIDECALL_DTYPE_FLOAT32;
  read_intervals(domain, &feature->domain.numbers,
                 [&](const JsonNode& end) { return read_end(end, is_float32); });
}

void check_refused_output(const JsonNode& output, const TensorSpec& spec) {
  const std::string name = output.text();
  if (spec.name != name)
    output.fail("the last output of the graph, '" + spec.name + "'", "'" + name + "'");
  const bool is_column =
      spec.has_rows() && (spec.dims.size() == 1 || (spec.dims.size() == 2 && spec.dims[1] == 1));
  if (spec.dtype != SIDECALL_DTYPE_INT64 || !is_column)
    output.fail("an output of int64[N] or int64[N,1]",
                describe_tensor(spec.dtype, spec.dims, &spec.dim_names));
}

}  // namespace

std::string describe_domain(const Feature& feature) {
  if (feature.is_datetime()) {
    return describe_intervals("a datetime ", feature.domain.integers, [&](int64_t end) {
      return "'" + datetime_text(end, feature.per_second, !feature.zone.empty()) + "'";
    });
  }
  if (feature.tensor_dtype == SIDECALL_DTYPE_INT64)
    return describe_intervals("a number ", feature.domain.integers, shortest<int64_t>);
  return describe_numbers(feature.domain.numbers, feature.tensor_dtype == SIDECALL_DTYPE_FLOAT32);
}

void read_refusals(const JsonNode& node, Feature* feature) {
  read_domain(node, feature);
  const JsonNode empty = node.member("empty");
  if (!empty.exists()) return;
  feature->takes_empty = empty.boolean();
  if (feature->dtype != SIDECALL_DTYPE_STRING)
    empty.fail("a feature of type string",
               std::string("one of type ") + dtype_name(feature->dtype));
}

bool read_finite(const JsonNode& node, int32_t dtype) {
  const JsonNode finite = node.member("finite");
  if (!finite.exists() || !finite.boolean()) return false;
  if (dtype != SIDECALL_DTYPE_FLOAT32 && dtype != SIDECALL_DTYPE_FLOAT64)
    finite.fail("an output of type float32 or float64",
                std::string("one of type ") + dtype_name(dtype));
  return true;
}

void read_steps(const JsonNode& contract, bool has_graph, Signature* signature) {
  const JsonNode refused = contract.member("refused");
  if (!refused.exists()) return;
  const JsonNode steps = refused.member("steps"), output = refused.member("output");
  for (const JsonNode& node : steps.elements()) {
    const JsonNode name = node.member("step"), expected = node.member("expected");
    signature->steps.push_back({name.text(), expected.text()});
    if (signature->steps.back().name.empty()) name.fail("a name", "an empty one");
    if (signature->steps.back().expected.empty())
      expected.fail("a text that says what the step accepts", "an empty text");
  }
  if (signature->steps.empty()) steps.fail("at least one step", "none");
  if (output.text().empty()) output.fail("a name", "an empty one");
  if (!has_graph) return;
  if (signature->outputs.empty())
    output.fail("the last output of the graph", "a graph without outputs");
  check_refused_output(output, signature->outputs.back());
  signature->drop_last_output();
  signature->has_refusals = true;
}

}  // namespace sidecall
