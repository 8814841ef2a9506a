// The HELLO messages that wait for their answer. Used by the control thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "accepted.h"
#include "refusals.h"

namespace sidecall::shm {

// An answer may take long, because it may create memory. So connections are accepted first, which
// is quick, and then answered user by user. If one user opens very many connections, every other
// user waits for at most one of that user's answers before its own turn.
class HelloQueue {
 public:
  // A connection of an admitted user whose first message has arrived.
  struct Arrived {
    Accepted accepted;
    std::string hello;
  };

  HelloQueue(size_t max_per_user, Refusals* refusals)
      : max_per_user_(max_per_user), refusals_(refusals) {}

  // Refuses the connection if too many of its user wait.
  void add(Arrived arrived);
  bool is_empty() const noexcept { return arrived_.empty(); }
  Arrived take();  // the one whose turn is next; not if the queue is empty
  // Connections that wait, not counting requests for the status.
  size_t num_connections() const noexcept { return num_connections_; }
  // All that wait. Any thread.
  size_t count() const noexcept { return count_; }

 private:
  const size_t max_per_user_;
  Refusals* const refusals_;
  // No queue is empty. A key is an account, and whether the queue is for requests for the status:
  // these must be answered even if the other connections of the same account wait.
  std::map<uint64_t, std::deque<Arrived>> arrived_;
  uint64_t answered_ = 0;  // the key whose turn was last
  size_t num_connections_ = 0;
  std::atomic<size_t> count_{0};
};

}  // namespace sidecall::shm
