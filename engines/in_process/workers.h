// The threads that work on asynchronous runs: one bounded pool for the process, whose threads are
// started as needed.
#pragma once

namespace sidecall {

class Job {
 public:
  virtual ~Job() = default;
  virtual void work() noexcept = 0;
};

// Returns false if the queue is full or no thread can be started.
bool submit_job(Job* job);

}  // namespace sidecall
