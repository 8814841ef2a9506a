// The columns that two models share, and whether the answers of a row moved between them. For diff.
#pragma once

#include <vector>

#include "diff.hpp"
#include "model/model.hpp"

namespace sidecall::cli {

class ColumnPairs {
 public:
  // Fills `movements`, one for each output that stands in both files; compare() counts there.
  ColumnPairs(const sidecall_model* before, const sidecall_model* after, const Json& contract,
              std::vector<Movement>& movements);

  // Row 0 of two calls that ran. True where an answer differs by more than the old file tolerates.
  bool compare(sidecall_call* old_call, sidecall_call* new_call);

 private:
  struct Pair {
    int32_t before;
    int32_t after;
    size_t movement;
    double absolute;
    double relative;
  };

  const sidecall_model* before_;
  const sidecall_model* after_;
  std::vector<Movement>& movements_;
  std::vector<Pair> pairs_;
};

// Why records cannot be compared at all, or "".
std::string why_not_comparable(const sidecall_model* before, const sidecall_model* after);

}  // namespace sidecall::cli
