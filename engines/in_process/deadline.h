// One thread that watches the deadlines of all runs of the process. The first run with a deadline
// starts it.
#pragma once

#include <cstdint>

#include "core/clock.h"

namespace sidecall {

// An object that a deadline interrupts.
class Watched {
 public:
  virtual ~Watched() = default;
  virtual void on_deadline() noexcept = 0;  // on the watching thread; must be quick
};

// Arms a deadline. The destructor disarms it: after the destructor has returned, on_deadline() is
// not running and will not be called.
class Deadline {
 public:
  Deadline(Clock::time_point when, Watched* watched);
  ~Deadline();
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

 private:
  uint64_t id_;
  Clock::time_point when_;
  void* watcher_;
};

}  // namespace sidecall
