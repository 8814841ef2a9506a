// Golden rows: a few rows with the answers that the original Python model gave, run on this machine's engine.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "deadline.h"
#include "error.h"

namespace sidecall {

class Model;

struct OutputCheck {
  std::string name;
  double largest = 0;   // difference seen; for labels 1 where one differs beyond its margin
  double absolute = 0;  // tolerance
  double relative = 0;
  bool holds = true;
};

struct Verification {
  std::vector<OutputCheck> outputs;
  std::string failure;  // one line on the first answer that differs; empty when all hold
  Fault fault;          // the same in parts
};

// The model has a contract with golden rows. Throws TIMEOUT where a model in another process does not answer until `deadline`.
Verification run_golden_rows(const Model& model, std::optional<Clock::time_point> deadline);

// The report of sidecall_model_verify: golden rows and the id, recomputed. `failure` of what was checked is empty when all holds.
std::string verification_report(const Model& model, Verification* checked);

}  // namespace sidecall
