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
#include "shm/server/accepting/listener.h"
#include "shm/server/connections/connection.h"
#include "shm/server/reporting/event_log.h"
#include "shm/server/reporting/status.h"
#include "shm/server/threads/engine_threads.h"
#include "shm/server/threads/poller.h"
#include "shm/server/threads/task_queue.h"
#include "shm/server/threads/task_thread.h"

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
    Socket socket;
    PeerCredentials peer;
    bool is_admitted;
    int64_t deadline_ns;
    bool is_direct;
  };
  // A connection of an admitted user whose first message has arrived.
  struct Arrived {
    HalfOpen half;
    std::string hello;
  };
  // A connection that was granted and whose memory is being created.
  struct Draft {
    uint64_t id;
    Socket socket;
    PeerCredentials peer;
    Grant grant;
    Reservation memory;
    int64_t deadline_ns;  // until when to wait for memory that other connections give back
    bool is_direct = false;
    bool is_counted = false;
    std::unique_ptr<ServerConnection> connection;
    std::string failure;
    std::atomic<bool> is_made{false};  // making_ has set `connection` or `failure`
  };

  // ---- The control thread: control.cpp ----
  void run();
  void dispatch(const Poller::Event& event);
  int wait_ms(int64_t now);
  void tick(int64_t now);
  uint64_t count_queued() const noexcept;
  void stop_accepting() noexcept;
  bool is_drained(bool is_direct) const noexcept {
    return is_draining_ || (are_others_draining_ && !is_direct);
  }
  void begin_wanted_drain();
  void begin_drain(Deadline deadline) noexcept;
  void check_drain(int64_t now);
  void end(bool all_answered);

  // ---- The control thread: control_accept.cpp ----
  void accept_all(int listener);
  void accept_without_descriptors(int listener);
  void pause_listeners(bool pause);
  void admit_socket(Socket socket, bool is_direct);
  void make_room();
  void expire_half_open(int64_t now) noexcept;
  void drop_silent(std::map<uint64_t, HalfOpen>::iterator one) noexcept;
  bool read_hello(uint64_t id);  // returns false if no message has arrived yet
  void await_turn(Arrived arrived);
  void answer_arrived(int most);
  size_t load() const noexcept { return num_connections_ + num_arriving_; }
  void answer_hello(HalfOpen half, const std::string& hello);
  void refuse(Socket socket, const PeerCredentials& peer, int32_t status, const std::string& text);
  void send_manifest(Socket* socket);
  void send_status(Socket* socket);
  void check_quotas(const PeerCredentials& peer) const;
  void read_control();
  void send_load() noexcept;

  // ---- The control thread: control_connections.cpp ----
  void connect(HalfOpen half, const Grant& grant);
  bool reserve_memory(Draft* draft);
  bool may_wait_for_memory(const Draft& draft) const;
  void await_memory(int64_t now);
  void make_connection(const std::shared_ptr<Draft>& draft);
  void make_next_large(uint32_t user) noexcept;
  void finish_large() noexcept;
  uint64_t memory_of(const Grant& grant) const;
  void make_memory(Draft* draft) noexcept;  // may run on any thread
  void finish_connect(Draft* draft);
  template <typename Step>
  void advance(Draft* draft, const Step& step) noexcept;
  void return_free_memory() noexcept;  // any thread
  void refuse_draft(Draft* draft, int32_t status, const std::string& text);
  void count_connection(const PeerCredentials& peer);
  void uncount_connection(const PeerCredentials& peer);
  void handle_death(uint64_t id);
  void reap_retired() noexcept;
  void free_connection(ServerConnection* retired);
  void reclaim_one_shots(int64_t now);
  void log_end(const ServerConnection& connection) noexcept;
  Status count() const;

  const Service service_;
  const ServerOptions options_;
  EventLog log_;
  MemoryBudget budget_;
  const ServerContext context_;
  const Admission admission_;
  const Limits limits_;
  const int64_t started_ns_;
  uint64_t instance_ = 0;
  Welcome welcome_{};
  Fd manifest_, own_pidfd_;

  Poller poller_;
  TaskQueue tasks_;
  Fd ended_fd_, spare_;
  EngineThreads engines_;
  TaskThread making_, freeing_;  // create and free large memory, and close sessions
  std::thread thread_;

  std::mutex retired_mutex_;
  ServerConnection* retired_ = nullptr;  // a list, linked by next_retired

  std::mutex end_mutex_;
  std::condition_variable ended_;
  bool has_ended_ = false, all_answered_ = false, is_closed_ = false;
  // What drain() and close() want from the control thread. They set these members and post no task,
  // because they must work even if there is no memory for a task.
  Deadline wanted_drain_ = Deadline::never();
  std::atomic<bool> is_drain_of_others_wanted_{false}, is_drain_wanted_{false};
  std::atomic<bool> is_stop_wanted_{false};

  // Members that status() reads from any thread. Only the control thread changes the registry.
  mutable std::mutex registry_mutex_;
  struct Registered {
    std::unique_ptr<ServerConnection> connection;
    EngineThread* engine;
    bool is_dying = false;
  };
  std::unordered_map<uint64_t, Registered> registry_;
  std::atomic<bool> is_ready_{false}, are_others_draining_{false}, is_draining_{false};
  std::atomic<size_t> num_half_open_{0}, num_waiting_{0};
  std::atomic<bool> has_one_shots_{false};
  std::atomic<size_t> num_dying_{0};  // connections that have ended but still hold their memory
  std::atomic<int64_t> trimmed_ns_{0};
  Counter accepted_, refused_, violations_, closed_;

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
  std::map<uint32_t, uint32_t> per_account_;  // connections
  uint64_t next_id_ = 1;
  size_t num_connections_ = 0;  // including those whose memory is being created
  std::vector<std::shared_ptr<Draft>> short_of_memory_;
  int64_t next_memory_check_ns_ = 0;
  // By user: connections whose large memory is created by making_, one at a time.
  std::map<uint32_t, std::deque<std::shared_ptr<Draft>>> large_;
  int64_t next_reclaim_ns_ = 0;
  Deadline drain_deadline_ = Deadline::never();
};

}  // namespace sidecall::shm
