// Golden rows: a few rows with the answers of the original Python model. They verify that the
// engine of this machine gives the same answers.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "clock.h"
#include "error.h"

namespace sidecall {

class Engine;
class Model;

struct OutputCheck {
  std::string name;
  // The largest difference between an answer and its expected value. For answers that are compared
  // exactly (all but floats): 1 if one differs and is not a tie, otherwise 0.
  double largest = 0;
  double absolute = 0;  // tolerance
  double relative = 0;
  bool holds = true;
};

struct Verification {
  std::vector<OutputCheck> outputs;
  std::string failure;  // one line about the first answer that differs; empty if all are right
  Fault fault;          // the same in separate fields
};

// Runs the golden rows on `engine`, which is the engine of the model or of a replica. The model
// must have a contract with golden rows. Throws TIMEOUT if a model in another process does not
// answer before `deadline`.
Verification run_golden_rows(const Model& model, const Engine& engine,
                             std::optional<Clock::time_point> deadline);

// The report of sidecall_model_verify(): the result of the golden rows.
// `checked->failure` is empty if everything is right.
std::string verification_report(const Model& model, Verification* checked);

}  // namespace sidecall
