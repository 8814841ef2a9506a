// The threads that work on asynchronous runs: one bounded pool for the process, started as needed.
#pragma once

namespace sidecall {

class Job {
 public:
  virtual ~Job() = default;
  virtual void work() noexcept = 0;
};

// False when the queue is full.
bool submit_job(Job* job);

}  // namespace sidecall
