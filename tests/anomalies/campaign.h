// Runs a scenario again and again. Each time another allocation or system call of sidecall fails.
#pragma once

#include <string>
#include <vector>

#include "scenario.h"

namespace anomalies {

struct Result {
  std::string scenario;
  long runs = 0;     // runs in which a call failed
  long refused = 0;  // of these, runs that ended with an error; the others succeeded
  double seconds = 0;
  std::vector<std::string> defects;
};

// `share`: only every share-th call of each function fails. With 1 all calls fail, or in a slow
// scenario the first call at each call site. `max_defects`: gives up the scenario after this many
// defects. The scenario runs in child processes, so a crash or a hang is one defect and does not
// end the campaign.
Result run_campaign(const Scenario& scenario, long share, size_t max_defects);

}  // namespace anomalies
