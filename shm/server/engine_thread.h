// One thread that calls the handler for the connections it owns: polls those that are busy, sleeps in epoll for the others. Used by the
// control thread, which gives it connections and gets them back.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "clock.h"
#include "connection.h"
#include "shm/common/socket.h"
#include "shm/common/waiting.h"
#include "status.h"

namespace sidecall::shm {

// Why a connection ended.
enum class Ending { kGone, kViolation, kFailed, kDrained };

// What engine threads tell the control thread. Any of them, any time.
class EngineOwner {
 public:
  // The engine thread will not touch the connection again.
  virtual void retire(ServerConnection* connection, Ending ending, const std::string& text) = 0;

  // A thread woke up that was asleep: somebody must look after its deadlines.
  virtual void note_awake() noexcept = 0;

 protected:
  ~EngineOwner() = default;
};

class EngineThread {
 public:
  EngineThread(EngineOwner* owner, int32_t spin_us);  // throws OUT_OF_MEMORY; start() follows
  ~EngineThread() { stop(); }
  void start();

  // ---- The control thread ----

  void add(ServerConnection* connection);  // it must not be touched until it is retired
  void drop(
      ServerConnection*
          connection);  // its client is gone: retired soon, also while another connection's handler runs
  void drain();         // retires all, each as soon as no request of it is under way
  void stop() noexcept;  // joins; connections are not retired

  // Every few milliseconds while is_active(): asks a handler to stop that nobody waits for.
  void tick() noexcept;

  // Whatever runs is asked to stop, and its client sees a hang-up.
  void cut_off() noexcept;

  size_t num_connections() const noexcept {
    return num_connections_.load(std::memory_order_relaxed);
  }
  bool is_awake() const noexcept { return !is_asleep_.load(std::memory_order_seq_cst); }
  bool is_running() const noexcept { return watch_.is_running(); }
  const EngineCounters& counters() const noexcept { return counters_; }

 private:
  enum class Order { kAdd, kDrop, kDrain, kStop };
  struct Letter {
    Order order;
    ServerConnection* connection;
  };

  void post(Order order, ServerConnection* connection);
  void wake() noexcept;

  void run();
  bool serve_hot();
  void serve(ServerConnection* connection);
  void note_cpu(uint32_t cpu) noexcept;  // of a client that was served
  void idle();
  void sleep();
  void poll_sockets(int timeout_ms);
  void hear(ServerConnection* connection);
  void read_letters();  // the engine thread, or the control thread while it holds watch_
  bool obey(const Letter& letter);
  void look_around(int64_t now);
  void heat(ServerConnection* connection);
  void cool(ServerConnection* connection) noexcept;
  void close_gaps() noexcept;
  void let_go(ServerConnection* connection, Ending ending, const std::string& text);

  EngineOwner* const owner_;
  const int32_t spin_us_;
  std::thread thread_;
  Fd epoll_, alarm_;
  RunWatch watch_;
  EngineCounters counters_;

  std::mutex letters_mutex_;
  std::vector<Letter> letters_;
  std::atomic<bool> has_letters_{false};
  std::atomic<bool> is_asleep_{false};
  std::atomic<size_t> num_connections_{0};

  // The engine thread's own; the control thread's while it holds watch_.
  std::vector<ServerConnection*> all_, hot_;
  ServerConnection* running_ = nullptr;  // whose request is under way
  bool has_gaps_ = false;                // in hot_
  bool is_draining_ = false, is_stopping_ = false;
  QuickClock clock_;
  Pace pace_;
  int64_t last_work_ns_ = 0, last_poll_ns_ = 0, last_turn_ns_ = 0;
  uint32_t peer_cpu_ = 0;    // of a client on another CPU where one has called lately
  int64_t last_far_ns_ = 0;  // when it did
  bool has_near_ = false;    // in this round, a client that runs on this CPU

  // Since the last round with work.
  bool is_idle_ = false, is_polling_ = false, has_slept_ = false;
  int64_t idle_since_ns_ = 0;
};

}  // namespace sidecall::shm
