// One thread that calls the handler for the connections it owns. It polls the active connections
// and waits in epoll for the others. Used by the control thread, which gives it connections and
// takes them back.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "clock.h"
#include "shm/common/socket.h"
#include "shm/common/waiting.h"
#include "shm/server/connections/connection.h"
#include "shm/server/reporting/status.h"

namespace sidecall::shm {

// What engine threads report to the control thread. Any engine thread may call it at any time.
class EngineOwner {
 public:
  // The engine thread will not access the connection again.
  virtual void retire(ServerConnection* connection) noexcept = 0;

  // A sleeping engine thread woke up: the control thread must watch its deadlines again.
  virtual void note_awake() noexcept = 0;

  // An answer was sent whose memory must be given back when the client has received it.
  virtual void note_one_shot() noexcept = 0;

 protected:
  ~EngineOwner() = default;
};

// Which connections drain: kOthers are those of other processes (see Server::drain_others()).
enum class Drain { kNone, kOthers, kAll };
constexpr bool drains(Drain which, bool is_direct) noexcept {
  return which == Drain::kAll || (which == Drain::kOthers && !is_direct);
}

class EngineThread {
 public:
  EngineThread(EngineOwner* owner, int32_t spin_us);  // throws OUT_OF_MEMORY; call start() next
  ~EngineThread() { stop(); }
  void start();

  // ---- The control thread ----

  // Gives a connection to this thread. The control thread must not change the connection until it
  // is retired.
  void add(ServerConnection* connection) noexcept;
  // Says that the client of a connection is gone. The connection is retired soon, even while the
  // handler of another connection runs.
  void drop(ServerConnection* connection) noexcept;
  // Retires these connections, each as soon as no request of it is in progress.
  void drain(Drain which) noexcept;
  void stop() noexcept;  // joins the thread; connections are not retired

  // Called every few milliseconds while EngineThreads::is_active(): interrupts a handler whose
  // client no longer waits. Returns when the run that is under way began, or 0 if there is none. If
  // this run has taken longer than `max_run_ns`, sets *has_overrun and prevents the end of the run
  // for kOverrunHold: within this time the supervisor kills the process, and so no other run of
  // this thread.
  int64_t tick(int64_t now, int64_t max_run_ns, bool* has_overrun) noexcept;

  // Interrupts the running handler, if any, and hangs up on its client.
  void cut_off() noexcept;

  size_t num_connections() const noexcept {
    return num_connections_.load(std::memory_order_relaxed);
  }
  bool is_awake() const noexcept { return !is_asleep_.load(std::memory_order_seq_cst); }
  bool is_running() const noexcept { return watch_.is_running(); }
  const EngineCounters& counters() const noexcept { return counters_; }

 private:
  template <typename Note>
  void post(const Note& note) noexcept;
  void list(ServerConnection* connection) noexcept;
  void wake() noexcept;

  void run();
  bool serve_active();
  void serve(ServerConnection* connection);
  void note_cpu(uint32_t cpu) noexcept;  // `cpu` is that of a client that was just served
  void idle();
  void sleep();
  void poll_sockets(int timeout_ms);
  void dispatch(ServerConnection* connection);
  // Called by the engine thread, or by the control thread while it holds watch_.
  void read_orders() noexcept;
  bool add_now(ServerConnection* connection) noexcept;
  bool drop_now(ServerConnection* connection) noexcept;
  void drain_now() noexcept;
  bool is_drained(const ServerConnection& connection) const noexcept;
  void check_clients(int64_t now);
  void activate(ServerConnection* connection) noexcept;
  void deactivate(ServerConnection* connection) noexcept;
  void close_gaps() noexcept;
  void retire(ServerConnection* connection, Ending ending, const char* text = "") noexcept;
  void hand_back(ServerConnection* connection) noexcept;

  EngineOwner* const owner_;
  const int32_t spin_us_;
  std::thread thread_;
  Fd epoll_, alarm_;
  RunWatch watch_;
  EngineCounters counters_;
  // When the last run began that exceeded its limit, and until when the control thread holds watch_
  // because of it (0 if it does not).
  int64_t overrun_ns_ = 0, held_until_ns_ = 0;

  // Orders of the control thread. Those for a connection are noted in the connection itself.
  std::mutex orders_mutex_;
  ServerConnection *first_ordered_ = nullptr, *last_ordered_ = nullptr;
  Drain drain_ordered_ = Drain::kNone;
  bool is_stop_ordered_ = false;
  std::atomic<bool> has_orders_{false};
  std::atomic<bool> is_asleep_{false};
  std::atomic<size_t> num_connections_{0};

  // Members used by the engine thread, or by the control thread while it holds watch_.
  std::vector<ServerConnection*> all_;
  std::vector<ServerConnection*> active_;  // those that are polled; has capacity for all of all_
  ServerConnection* running_ = nullptr;    // the connection whose request is in progress
  bool has_gaps_ = false;                  // active_ contains null pointers
  Drain draining_ = Drain::kNone;
  bool is_stopping_ = false;
  QuickClock clock_;
  SpinPolicy spin_policy_;
  int64_t last_work_ns_ = 0, last_poll_ns_ = 0, last_yield_ns_ = 0;
  // The CPU of the client that was served last. Exception: if that client is on the CPU of this
  // thread, and a client on another CPU was served recently, the other CPU is kept.
  uint32_t peer_cpu_ = 0;
  int64_t last_far_ns_ = 0;  // when a client on another CPU was last served
  bool has_near_ = false;    // a client on this CPU was served in this round

  // State since the last round with work.
  bool is_idle_ = false, is_polling_ = false, has_slept_ = false;
  int64_t idle_since_ns_ = 0;
};

}  // namespace sidecall::shm
