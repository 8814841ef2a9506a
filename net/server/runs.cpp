// Executes runs; see runs.h.
#include "runs.h"

#include <sidecall/sidecall.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <utility>

#include "net/common/error.h"
#include "net/server/connection/descriptor.h"

namespace sidecall::net {
namespace {

// A run that is expected to take no longer happens on the thread of the connection, because
// starting it on another thread and waiting for it costs about 20 us.
constexpr int64_t kShortNs = 200000;
// Further runs of one thread are refused with BUSY.
constexpr size_t kMaxRunning = 256;
// Reading a larger request, and writing the answer to it, may take milliseconds.
constexpr size_t kLargeBytes = size_t{128} * 1024;
constexpr size_t kMaxIdle = 64;
constexpr size_t kMaxIdleBytes = size_t{1024} * 1024;

// What is left until a deadline that has not passed a moment ago.
int64_t some_ns(Clock::time_point deadline) {
  return std::max<int64_t>((deadline - Clock::now()).count(), 1);
}

// Of the exception that is being handled.
Failure failure_of_current() {
  try {
    throw;
  } catch (const Error& error) {
    return {error.status(), error.what(), error.faults()};
  } catch (const std::bad_alloc&) {
    return {SIDECALL_OUT_OF_MEMORY, "out of memory", ""};
  } catch (const std::exception& error) {
    return {SIDECALL_INTERNAL, error.what(), ""};
  }
}

// Runs `body`, and returns whether it failed.
template <typename Body>
bool fails(Body body, Failure* failure) noexcept {
  try {
    body();
    return false;
  } catch (...) {
    // The texts need memory.
    try {
      *failure = failure_of_current();
    } catch (const std::exception&) {
      // std::string stores so short a text without allocating.
      *failure = {SIDECALL_OUT_OF_MEMORY, "out of memory", ""};
    }
  }
  return true;
}

}  // namespace

void check_call(const sidecall_net_service& service, sidecall_service_call* call, int32_t status,
                const sidecall_net_error& error) {
  if (status != SIDECALL_OK) throw Error(status, error.message, service.faults_of(call));
}

// A call with the run that it does at the moment.
struct Runs::Run {
  explicit Run(Call given) : call(std::move(given)) {}

  Call call;
  Responder* responder = nullptr;  // nullptr if no one waits for the response any more
  Order order;
  Clock::time_point begun;
  bool has_failed = false;
  Failure failure{};
  Response response;
  void (Runs::*next)(RunPtr) = nullptr;  // while a worker has the call: what follows
};

// The runs that a worker has finished with, until the thread of the loop takes them. Their eventfd
// wakes this thread.
class Runs::Finished final : public Watched {
 public:
  explicit Finished(Runs* runs) : runs_(runs) {
    if (fd.get() < 0) throw Error(SIDECALL_OUT_OF_MEMORY, "server: no descriptors are left");
    list_.reserve(kMaxRunning);
    taken_.reserve(kMaxRunning);
  }

  void on_events(uint32_t) override {
    eventfd_t count = 0;
    eventfd_read(fd.get(), &count);
    runs_->take_finished();
  }

  // How many runs the workers have; by the thread of the runs.
  void add_elsewhere(int count) {
    const std::lock_guard lock(mutex_);
    num_elsewhere_ += count;
  }
  // By a worker. The list has room for all runs.
  void put(Run* run) noexcept {
    const std::lock_guard lock(mutex_);
    list_.push_back(run);
    --num_elsewhere_;
    eventfd_write(fd.get(), 1);
    changed_.notify_all();
  }
  // Valid until the next call.
  const std::vector<Run*>& take() {
    taken_.clear();
    const std::lock_guard lock(mutex_);
    taken_.swap(list_);
    return taken_;
  }
  void wait_for_workers() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return num_elsewhere_ == 0; });
  }

  const Descriptor fd{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};

 private:
  Runs* const runs_;
  std::mutex mutex_;  // guards the rest
  std::condition_variable changed_;
  std::vector<Run*> list_, taken_;
  int num_elsewhere_ = 0;
};

