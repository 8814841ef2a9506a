// Declares the parts of `sidecall diff`, which shows what changes for a caller between two files of
// a model.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/model.hpp"
#include "model/signature.hpp"

namespace sidecall::cli {

// One difference. It may break callers of predict (records) or of run (tensors) or both: for
// example, a feature that moved to another column breaks only callers that fill tensors.
struct Change {
  std::string kind;  // for programs: "feature_removed", ...
  std::string what;  // for people: "feature 'age' removed"
  std::string before;
  std::string after;
  bool breaks_predict = false;
  bool breaks_run = false;

  bool breaks() const { return breaks_predict || breaks_run; }
};

// The parts of a model that diff compares.
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

// Guesses which features were renamed; maps old names to new names. Features count as renamed
// if, after the same unchanged feature, equally many were removed and added, with the same
// types in the same order.
std::map<std::string, std::string> guess_renames(const Signature& before, const Signature& after);

std::vector<Change> compare_signatures(const Signature& before, const Signature& after);

// How far the answers of one output moved.
struct Movement {
  std::string output;
  int64_t moved = 0;  // rows that differ by more than the old file's tolerance
  double largest = 0;
  bool is_number = false;
};

// The result of a comparison of answers. A row has moved if an answer differs by more than the
// tolerance of the old file, or if only one of the models refuses it.
struct MovedAnswers {
  std::string source;  // the file of the rows; "" for the golden rows of the old file
  int64_t rows = 0;
  int64_t moved = 0;
  int64_t refused = 0;  // rows that only the new model refuses
  int64_t refused_by_old = 0;
  int64_t refused_by_both = 0;
  std::string first_refusal;
  std::vector<Movement> movements;
  std::string problem;  // why nothing could be compared, or ""

  // Whether there was something to compare: an output that both files have, and a row that at least
  // one of the models answers.
  bool is_compared() const {
    return problem.empty() && rows > refused_by_both && !movements.empty();
  }
};

// Runs the golden rows of the old file through both models.
MovedAnswers compare_answers(const sidecall_model* before, const sidecall_model* after,
                             const Signature& old_signature,
                             const std::map<std::string, std::string>& renames);

// Runs the rows of a file (.jsonl, .ndjson, .csv) through both models. Features are matched by
// name; other names are ignored. `timeout_ns` is the deadline of each run. Throws a Failure if the
// file cannot be read, or if its header does not suit the old model.
MovedAnswers compare_rows(const Model& before, const Model& after, const Signature& old_signature,
                          const std::string& file, int64_t timeout_ns);

}  // namespace sidecall::cli
