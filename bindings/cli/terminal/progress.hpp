// The line that tells how far a long predict is: on a terminal, never in a pipe, and never between answers.
#pragma once

#include <chrono>
#include <cstdint>

#include "rows/rows.hpp"

namespace sidecall::cli {

class Progress {
 public:
  explicit Progress(const RowReader& reader);

  // Now and then prints how far it is.
  void add(int64_t rows);

  // Before anything else goes to stderr, and at the end.
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
