// What changes for a caller between two files of a model: the parts of `sidecall diff`.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/model.hpp"
#include "model/signature.hpp"

namespace sidecall::cli {

// One difference. Records (predict) and tensors (run) break for different reasons: a feature that moved to another column
// harms only callers that fill tensors.
struct Change {
  std::string kind;  // "feature_removed", ...: for programs
  std::string what;  // "feature 'age' removed"
  std::string before;
  std::string after;
  bool breaks_predict = false;
  bool breaks_run = false;

  bool breaks() const { return breaks_predict || breaks_run; }
};

// A model as diff sees it.
struct Signature {
  JsonDocument contract;
  std::vector<Tensor> inputs;
  std::vector<Tensor> outputs;

  explicit Signature(const sidecall_model* model)
      : contract(contract_of(model)),
        inputs(tensors_of(model, Side::kInput)),
        outputs(tensors_of(model, Side::kOutput)) {}
  bool has_contract() const { return !contract.ObjectEmpty(); }
};

// Features that were probably renamed, old name to new: between two features that stayed, as many went as came, of the same types.
std::map<std::string, std::string> guess_renames(const Signature& before, const Signature& after);

std::vector<Change> compare_signatures(const Signature& before, const Signature& after);

// How far the answers of one output moved.
struct Movement {
  std::string output;
  int64_t moved = 0;  // rows that differ by more than the old file's tolerance
  double largest = 0;
  bool is_number = false;
};

// A row has moved when an answer differs by more than the old file's tolerance, or when one model alone refuses it.
struct MovedAnswers {
  std::string source;  // the file of the rows; "" for the golden rows of the old file
  int64_t rows = 0;
  int64_t moved = 0;
  int64_t refused = 0;  // rows that the new model alone does not take
  int64_t refused_by_old = 0;
  int64_t refused_by_both = 0;
  std::string first_refusal;
  std::vector<Movement> movements;
  std::string problem;  // why nothing could be compared, else ""

  // Whether a row says anything about both models.
  bool is_compared() const {
    return problem.empty() && rows > refused_by_both && !movements.empty();
  }
};

// Runs the golden rows of the old file through both models.
MovedAnswers compare_answers(const sidecall_model* before, const sidecall_model* after,
                             const Signature& old_signature,
                             const std::map<std::string, std::string>& renames);

// Runs the rows of a file (.jsonl, .ndjson, .csv) through both models; features by name, other names are ignored. `timeouts_ns`: of the
// old and of the new model. Failure where the file cannot be read or has no header for the old model.
MovedAnswers compare_rows(const Model& before, const Model& after, const Signature& old_signature,
                          const std::string& file, std::pair<int64_t, int64_t> timeouts_ns);

}  // namespace sidecall::cli
