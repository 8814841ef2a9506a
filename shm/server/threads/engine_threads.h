// The engine threads of a server: which one gets a connection, and the ticks that watch their runs.
// Used by the control thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine_thread.h"
#include "shm/server/connections/activity.h"
#include "shm/server/reporting/status.h"

namespace sidecall::shm {

class EngineThreads {
 public:
  // See ServerOptions::max_run_ns.
  explicit EngineThreads(int64_t max_run_ns) : max_run_ns_(max_run_ns) {}

  // Creates and starts the threads. No other function may be called before. Throws OUT_OF_MEMORY,
  // std::system_error.
  void start(uint32_t count, EngineOwner* owner, int32_t spin_us);

  // ---- Any thread ----

  // Whether the control thread must be woken because an engine thread woke up.
  bool must_wake_control() const noexcept {
    // Partner: is_active() stores the flag, then loads is_awake() of the engine threads.
    return is_deeply_asleep_.load(std::memory_order_seq_cst);
  }
  // Adds the counters of the threads.
  void add_to(Status* status) const;

  // ---- The control thread ----

  EngineThread* least_loaded() const noexcept;
  void drain(Drain which) noexcept;
  // Interrupts all handlers that run, now and in the ticks that follow, and hangs up on their
  // clients.
  void cut_off() noexcept;
  bool is_cut_off() const noexcept { return is_cut_off_; }
  void stop() noexcept;  // joins the threads; also called by another thread, in Control::close()

  // Whether engine threads have work, so that ticks are due. If not, the control thread may sleep
  // until an engine thread wakes up.
  bool is_active() noexcept;
  void note_woken() noexcept { is_deeply_asleep_.store(false, std::memory_order_relaxed); }
  int64_t next_tick_ns() const noexcept { return next_tick_ns_; }
  // Looks at the run of each thread and writes all of the activity except num_waiting. Returns
  // false if the tick is not due yet.
  bool tick(int64_t now, Activity* activity) noexcept;

 private:
  const int64_t max_run_ns_;
  std::vector<std::unique_ptr<EngineThread>> threads_;
  std::atomic<bool> is_deeply_asleep_{false};

  // Members that only the control thread uses.
  bool is_draining_ = false, is_cut_off_ = false;
  int64_t next_tick_ns_ = 0;
  uint64_t calls_at_tick_ = 0;
  int quiet_ticks_ = 0;
};

}  // namespace sidecall::shm
