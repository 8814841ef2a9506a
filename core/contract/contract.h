// The contract (docs/contract.md) that the exporter wrote into the file, checked against the graph.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/hash.h"
#include "signature.h"

namespace sidecall {

// A feature value of a golden row, or an expected answer.
struct Value {
  enum class Kind { kMissing, kFloat, kInt, kBool, kString };
  Kind kind = Kind::kMissing;
  double number = 0;
  int64_t integer = 0;                      // also holds a bool
  std::shared_ptr<const std::string> text;  // small, because a model keeps many numbers
};

// How a label follows from the scores in another output. Verification needs this to recognise a tie
// of the scores, at which a different label is not an error.
struct Decision {
  enum class Rule { kExact, kArgmax, kThreshold };
  Rule rule = Rule::kExact;
  int32_t output = -1;
  // Index of that output in Golden::outputs; -1 if it is not there, or holds labels.
  int32_t scores = -1;
  int64_t column = 0;
  double threshold = 0;
};

struct GoldenOutput {
  int32_t output = 0;
  size_t first_column = 0;  // index into the columns of the signature; the others follow it
  int64_t width = 1;
  std::vector<Value> expected;  // rows * width
  double absolute = 0;
  double relative = 0;
  bool is_label = false;
  Decision decision;
  // Of a label: the index of each class, by its text.
  std::unordered_map<std::string, int64_t, SeededHash> classes;
};

struct Golden {
  std::string source;
  int64_t rows = 0;
  std::vector<std::vector<Value>> features;  // one column per feature
  std::vector<GoldenOutput> outputs;
};

struct Contract {
  std::string text;  // as stored
  std::string name;
  std::string version;
  std::string id;      // of the file; without one, `model.id`, or ""
  std::string engine;  // ONNX Runtime's version at export
  Golden golden;
};

// A contract that was parsed as JSON, and whose format was checked. That is enough to choose the
// engine. read() checks the rest, because this needs the tensors that the engine describes.
class ContractDocument {
 public:
  // Error messages of all functions begin with `where`, for example "file 'fraud.onnx'". All
  // functions throw CONTRACT_INVALID; this one also CONTRACT_FORMAT.
  ContractDocument(std::string json, std::string where);
  ContractDocument(const ContractDocument&) = delete;
  ContractDocument& operator=(const ContractDocument&) = delete;
  ~ContractDocument();

  // The version of the engine on which the export found all answers of the file right; "" if the
  // export did not prove the file on this engine.
  std::string proven_version(const char* engine) const;

  // The name of the output of the graph that tells which rows the model refuses; "" without one.
  std::string refused_output() const;

  // Reads the whole contract, and fills features and columns of a signature whose inputs and
  // outputs must already be there. `has_graph`: they are those of a graph, so they include the
  // output that `refused` names. Moves the text into the result, so this is the last call.
  Contract read(bool has_graph, Signature* signature);

 private:
  struct Parsed;
  std::string json_;  // strings of parsed_ are views into it
  const std::string where_;
  std::unique_ptr<const Parsed> parsed_;
};

// Derives the tensors from a contract without a graph. Throws the same errors as
// ContractDocument, and its messages begin with `where` too.
void tensors_of_contract(const std::string& json, const std::string& where,
                         std::vector<TensorSpec>* inputs, std::vector<TensorSpec>* outputs);

// Adds the columns of a graph without a contract: one for an output of rank 1, and one for each
// element of a row for an output of rank 2 with a fixed width. Other outputs get none.
void add_plain_columns(Signature* signature);

}  // namespace sidecall
