// Requests STATUS over a socket, and sums the answers of several workers. Used by supervisor.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "shm/common/socket.h"
#include "shm/server/reporting/status.h"

namespace sidecall::shm {

// The latest counters of each worker. They are kept when a worker ends or does not answer, so that
// sums never decrease, which metrics systems rely on.
class CounterHistory {
 public:
  void note(int32_t worker, const Status& counters);
  // All workers that are not in `workers` have ended: moves their counters to one common sum.
  void keep_only(const std::vector<int32_t>& workers);
  void add_to(Status* sum) const;

 private:
  std::map<int32_t, Status> latest_;
  Status ended_;
};

// Sums the counters of workers. Ignores text that is not one of our statuses.
class StatusSum {
 public:
  explicit StatusSum(CounterHistory* memory) : memory_(memory) {}
  void set_own(const Status& own) { sum_ = own; }  // the supervisor's own counters; call it first
  void add(int32_t worker, const std::string& json);

  // The sum over all workers, including those that are no longer among `workers`. The status of
  // each worker that answered is under "each". Unless `may_be_ready`, the server is not ready.
  std::string json(const std::vector<int32_t>& workers, bool may_be_ready, uint64_t num_hung);

 private:
  CounterHistory* const memory_;
  Status sum_;
  std::vector<std::string> each_;
};

// request_status requests the status over a connection that was given to a worker. read_status
// reads the answer; it returns "" if none arrives before the deadline.
void request_status(Socket& socket);
std::string read_status(Socket& socket, Deadline deadline);

// Answers a HELLO that asks for the status and that has not been read yet.
void send_status(Socket& socket, std::string_view json);

}  // namespace sidecall::shm
