// The thread pools behind jobs.h.
#include "jobs.h"

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "base/process/per_process.h"
#include "core/platform.h"

namespace sidecall {
namespace {

constexpr size_t kMaxQueue = 4096;

class Pool {
 public:
  Pool(uint64_t created_in, JobKind kind)
      : generation(created_in), kind_(kind), max_of_line_(static_cast<size_t>(num_job_threads())) {}

  const uint64_t generation;

  bool submit(Job* job, const void* name) {
    std::unique_lock lock(mutex_);
    if (name == nullptr && waiting_ >= kMaxQueue) return false;
    Line& line = lines_[name];
    line.name = name;
    line.jobs.push_back(job);
    ++waiting_;
    give_turn(&line);
    if (num_turns_ > idle_ && threads_ <= max_of_line_) {
      const bool started =
          platform::start_thread([](void* self) { static_cast<Pool*>(self)->loop(); }, this);
      if (started) ++threads_;
      if (threads_ == 0) {
        take_turn();
        line.jobs.pop_back();
        --waiting_;
        drop_if_unused(&line);
        return false;
      }
    }
    lock.unlock();
    filled_.notify_one();
    return true;
  }

  bool withdraw(Job* job, const void* name) {
    const std::lock_guard lock(mutex_);
    const auto line = lines_.find(name);
    if (line == lines_.end()) return false;
    std::deque<Job*>& jobs = line->second.jobs;
    const auto found = std::find(jobs.begin(), jobs.end(), job);
    if (found == jobs.end()) return false;
    jobs.erase(found);
    --waiting_;
    return true;
  }

 private:
  struct Line {
    const void* name = nullptr;
    std::deque<Job*> jobs;
    size_t running = 0;
    size_t turns = 0;      // how many of its jobs may begin
    Line* next = nullptr;  // of the lines that have turns
  };

  void give_turn(Line* line) {
    if (line->turns >= line->jobs.size() || line->running + line->turns >= max_of_line_) return;
    ++num_turns_;
    if (line->turns++ == 0) append(line);
  }

  // Returns the line whose turn it is. The lines that have turns follow each other in a circle.
  Line* take_turn() {
    Line* const line = first_;
    first_ = line->next;
    if (first_ == nullptr) last_ = nullptr;
    --num_turns_;
    if (--line->turns > 0) append(line);
    return line;
  }

  void append(Line* line) {
    line->next = nullptr;
    (last_ == nullptr ? first_ : last_->next) = line;
    last_ = line;
  }

  void drop_if_unused(const Line* line) {
    if (line->running == 0 && line->turns == 0 && line->jobs.empty()) lines_.erase(line->name);
  }

  void loop() {
    // The purpose of preparation is that the thread that submits can go on at once.
    if (kind_ == JobKind::kPreparation) platform::let_waker_go_on();
    std::unique_lock lock(mutex_);
    for (;;) {
      ++idle_;
      filled_.wait(lock, [&] { return num_turns_ > 0; });
      --idle_;
      Line* const line = take_turn();
      if (!line->jobs.empty()) {  // otherwise its job was withdrawn
        Job* const job = line->jobs.front();
        line->jobs.pop_front();
        --waiting_;
        ++line->running;
        lock.unlock();
        job->work();
        lock.lock();
        --line->running;
      }
      give_turn(line);
      drop_if_unused(line);
    }
  }

  const JobKind kind_;
  const size_t max_of_line_;  // one thread more is left for the other lines
  std::mutex mutex_;
  std::condition_variable filled_;
  std::unordered_map<const void*, Line> lines_;
  Line* first_ = nullptr;  // of the lines that have turns
  Line* last_ = nullptr;
  size_t num_turns_ = 0;
  size_t waiting_ = 0;
  size_t threads_ = 0;
  size_t idle_ = 0;
};

// per_process() makes one object of each type.
struct RunPool final : Pool {
  explicit RunPool(uint64_t created_in) : Pool(created_in, JobKind::kRun) {}
};
struct PreparationPool final : Pool {
  explicit PreparationPool(uint64_t created_in) : Pool(created_in, JobKind::kPreparation) {}
};

Pool& pool_for(JobKind kind) {
  if (kind == JobKind::kRun) return per_process<RunPool>();
  return per_process<PreparationPool>();
}

}  // namespace

bool submit_job(Job* job, JobKind kind, const void* line) {
  return pool_for(kind).submit(job, line);
}

bool withdraw_job(Job* job, JobKind kind, const void* line) {
  return pool_for(kind).withdraw(job, line);
}

int32_t num_job_threads() noexcept {
  return static_cast<int32_t>(std::max(2U, std::thread::hardware_concurrency()));
}

}  // namespace sidecall
