// The connections that engine threads serve, from WELCOME until their memory is freed.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "connection.h"
#include "memory_budget.h"
#include "quotas.h"
#include "shm/server/reporting/event_log.h"
#include "shm/server/reporting/status.h"
#include "shm/server/threads/engine_threads.h"
#include "shm/server/threads/poller.h"
#include "shm/server/threads/task_queue.h"
#include "shm/server/threads/task_thread.h"

namespace sidecall::shm {

class Connections {
 public:
  Connections(EventLog* log, const MemoryBudget* budget, Poller* poller, TaskQueue* tasks,
              EngineThreads* engines, Quotas* quotas)
      : log_(log),
        budget_(budget),
        poller_(poller),
        tasks_(tasks),
        engines_(engines),
        quotas_(quotas) {}

  // ---- Called by engine threads; see EngineOwner ----

  void retire(ServerConnection* connection) noexcept;
  void note_one_shot() noexcept;

  // ---- Any thread ----

  void add_to(Status* status) const;

  // ---- The control thread ----

  // Watches for the death of a client, before it gets WELCOME. Throws OUT_OF_MEMORY.
  void watch(uint64_t id, int socket, int pidfd);
  // Registers a connection that was welcomed and counts in the quotas, and gives it to an engine
  // thread.
  void add(std::unique_ptr<ServerConnection> connection);
  // The client is gone: its engine thread retires the connection.
  void handle_death(uint64_t id);
  // Frees the connections that were retired.
  void reap_retired() noexcept;
  // Gives the memory of answers back to the budget that clients have received. It is due at
  // reclaim_due_ns(), which is INT64_MAX if there are no such answers.
  void reclaim_one_shots(int64_t now);
  int64_t reclaim_due_ns() const noexcept { return has_one_shots_ ? next_reclaim_ns_ : INT64_MAX; }
  size_t count() const noexcept { return registry_.size(); }
  uint64_t count_queued() const noexcept;
  // Whether connections have ended but still hold their memory.
  bool are_some_dying() const noexcept { return num_dying_ > 0; }
  // Frees all connections. The engine threads and the control thread have ended before.
  void close() noexcept;

 private:
  struct Registered {
    std::unique_ptr<ServerConnection> connection;
    EngineThread* engine;
    bool is_dying = false;
  };

  void free_connection(ServerConnection* retired);
  void return_free_memory() noexcept;  // any thread
  void log_end(const ServerConnection& connection) noexcept;

  EventLog* const log_;
  const MemoryBudget* const budget_;
  Poller* const poller_;
  TaskQueue* const tasks_;
  EngineThreads* const engines_;
  Quotas* const quotas_;

  std::mutex retired_mutex_;
  ServerConnection* retired_ = nullptr;  // a list, linked by next_retired

  // Members that add_to() reads from any thread. Only the control thread changes the registry.
  mutable std::mutex registry_mutex_;
  std::unordered_map<uint64_t, Registered> registry_;
  Counter violations_, closed_;

  std::atomic<bool> has_one_shots_{false};
  int64_t next_reclaim_ns_ = 0;  // used by the control thread only

  std::atomic<size_t> num_dying_{0};  // connections that have ended but still hold their memory
  std::atomic<int64_t> trimmed_ns_{0};
  TaskThread freeing_;  // frees large memory, and closes sessions
};

}  // namespace sidecall::shm
