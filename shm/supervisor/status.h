// STATUS over a socket, and the sum of what several workers answer. Used by supervisor.cpp.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "shm/common/socket.h"
#include "shm/server/status.h"

namespace sidecall::shm {

// What workers have counted, as they told it last. It stays when one ends or does not answer: sums never fall, which metrics rely on.
class CounterMemory {
 public:
  void note(int32_t worker, const Status& told);
  void keep_only(const std::vector<int32_t>& workers);  // others have ended, and count on as one
  void add_to(Status* sum) const;

 private:
  std::map<int32_t, Status> told_;
  Status ended_;
};

// Adds up the counters of workers. Text that is no status of ours is left out.
class StatusSum {
 public:
  explicit StatusSum(CounterMemory* memory) : memory_(memory) {}
  void set_own(const Status& own) { sum_ = own; }  // the supervisor's, first
  void add(int32_t worker, const std::string& json);

  // Counters of all, also of those that are no longer among `workers`, and those of each that answered under "each".
  std::string json(const std::vector<int32_t>& workers);

 private:
  CounterMemory* const memory_;
  Status sum_;
  std::vector<std::string> each_;
};

// Asks over a connection that a worker was given, and reads what it answers: "" where it does not in time.
void ask_status(Socket& socket);
std::string read_status(Socket& socket, Deadline deadline);

// Answers a HELLO that asks for the status and is still unread.
void send_status(Socket& socket, std::string_view json);

}  // namespace sidecall::shm
