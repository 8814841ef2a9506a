// The two threads of a supervisor and their shared state. accept.cpp handles new connections, and
// health.cpp judges the workers. supervisor.cpp implements everything else: the loops of both
// threads, the communication with the workers, and the functions that other threads call.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "peek.h"
#include "shm/server/accepting/admission.h"
#include "shm/server/accepting/listener.h"
#include "shm/server/connections/memory_budget.h"
#include "shm/server/reporting/event_log.h"
#include "status.h"
#include "supervisor.h"

namespace sidecall::shm {

class Supervisor::Impl {
 public:
  Impl(std::optional<std::string> address, ServerOptions options);
  ~Impl();

  // As in supervisor.h.
  Fd add(int32_t number);
  void remove(int32_t number) noexcept;
  int32_t num_ready() const;
  bool was_ready(int32_t number) const;
  int32_t hung();
  LongRuns long_runs();
  uint64_t num_hung() const;
  bool is_ready() const;
  bool listen(Deadline deadline);
  Socket connect();               // see Supervisor::direct()
  int32_t num_answering() const;  // how many ready workers are not silent
  std::string status();

 private:
  struct Worker {
    Socket control;
    bool is_ready = false;
    uint64_t connections = 0;
    bool was_tried = false;  // hand_over() has tried it for the present connection
    // When it got the first of the connections that it has not answered; 0 if there are none.
    int64_t unanswered_since_ns = 0;
    std::optional<uint32_t> row;  // in memory_
    bool needs_row = false;       // it has reported, but there was no row for it
    bool is_hung = false;         // the last hung() or long_runs() has named it
  };
  using Workers = std::map<int32_t, Worker>;
  struct Waiting {  // a connection whose first message has not come yet
    Fd fd;
    uint32_t user;
    bool is_admitted;
    Deadline deadline;
  };
  struct StatusRequest {
    int32_t worker;
    Socket socket;
  };
  // A worker answers a connection within microseconds, unless it is stopped, hangs or gets no CPU.
  // A worker that has been silent for this long gets connections only if there is no other.
  static constexpr int64_t kSlowNs = INT64_C(50) * 1000 * 1000;
  // The source of an epoll event is in the upper half of its number. The lower half is the number
  // of a worker, or a descriptor.
  static constexpr uint64_t kWake = UINT64_C(1) << 32, kListener = UINT64_C(2) << 32,
                            kWorker = UINT64_C(3) << 32, kHello = UINT64_C(4) << 32,
                            kEnded = UINT64_C(5) << 32;

  void require_free_address() const;
  void watch(int fd, uint64_t about);
  void pause_listener(int listener, bool pause) noexcept;
  void end_threads();
  void wake() noexcept;
  // The caller of these holds mutex_.
  void send_memory_row(Worker* worker);
  void make_ready(int32_t number, Worker* worker);
  void erase(Workers::iterator worker) noexcept;
  int32_t count_ready() const;
  const Activity* activity_of(const Worker& worker) const noexcept;  // nullptr if it has none
  int64_t oldest_run(const Worker& worker) const noexcept;  // when it began; 0 if there is none
  // Whether the worker has not answered a connection for this long.
  static bool is_silent(const Worker& worker, int64_t for_ns) noexcept;
  // Whether a run of the worker has used half of its limit.
  bool is_late(const Worker& worker) const noexcept;
  bool is_stalled() const;
  void refuse(Socket socket, int32_t status, const char* text);
  void refuse_all(std::deque<Fd>& fds);
  void refuse_unassigned();

  // ---- The control thread: supervisor.cpp ----
  void control();
  // A failure of one connection, or a shortage of memory or of epoll watches, must not end the
  // control thread.
  template <typename Body>
  void run_logging_errors(Body body) noexcept {
    try {
      body();
    } catch (const std::exception& error) {
      log_.log(LogLevel::kError, "supervisor.failed",
               [&](Facts& facts) { facts.text("reason", error.what()); });
    }
  }
  int wait_ms();
  void handle(uint64_t about);
  void read(int32_t number);
  void retry_rows();
  void hand_over_all();
  bool hand_over(int fd) noexcept;

  // ---- The answering thread: supervisor.cpp ----
  void answer();

  // ---- The control thread: accept.cpp ----
  void accept_some(int listener);
  void admit_direct();
  void admit(Fd fd, bool is_direct);
  void make_room();
  void drop_silent(std::list<Waiting>::iterator one);
  void drop_expired();
  bool read_first_message(int number);
  bool read_first_message(std::list<Waiting>::iterator one);
  void answer_hello(Waiting one, Peeked first);
  uint64_t count_connections() const;  // of all workers; the caller holds mutex_

  const int64_t started_ns_ = now_ns();
  const std::optional<std::string> address_;
  const ServerOptions options_;
  const Admission admission_;
  EventLog log_;
  const Fd epoll_, wake_;
  std::atomic<uint64_t> refused_{0}, violations_{0};
  std::atomic<size_t> num_waiting_{0};

  std::mutex status_mutex_;  // lock order: before mutex_
  CounterHistory counted_;

  // Guards the members below. The control thread holds it only briefly, and never while it accepts,
  // so that other threads can take it during a flood of connections.
  mutable std::mutex mutex_;
  // Notified when a worker becomes ready, when a request for STATUS arrives, and at the end.
  std::condition_variable changed_;
  bool is_closing_ = false;
  Listener listener_;
  Workers workers_;
  MemoryRows memory_;
  std::set<int32_t> were_ready_;  // until remove(), even if the worker has ended
  uint64_t num_hung_ = 0;
  std::map<uint32_t, std::deque<Fd>> unassigned_;  // by user: connections that wait for a worker
  size_t num_unassigned_ = 0;
  uint32_t assigned_user_ = 0;  // whose connection was passed to a worker last
  std::deque<Fd> status_requests_;
  std::deque<Fd> direct_;  // connections of this process that were not admitted yet

  // Members that only the control thread uses.
  std::list<Waiting> waiting_;  // the oldest first
  // The descriptor of a listener that is not watched until the next round of the loop, or -1.
  int paused_listener_ = -1;
  int64_t next_rows_ns_ = INT64_MAX;  // when retry_rows() has something to do
  std::thread control_thread_, answer_thread_;
};

}  // namespace sidecall::shm
