// Runs threads that call, each with its own caller, and records the times of their calls.
#include "measure.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <future>
#include <random>
#include <thread>
#include <vector>

#include "clock.h"

namespace bench {
namespace {

// Spin for this long before a call is due, because a timer may wake up late by this much.
constexpr int64_t kSpinNs = 100'000;
constexpr int kPauseAfterLossMs = 10;

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

struct Worker {
  int number = 0;
  Histogram times;
  int64_t wrong = 0;
  int64_t lost = 0;
  std::string error;
  int64_t end_ns = 0;
  int64_t row = 0;  // row of the last answer
  Answer answer;
  std::promise<void> is_warm;
  std::thread thread;
};

class Loop {
 public:
  Loop(Session& session, const Plan& plan)
      : session_(session),
        plan_(plan),
        workers_(static_cast<size_t>(plan.clients)),
        due_ns_(due_times(plan)) {}

  Measurement run() {
    session_.connect(plan_.clients);
    std::promise<int64_t> go;
    start_ = go.get_future().share();
    for (size_t i = 0; i < workers_.size(); ++i) {
      workers_[i].number = static_cast<int>(i);
      workers_[i].thread = std::thread([this, i] { work(workers_[i]); });
    }
    for (Worker& worker : workers_) worker.is_warm.get_future().wait();
    const double cpu = cpu_seconds();
    const int64_t start = now_ns();
    go.set_value(start);
    Measurement all;
    int64_t end = start;
    for (Worker& worker : workers_) {
      worker.thread.join();
      all.times.add(worker.times);
      all.wrong += worker.wrong;
      all.lost += worker.lost;
      if (all.error.empty()) all.error = worker.error;
      end = std::max(end, worker.end_ns);
    }
    all.cpu_s =
        cpu_seconds() - cpu - checking_s(workers_[0]) * static_cast<double>(all.times.total());
    all.seconds = static_cast<double>(end - start) / 1e9;
    all.lengths = session_.lengths(0);
    return all;
  }

 private:
  void work(Worker& worker) {
    prctl(PR_SET_TIMERSLACK, 1UL);
    Histogram uncounted;
    for (int64_t i = 0; i < plan_.warm_up; ++i) call(worker, next_++, now_ns(), uncounted);
    worker.is_warm.set_value();
    const int64_t start = start_.get();
    if (plan_.rate > 0) {
      call_when_due(worker, start);
    } else {
      const int64_t end = start + static_cast<int64_t>(plan_.seconds * 1e9);
      int64_t now = now_ns();
      do {  // at least once: on a busy machine the thread may wake up after the end
        call(worker, next_++, now, worker.times);
      } while ((now = now_ns()) < end);
    }
    worker.end_ns = now_ns();
  }

  // When each call of an open loop is due, after the start. Random times depend on `first` only, so
  // that all approaches get the same ones.
  static std::vector<int64_t> due_times(const Plan& plan) {
    std::vector<int64_t> times;
    std::mt19937_64 random(static_cast<uint64_t>(plan.first));
    std::exponential_distribution<double> gap(1.0);
    double at = 0;  // in mean gaps
    for (int64_t count = std::llround(plan.rate * plan.seconds); count > 0; --count) {
      times.push_back(static_cast<int64_t>(at * 1e9 / plan.rate));
      at += plan.is_random ? gap(random) : 1;
    }
    return times;
  }

  // Each worker takes the next call and waits until the call is due. The time of a call counts from
  // the moment at which it was due, even if the worker is late.
  void call_when_due(Worker& worker, int64_t start) {
    for (size_t i = due_++; i < due_ns_.size(); i = due_++) {
      const int64_t due = start + due_ns_[i];
      const int64_t ahead = due - kSpinNs - now_ns();
      if (ahead > 0) std::this_thread::sleep_for(std::chrono::nanoseconds(ahead));
      while (now_ns() < due) std::this_thread::yield();
      call(worker, next_++, due, worker.times);
    }
  }

  // The time to check one answer. It is measured separately, because a clock around each check
  // would cost more than the check.
  double checking_s(const Worker& worker) const {
    constexpr int kRounds = 10;
    int64_t right = 0;
    const int64_t start = now_ns();
    for (int i = 0; i < kRounds; ++i) right += session_.is_right(worker.row, worker.answer) ? 1 : 0;
    const int64_t time = now_ns() - start;
    return right < kRounds ? 0 : static_cast<double>(time) / 1e9 / kRounds;
  }

  // Checks each answer immediately. This takes nanoseconds here and happens while no clock runs, so
  // every answer can be checked.
  void call(Worker& worker, int64_t number, int64_t start, Histogram& times) {
    const int64_t row = worker.row = (plan_.first + number) % session_.ring();
    Answer& answer = worker.answer;
    answer.clear();
    try {
      session_.caller(worker.number).call(row, answer);
    } catch (const std::exception& error) {
      ++worker.lost;
      if (worker.error.empty()) worker.error = error.what();
      // A late answer to this call on the old connection would be taken for the answer to the next
      // call.
      session_.drop(worker.number);
      std::this_thread::sleep_for(std::chrono::milliseconds(kPauseAfterLossMs));
      return;
    }
    times.record(now_ns() - start);
    if (!session_.is_right(row, answer)) ++worker.wrong;
  }

  Session& session_;
  const Plan plan_;
  std::vector<Worker> workers_;
  std::shared_future<int64_t> start_;
  std::atomic<int64_t> next_{0};  // the number of the next call; it selects the rows
  const std::vector<int64_t> due_ns_;
  std::atomic<size_t> due_{0};  // the number of the next due time that no worker has taken
};

}  // namespace

Measurement measure(Session& session, const Plan& plan) { return Loop(session, plan).run(); }

}  // namespace bench
