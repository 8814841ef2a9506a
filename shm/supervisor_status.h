// STATUS over a socket, and the sum of what several workers answer. Used by supervisor.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "socket.h"
#include "status.h"

namespace sidecall::shm {

// Adds up the counters of workers. Text that is no status of ours is left out.
class StatusSum {
 public:
  void set_refused(uint64_t refused, uint64_t waiting) { sum_.refused += refused, sum_.half_open += waiting; }
  void set_uptime(int64_t ns) { sum_.uptime_ns = ns; }
  void add(int32_t worker, const std::string& json);

  // Counters of all, and those of each under "each".
  std::string json(size_t num_workers) const;

 private:
  Status sum_;
  std::vector<std::string> each_;
};

// Asks over a connection that a worker was given, and reads what it answers: "" where it does not in time.
void ask_status(Socket& socket);
std::string read_status(Socket& socket, Deadline deadline);

// Answers a HELLO that asks for the status and is still unread.
void send_status(Socket& socket, std::string_view json);

}  // namespace sidecall::shm
