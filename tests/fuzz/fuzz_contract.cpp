// Fuzzes the contract parser: any text, with a fixed graph that has tensors of every kind.
#include <cstddef>
#include <cstdint>
#include <string>

#include "check.h"
#include "core/contract.h"
#include "fake_engine.h"
#include "records_model.h"

namespace {

template <typename Number>
void check_domain(const std::vector<sidecall::Interval<Number>>& intervals) {
  for (size_t i = 0; i < intervals.size(); ++i) {
    fuzz::require(intervals[i].low <= intervals[i].high,
                  "ends that are numbers, the low one first");
    fuzz::require(i == 0 || intervals[i - 1].high < intervals[i].low,
                  "intervals that ascend and are disjoint");
  }
}

// The invariants of a signature that code relies on when it uses it as an index.
void check_signature(const sidecall::Signature& signature, const sidecall::Contract& contract) {
  for (size_t i = 0; i < signature.features.size(); ++i) {
    const sidecall::Feature& feature = signature.features[i];
    fuzz::require(
        feature.input >= 0 && static_cast<size_t>(feature.input) < signature.inputs.size(),
        "an input of the graph");
    fuzz::require(feature.column >= 0 && feature.column < feature.width, "a column of the input");
    fuzz::require(signature.feature_names.find(feature.name) == static_cast<int32_t>(i),
                  "a feature is found by its name");
    check_domain(feature.domain.numbers);
    check_domain(feature.domain.integers);
  }
  for (size_t i = 0; i < signature.columns.size(); ++i) {
    const sidecall::Column& column = signature.columns[i];
    fuzz::require(
        column.output >= 0 && static_cast<size_t>(column.output) < signature.outputs.size(),
        "an output of the graph");
    fuzz::require(signature.column_names.find(column.name) == static_cast<int32_t>(i),
                  "a column is found by its name");
  }
  for (const sidecall::GoldenOutput& golden : contract.golden.outputs) {
    fuzz::require(
        golden.expected.size() == static_cast<size_t>(contract.golden.rows * golden.width),
        "an answer per row and column");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fake::RecordsModel model;
  const std::string json(reinterpret_cast<const char*>(data), size);
  sidecall::Signature signature;
  model.engine.sign(&signature);
  sidecall::Contract contract;
  if (!fuzz::run([&] { contract = sidecall::parse_contract(json, "fuzz", true, &signature); }))
    return 0;
  signature.index_records();
  check_signature(signature, contract);
  fuzz::require(contract.text == json, "the contract as stored");
  // A model with an accepted contract can be called, whether the run succeeds or fails.
  sidecall::Call call(signature, model.engine, false, 2);
  fuzz::run([&] {
    call.clear();
    call.run(-1);
  });
  return 0;
}