Runs::Runs(const sidecall_net_service& service, size_t max_fault_bytes, Poller* poller,
           Metrics* metrics, Workers* workers)
    : service_(service),
      max_fault_bytes_(max_fault_bytes),
      poller_(poller),
      metrics_(metrics),
      workers_(workers),
      queue_(open_queue()),
      finished_(std::make_unique<Finished>(this)) {
  idle_.reserve(kMaxIdle);
  poller_->add(finished_->fd.get(), EPOLLIN, finished_.get());
  const int handle = service_.handle_of(queue_.get());
  if (handle < 0) throw Error(SIDECALL_OUT_OF_MEMORY, "server: no descriptors are left");
  poller_->add(handle, EPOLLIN, this);
  poller_->set_worked(this);
}

Runs::~Runs() {
  for (const auto& [run, owner] : running_) service_.cancel(run->call.get());
  finished_->wait_for_workers();
}

Runs::Queue Runs::open_queue() {
  sidecall_service_queue* queue = nullptr;
  sidecall_net_error error{};
  if (service_.open_queue(service_.context, &queue, &error) != SIDECALL_OK)
    throw Error(error.status, error.message);
  return Queue(queue, CloseQueue{service_.close_queue});
}

int64_t& Runs::estimate(size_t request_bytes) noexcept {
  size_t bits = 0;
  for (; request_bytes != 0; request_bytes >>= 1) ++bits;
  return estimates_ns_[bits];
}

Runs::RunPtr Runs::take_idle() {
  if (!idle_.empty()) {
    RunPtr run = std::move(idle_.back());
    idle_.pop_back();
    return run;
  }
  sidecall_service_call* call = nullptr;
  sidecall_net_error error{};
  if (service_.open_call(service_.context, max_fault_bytes_, &call, &error) != SIDECALL_OK)
    throw Error(error.status, error.message);
  return std::make_unique<Run>(Call(call, FreeCall{service_.close_call}));
}

void Runs::begin(Responder* responder, Order order) {
  Failure failure{};
  RunPtr run;
  const bool has_failed = fails(
      [&] {
        if (running_.size() >= kMaxRunning)
          throw Error(SIDECALL_BUSY, "server: expected at most " + std::to_string(kMaxRunning) +
                                         " runs of one thread, got more");
        run = take_idle();
      },
      &failure);
  if (has_failed) {
    responder->respond(order.fail(failure));
    return;
  }
  run->responder = responder;
  run->order = std::move(order);
  run->begun = Clock::now();
  const auto give = [](Run* self) {
    self->has_failed = fails([self] { self->order.give(self->call.get()); }, &self->failure);
  };
  if (run->order.request_bytes > kLargeBytes) {
    do_elsewhere(std::move(run), give, &Runs::launch);
  } else {
    give(run.get());
    launch(std::move(run));
  }
}

// Lets a worker do `task`, and then this thread `next`.
void Runs::do_elsewhere(RunPtr run, void (*task)(Run*), void (Runs::*next)(RunPtr)) {
  Run* const key = run.get();
  key->next = next;
  Failure unused{};
  const bool has_failed = fails(
      [&] {
        RunPtr& owner = running_[key];  // may fail, so it comes before the submission
        finished_->add_elsewhere(1);
        std::function<void()> done = [this, key, task] {
          task(key);
          finished_->put(key);
        };
        workers_->submit(std::move(done));
        owner = std::move(run);
      },
      &unused);
  if (!has_failed) return;
  // Without a worker the task holds up this thread, but the run has its outcome.
  if (running_.erase(key) != 0) finished_->add_elsewhere(-1);
  key->next = nullptr;
  task(key);
  (this->*next)(std::move(run));
}

void Runs::take_finished() {
  for (Run* const key : finished_->take()) {
    const auto found = running_.find(key);
    RunPtr run = std::move(found->second);
    running_.erase(found);
    void (Runs::* const next)(RunPtr) = std::exchange(run->next, nullptr);
    (this->*next)(std::move(run));
  }
}

// Begins the run, once the call has its inputs.
void Runs::launch(RunPtr run) {
  if (!run->has_failed) {
    run->has_failed = fails(
        [&] {
          if (run->responder == nullptr)
            throw Error(SIDECALL_CANCELLED, "run: the client gave it up");
          if (Clock::now() >= run->order.deadline)
            throw Error(SIDECALL_TIMEOUT, "run: the deadline passed before the model was called");
        },
        &run->failure);
  }
  if (run->has_failed) return end(std::move(run));
  const int64_t expected = estimate(run->order.request_bytes);
  if (service_.is_local == 0 || expected == 0 || expected > kShortNs) return start(std::move(run));
  run->has_failed = fails(
      [&] {
        sidecall_net_error error{};
        sidecall_service_call* const call = run->call.get();
        check_call(service_, call, service_.run(call, some_ns(run->order.deadline), &error), error);
      },
      &run->failure);
  answer(std::move(run));
}

