// Connections that have not sent HELLO. Used by the control thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>

#include "accepted.h"
#include "admission.h"
#include "hello_queue.h"
#include "refusals.h"
#include "shm/server/reporting/event_log.h"
#include "shm/server/reporting/status.h"
#include "shm/server/server.h"
#include "shm/server/threads/poller.h"
#include "supervisor_link.h"

namespace sidecall::shm {

class HalfOpenConnections {
 public:
  HalfOpenConnections(const ServerOptions& options, EventLog* log, Poller* poller,
                      SupervisorLink* supervisor, Refusals* refusals, HelloQueue* hellos);

  // Takes a connection that was just accepted, and determines its peer. Closes others if there are
  // too many.
  void add(uint64_t id, Socket socket, bool is_direct);
  // Reads the first message: a HELLO of an admitted user goes to the HelloQueue, and any other
  // message ends the connection. Returns false if no message has arrived yet.
  bool read(uint64_t id);
  // Closes the connections that have taken too long. It is due at deadline_ns(), which is INT64_MAX
  // if there are no connections.
  void expire(int64_t now) noexcept;
  int64_t deadline_ns() const noexcept;
  void close() noexcept;

  // ---- Any thread ----

  size_t count() const noexcept { return count_; }
  uint64_t num_accepted() const noexcept { return accepted_.value(); }
  uint64_t num_violations() const noexcept { return violations_.value(); }

 private:
  struct HalfOpen {
    Accepted accepted;
    bool is_admitted;
    int64_t deadline_ns;
  };
  using Map = std::map<uint64_t, HalfOpen>;

  void make_room();
  void drop(Map::iterator one) noexcept;

  const Admission admission_;
  const uint32_t max_half_open_;
  const int64_t hello_ns_;
  EventLog* const log_;
  Poller* const poller_;
  SupervisorLink* const supervisor_;
  Refusals* const refusals_;
  HelloQueue* const hellos_;

  Map connections_;  // ordered by id, so the oldest comes first
  std::atomic<size_t> count_{0};
  Counter accepted_, violations_;
};

}  // namespace sidecall::shm
