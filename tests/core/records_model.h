// A model with a feature of every type and layout, on the engine of fake_engine.h. Used by tests
// and fuzzers of records.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>
#include <string>

#include "core/call/call.h"
#include "core/contract/contract.h"
#include "core/error.h"
#include "fake_engine.h"

namespace fake {

inline constexpr const char* kRecordsContract = R"({
  "format": 5,
  "model": {"name": "all types", "version": "1", "id": "00"},
  "features": [
    {"name": "amount", "type": "float32", "nullable": false, "input": "X", "column": 0},
    {"name": "count", "type": "int64", "nullable": true, "input": "X", "column": 1, "missing": "nan"},
    {"name": "flag", "type": "bool", "nullable": false, "input": "X", "column": 2},
    {"name": "grade", "type": "float32", "nullable": true, "input": "X", "column": 3, "missing": "nan", "allowed": [1, 2.5]},
    {"name": "id", "type": "int64", "nullable": true, "input": "id", "column": 0, "missing": {"value": -1}},
    {"name": "time", "type": "float64", "nullable": true, "input": "time", "column": 0, "missing": "nan"},
    {"name": "on", "type": "bool", "nullable": false, "input": "on", "column": 0},
    {"name": "job", "type": "string", "nullable": true, "input": "job", "column": 0, "missing": {"value": "\ufdd0"}},
    {"name": "sex", "type": "string", "nullable": false, "input": "sex", "column": 0, "allowed": ["female", "male"]}
  ],
  "outputs": [
    {"name": "label", "role": "label", "type": "string", "classes": ["no", "yes"]},
    {"name": "probabilities", "role": "probabilities", "type": "float32", "classes": ["no", "yes"]},
    {"name": "prediction", "role": "prediction", "type": "float64"},
    {"name": "scores", "role": "scores", "type": "int64", "width": 3}
  ]
})";

// Reads a whole contract at once.
inline sidecall::Contract parse_contract(const std::string& json, const std::string& where,
                                         bool has_graph, sidecall::Signature* signature) {
  return sidecall::ContractDocument(json, where).read(has_graph, signature);
}

struct RecordsModel {
  Engine engine;
  sidecall::Signature signature;

  RecordsModel() {
    engine.inputs = {tensor("X", SIDECALL_DTYPE_FLOAT32, {-1, 4}),
                     tensor("id", SIDECALL_DTYPE_INT64, {-1, 1}),
                     tensor("time", SIDECALL_DTYPE_FLOAT64, {-1}),
                     tensor("on", SIDECALL_DTYPE_BOOL, {-1, 1}),
                     tensor("job", SIDECALL_DTYPE_STRING, {-1, 1}),
                     tensor("sex", SIDECALL_DTYPE_STRING, {-1, 1})};
    engine.outputs = {tensor("label", SIDECALL_DTYPE_STRING, {-1}),
                      tensor("probabilities", SIDECALL_DTYPE_FLOAT32, {-1, -1}),
                      tensor("prediction", SIDECALL_DTYPE_FLOAT64, {-1, 1}),
                      tensor("scores", SIDECALL_DTYPE_INT64, {-1, 3})};
    engine.sign(&signature);
    parse_contract(kRecordsContract, "test", true, &signature);
    signature.index_records();
  }

  std::unique_ptr<sidecall::Call> call(int64_t rows) const {
    return std::make_unique<sidecall::Call>(signature, engine, false, rows);
  }
  int32_t feature(const char* name) const { return signature.feature_names.find(name); }

  // Sets every feature of one row to a valid value.
  void fill(sidecall::Call* call, int64_t row) const {
    call->features().set_f64(row, feature("amount"), 1.5);
    call->features().set_bool(row, feature("flag"), 1);
    call->features().set_bool(row, feature("on"), 0);
    call->features().set_str(row, feature("job"), "nurse");
    call->features().set_str(row, feature("sex"), "male");
  }
};

// The status of the error that `body` throws; OK if it throws none.
template <typename Body>
int32_t status_of(Body body) {
  try {
    body();
    return SIDECALL_OK;
  } catch (const sidecall::Error& error) {
    return error.status();
  }
}

}  // namespace fake