void Runs::start(RunPtr run) {
  Run* const key = run.get();
  const bool has_failed = fails(
      [&] {
        RunPtr& owner = running_[key];  // may fail, so it comes before the submission
        sidecall_service_call* const call = key->call.get();
        sidecall_net_error error{};
        const int64_t timeout_ns = some_ns(key->order.deadline);
        check_call(service_, call, service_.submit(queue_.get(), call, timeout_ns, key, &error),
                   error);
        owner = std::move(run);
      },
      &key->failure);
  if (!has_failed) {
    const int64_t before = metrics_->runs.fetch_add(1, std::memory_order_relaxed);
    if (before == service_.num_threads) note_progress();
    return;
  }
  running_.erase(key);
  key->has_failed = true;
  end(std::move(run));
}

int Runs::work() {
  if (running_.empty() && !has_event_) return -1;
  has_event_ = false;
  std::array<void*, 64> over;
  size_t count = 0;
  do {
    count = service_.take(queue_.get(), over.data(), over.size());
    for (size_t i = 0; i < count; ++i) finish(static_cast<Run*>(over[i]));
  } while (count != 0);
  return service_.arm(queue_.get());
}

void Runs::finish(Run* key) {
  const auto found = running_.find(key);
  RunPtr run = std::move(found->second);
  running_.erase(found);
  metrics_->runs.fetch_sub(1, std::memory_order_relaxed);
  note_progress();
  run->has_failed = fails(
      [&] {
        sidecall_net_error error{};
        sidecall_service_call* const call = key->call.get();
        check_call(service_, call, service_.outcome_of(call, &error), error);
      },
      &run->failure);
  answer(std::move(run));
}

void Runs::note_progress() noexcept {
  if (service_.is_local == 0) return;
  metrics_->progressed_ns.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
}

// Writes the response of a run that is over.
void Runs::answer(RunPtr run) {
  // A run that failed quickly tells nothing. The estimate rises at once and falls slowly, so that a
  // long run makes the next ones of its size leave this thread.
  int64_t& known = estimate(run->order.request_bytes);
  const int64_t took = std::max<int64_t>((Clock::now() - run->begun).count(), 1);
  if (took > known && (!run->has_failed || known != 0)) known = took;
  else if (!run->has_failed) known -= (known - took) / 8;
  if (run->has_failed || run->responder == nullptr) return end(std::move(run));
  const auto write = [](Run* self) {
    self->has_failed =
        fails([self] { self->response = self->order.answer(self->call.get()); }, &self->failure);
  };
  if (run->order.request_bytes > kLargeBytes)
    return do_elsewhere(std::move(run), write, &Runs::end);
  write(run.get());
  end(std::move(run));
}

// Responds, and keeps the call for the next run. If the engine is still at work, the call is
// closed: after a run that ended early, or if the process is ending, which changes all outcomes.
void Runs::end(RunPtr run) {
  Responder* const responder = std::exchange(run->responder, nullptr);
  const Order order = std::move(run->order);
  Response response = std::move(run->response);
  const Failure failure = std::move(run->failure);
  const bool has_failed = std::exchange(run->has_failed, false);
  run->order = {};
  run->response = {};
  run->failure = {};
  const bool is_reusable =
      !has_failed || (failure.status != SIDECALL_TIMEOUT && failure.status != SIDECALL_CANCELLED);
  // A call keeps the memory of its largest run.
  const bool is_small = order.request_bytes <= kMaxIdleBytes &&
                        order.memory->bytes() <= kMaxIdleBytes &&
                        response.body.size() <= kMaxIdleBytes;
  if (is_reusable && is_small && idle_.size() < kMaxIdle &&
      service_.make_idle(run->call.get()) != 0)
    idle_.push_back(std::move(run));
  if (responder == nullptr) return;
  try {
    if (has_failed) response = order.fail(failure);
    responder->respond(std::move(response));
  } catch (const std::exception&) {
    responder->give_up();  // no memory is left
  }
}

void Runs::abandon(Responder* responder) noexcept {
  for (const auto& [run, owner] : running_) {
    if (run->responder != responder) continue;
    run->responder = nullptr;
    metrics_->abandoned.fetch_add(1, std::memory_order_relaxed);
    service_.cancel(run->call.get());
  }
}

}  // namespace sidecall::net
