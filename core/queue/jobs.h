// The threads that work on asynchronous runs: two bounded pools for the process, whose threads are
// started as needed.
#pragma once

#include <cstdint>

namespace sidecall {

class Job {
 public:
  virtual ~Job() = default;
  virtual void work() noexcept = 0;
};

enum class JobKind {
  kRun,          // executes a model
  kPreparation,  // checks, copies or encodes large inputs; never behind a run that takes long
};

// Returns false if no thread can be started, or if too many jobs wait and `line` is nullptr. Jobs
// of one line begin in the order of their submission, and the lines take turns; the jobs of one
// line never take all threads of the pool.
bool submit_job(Job* job, JobKind kind, const void* line);

// Takes a job back that has not begun. Returns false if it has.
bool withdraw_job(Job* job, JobKind kind, const void* line);

// How many jobs of a kind are worked on at the same time.
int32_t num_job_threads() noexcept;

}  // namespace sidecall
