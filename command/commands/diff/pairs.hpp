// Compares the answers of two models in the columns that both have; used by the two comparisons of
// diff (answers.cpp, rows.cpp).
#pragma once

#include <vector>

#include "diff.hpp"
#include "model/model.hpp"

namespace sidecall::cli {

class ColumnPairs {
 public:
  // Fills `movements` with one entry for each output that both files have; compare() updates these
  // entries.
  ColumnPairs(const sidecall_model* before, const sidecall_model* after, const Json& contract,
              std::vector<Movement>& movements);

  // Compares row 0 of two calls that have run. Returns true if an answer differs by more than the
  // tolerance of the old file.
  bool compare(sidecall_call* old_call, sidecall_call* new_call);

 private:
  struct Pair {
    int32_t before;
    int32_t after;
    size_t movement;
    double absolute;
    double relative;
  };

  std::vector<Movement>& movements_;
  std::vector<Pair> pairs_;
};

// Returns why records cannot be compared at all, or "".
std::string why_not_comparable(const sidecall_model* before, const sidecall_model* after);

}  // namespace sidecall::cli
