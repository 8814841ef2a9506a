// The thread that watches deadlines; see deadline.h. Used by context.cpp.
#include "deadline.h"

#include <condition_variable>
#include <map>
#include <mutex>

#include "base/process/per_process.h"
#include "core/error.h"
#include "core/platform.h"

namespace sidecall {
namespace {

class Watcher {
 public:
  explicit Watcher(uint64_t created_in) : generation(created_in) {}

  const uint64_t generation;

  uint64_t add(Clock::time_point when, Watched* watched) {
    const std::lock_guard lock(mutex_);
    if (!is_started_) start();
    const uint64_t id = ++last_id_;
    armed_.emplace(Key{when, id}, watched);
    // Only a deadline before wakes_at_ wakes the watcher. A wake-up costs microseconds, so a run
    // that ends before its deadline does not wake the watcher, which sleeps on until wakes_at_.
    if (when < wakes_at_) changed_.notify_one();
    return id;
  }

  void remove(Clock::time_point when, uint64_t id) noexcept {
    // The deadline was armed before a fork(): the lock may be held by a thread that does not exist
    // in this process.
    if (fork_generation() != generation) return;
    const std::lock_guard lock(mutex_);
    armed_.erase(Key{when, id});
  }

 private:
  using Key = std::pair<Clock::time_point, uint64_t>;

  void start() {
    const bool started =
        platform::start_thread([](void* self) { static_cast<Watcher*>(self)->watch(); }, this);
    if (!started)
      throw Error(SIDECALL_OUT_OF_MEMORY, "cannot start the thread that watches deadlines");
    is_started_ = true;
  }

  void watch() {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (armed_.empty()) {
        wakes_at_ = Clock::time_point::max();
        changed_.wait(lock);
        continue;
      }
      const auto first = armed_.begin();
      if (first->first.first > Clock::now()) {
        wakes_at_ = first->first.first;
        changed_.wait_until(lock, wakes_at_);
        continue;
      }
      Watched* watched = first->second;
      armed_.erase(first);
      watched->on_deadline();  // under the lock: remove() must not return while this runs
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Key, Watched*> armed_;
  Clock::time_point wakes_at_ = Clock::time_point::max();
  uint64_t last_id_ = 0;
  bool is_started_ = false;
};

}  // namespace

Deadline::Deadline(Clock::time_point when, Watched* watched) : when_(when) {
  Watcher& watcher = per_process<Watcher>();
  watcher_ = &watcher;
  id_ = watcher.add(when, watched);
}

Deadline::~Deadline() { static_cast<Watcher*>(watcher_)->remove(when_, id_); }

}  // namespace sidecall
