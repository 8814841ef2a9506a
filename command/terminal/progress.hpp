// The progress line of a long predict: shown only on a terminal, never in a pipe and never between
// answers.
#pragma once

#include <chrono>
#include <cstdint>

#include "rows/rows.hpp"

namespace sidecall::cli {

class Progress {
 public:
  explicit Progress(const RowReader& reader);

  // Counts rows, and prints the progress twice a second at most.
  void add(int64_t rows);

  // Removes the progress line. Call it before writing anything else to stderr, and at the end.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  const RowReader& reader_;
  const bool is_shown_;
  const Clock::time_point began_;
  Clock::time_point next_;
  int64_t rows_ = 0;
  bool is_on_screen_ = false;
};

}  // namespace sidecall::cli
