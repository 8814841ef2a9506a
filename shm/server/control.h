// The control thread of a server: accepts connections, answers HELLO, passes connections to engine
// threads, watches for dead clients and passed deadlines, and drains. It never calls a handler.
// Server forwards its calls to it.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "server.h"
#include "shm/common/socket.h"
#include "shm/server/accepting/admission.h"
#include "shm/server/accepting/introduction.h"
#include "shm/server/accepting/listener.h"
#include "shm/server/accepting/refusals.h"
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

  void listen(std::string_view address, bool accepts);
  void accept();
  void attach(Fd fd, bool is_direct);
  void control(Fd fd, int64_t drain_ns, bool accepts);
  std::string status() const;
  // Whether requests wait, and all threads have been busy with their runs for too long. Any thread.
  bool is_stalled() const noexcept;
  void drain_others() noexcept;
  bool drain(Deadline deadline) noexcept;
  void close() noexcept;
  int ended_fd() const noexcept { return ended_fd_.get(); }

  // Called by engine threads.
  void retire(ServerConnection* connection) noexcept override;
  void note_awake() noexcept override;
  void note_one_shot() noexcept override;

 private:
  struct HalfOpen {
    Accepted accepted;
    bool is_admitted;
    int64_t deadline_ns;
  };
  // A connection of an admitted user whose first message has arrived.
  struct Arrived {
    Accepted accepted;
    std::string hello;
  };

  // ---- The control thread: control.cpp ----
  void run();
  void dispatch(const Poller::Event& event);
  int wait_ms(int64_t now);
  void tick(int64_t now);
  void stop_accepting() noexcept;
  bool is_draining() const noexcept { return drain_ == Drain::kAll; }
  void begin_wanted_drain();
  void begin_drain(Deadline deadline) noexcept;
  void check_drain(int64_t now);
  void end(bool all_answered);

  // ---- The control thread: control_accept.cpp ----
  void accept_all(int listener);
  void accept_without_descriptors(int listener);
  void pause_listeners(bool pause);
  void admit_socket(Accepted accepted);
  void make_room();
  void expire_half_open(int64_t now) noexcept;
  void drop_silent(std::map<uint64_t, HalfOpen>::iterator one) noexcept;
  bool read_hello(uint64_t id);  // returns false if no message has arrived yet
  void await_turn(Arrived arrived);
  void answer_arrived(int most);
  size_t load() const noexcept { return quotas_.num_connections() + num_arriving_; }
  void answer_hello(Arrived arrived);
  void send_status(Socket* socket);
  void read_control();
  void send_load() noexcept;

  Status count() const;

  const Service service_;
  const ServerOptions options_;
  EventLog log_;
  MemoryBudget budget_;
  const ServerContext context_;
  const Admission admission_;
  const Limits limits_;
  const int64_t started_ns_;
  const Introduction introduction_;

  Poller poller_;
  TaskQueue tasks_;
  Fd ended_fd_, spare_;
  EngineThreads engines_;
  std::atomic<Drain> drain_{Drain::kNone};  // only the control thread changes it
  Refusals refusals_;
  Quotas quotas_;
  Connections connections_;
  Drafts drafts_;
  std::thread thread_;

  std::mutex end_mutex_;
  std::condition_variable ended_;
  bool has_ended_ = false, all_answered_ = false, is_closed_ = false;
  // What drain() and close() want from the control thread. They set these members and post no task,
  // because they must work even if there is no memory for a task.
  Deadline wanted_drain_ = Deadline::never();
  std::atomic<bool> is_drain_of_others_wanted_{false}, is_drain_wanted_{false};
  std::atomic<bool> is_stop_wanted_{false};

  // Members that status() reads from any thread.
  std::atomic<bool> is_ready_{false};
  std::atomic<size_t> num_half_open_{0}, num_waiting_{0};
  Counter accepted_, violations_;

  // Members that only the control thread uses.
  std::vector<Listener> listeners_;
  std::vector<int> held_listeners_;  // descriptors of those that are not watched before accept()
  bool is_paused_ = false;
  int64_t paused_until_ns_ = 0;
  Socket control_;
  Socket held_control_;  // it becomes control_ in accept()
  int64_t control_drain_ns_ = 0;
  uint64_t sent_load_ = UINT64_MAX;  // the number last sent to the parent; UINT64_MAX: send again
  std::map<uint64_t, HalfOpen> half_open_;  // ordered by id, so the oldest comes first
  // No queue is empty. A key is an account, and whether the queue is for requests for the status:
  // these must be answered even if the other connections of the same account wait.
  std::map<uint64_t, std::deque<Arrived>> arrived_;
  uint64_t answered_ = 0;    // the key whose turn was last
  size_t num_arriving_ = 0;  // connections in arrived_, not counting requests for the status
  uint64_t next_id_ = 1;
  Deadline drain_deadline_ = Deadline::never();
};

}  // namespace sidecall::shm
