// The control thread of a server: accepts connections, answers HELLO, passes connections to engine
// threads, watches for dead clients and passed deadlines, and drains. It never calls a handler.
// Server forwards its calls to it. Its parts are in accepting/, connections/ and threads/.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "server.h"
#include "shm/common/socket.h"
#include "shm/server/accepting/admission.h"
#include "shm/server/accepting/half_open.h"
#include "shm/server/accepting/hello_queue.h"
#include "shm/server/accepting/introduction.h"
#include "shm/server/accepting/listeners.h"
#include "shm/server/accepting/refusals.h"
#include "shm/server/accepting/supervisor_link.h"
#include "shm/server/connections/connections.h"
#include "shm/server/connections/drafts.h"
#include "shm/server/connections/quotas.h"
#include "shm/server/reporting/event_log.h"
#include "shm/server/reporting/status.h"
#include "shm/server/threads/engine_threads.h"
#include "shm/server/threads/poller.h"
#include "shm/server/threads/task_queue.h"

namespace sidecall::shm {

class Control final : public EngineOwner {
 public:
  Control(Service service, Handler* handler, ServerOptions options);
  ~Control() { close(); }

  // ---- Any thread ----

  void listen(std::string_view address, bool accepts);
  void accept();
  void attach(Fd fd, bool is_direct);
  void control(Fd fd, int64_t drain_ns, bool accepts);
  std::string status() const;
  // Whether requests wait, and all threads have been busy with their runs for too long.
  bool is_stalled() const noexcept;
  void drain_others() noexcept;
  bool drain(Deadline deadline) noexcept;
  void close() noexcept;
  int ended_fd() const noexcept { return ended_fd_.get(); }

  // ---- Called by engine threads ----

  void retire(ServerConnection* connection) noexcept override;
  void note_awake() noexcept override;
  void note_one_shot() noexcept override;

 private:
  // ---- Any thread ----

  Status count() const;

  // ---- The control thread ----

  void run();
  void dispatch(const Poller::Event& event);
  int wait_ms(int64_t now);
  void tick(int64_t now);

  void read_supervisor();
  void answer_hellos(int most);
  void answer(HelloQueue::Arrived arrived);
  void send_status(Socket* socket);
  // The number of connections, as the supervisor counts them.
  size_t load() const noexcept { return quotas_.num_connections() + hellos_.num_connections(); }

  bool is_draining() const noexcept { return drain_ == Drain::kAll; }
  void stop_accepting() noexcept;
  void begin_drain_of_others() noexcept;
  void begin_wanted_drain();
  void begin_drain(Deadline deadline) noexcept;
  void check_drain(int64_t now);
  void end(bool all_answered);

  const Service service_;
  const ServerOptions options_;
  EventLog log_;
  MemoryBudget budget_;
  const ServerContext context_;
  const Limits limits_;
  const int64_t started_ns_;
  const Introduction introduction_;

  // The state that other threads read. Only the control thread changes it.
  std::atomic<bool> is_ready_{false};
  std::atomic<Drain> drain_{Drain::kNone};

  // The parts. Each part uses only parts that are declared before it.
  Poller poller_;
  TaskQueue tasks_;
  EngineThreads engines_;
  Refusals refusals_;
  Quotas quotas_;
  Connections connections_;
  Drafts drafts_;
  SupervisorLink supervisor_;
  HelloQueue hellos_;
  HalfOpenConnections half_open_;
  Listeners listeners_;

  // Members that only the control thread uses.
  uint64_t next_id_ = 1;  // of a connection; it gets one when it is accepted, another when granted
  Deadline drain_deadline_ = Deadline::never();

  // What drain() and close() want from the control thread. They set these members and post no task,
  // because they must work even if there is no memory for a task. end_mutex_ guards wanted_drain_.
  Deadline wanted_drain_ = Deadline::never();
  std::atomic<bool> is_drain_of_others_wanted_{false}, is_drain_wanted_{false};
  std::atomic<bool> is_stop_wanted_{false};

  Fd ended_fd_;
  std::mutex end_mutex_;
  std::condition_variable ended_;
  bool has_ended_ = false, all_answered_ = false, is_closed_ = false;
  std::thread thread_;
};

}  // namespace sidecall::shm
