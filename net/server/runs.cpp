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
// A call keeps the memory of its largest run, so it is closed after a larger one.
constexpr size_t kMaxKeptBytes = size_t{1024} * 1024;
// The queue refuses nothing, because the runs of each thread are limited here.
constexpr int32_t kQueueCapacity = 1 << 14;

// The time until a deadline that had not passed a moment ago.
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

// A call, and the request that it serves.
struct Runs::Run {
  explicit Run(Call taken) : call(std::move(taken)) {}

  Call call;
  Responder* responder = nullptr;  // nullptr if no one waits for the response any more
  Order order;
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

  // Changes the number of runs that the workers have. Called by the thread of the runs.
  void add_elsewhere(int count) {
    const std::lock_guard lock(mutex_);
    num_elsewhere_ += count;
  }
  // Called by a worker. Allocates nothing, because the list has room for all runs.
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

Runs::Runs(const ServedModel& model, Poller* poller, Metrics* metrics, Workers* workers)
    : model_(model),
      library_(model.library()),
      poller_(poller),
      metrics_(metrics),
      workers_(workers),
      queue_(open_queue()),
      finished_(std::make_unique<Finished>(this)) {
  poller_->add(finished_->fd.get(), EPOLLIN, finished_.get());
  intptr_t handle = -1;
  model_.check(library_.queue_handle(queue_.get(), &handle, error_of_thread()));
  poller_->add(static_cast<int>(handle), EPOLLIN, this);
  poller_->set_worked(this);
}

Runs::~Runs() {
  for (const auto& [run, owner] : running_) library_.call_cancel(run->call.get());
  finished_->wait_for_workers();
}

Runs::Queue Runs::open_queue() const {
  const sidecall_queue_options options{sizeof options, kQueueCapacity, kQueueCapacity, 0};
  sidecall_queue* queue = nullptr;
  model_.check(library_.queue_open(&options, &queue, error_of_thread()));
  return Queue(queue, Close{&library_});
}

void Runs::begin(Responder* responder, Order order) {
  Failure failure{};
  RunPtr run;
  const bool has_failed = fails(
      [&] {
        if (running_.size() >= kMaxRunning)
          throw Error(SIDECALL_BUSY, "server: expected at most " + std::to_string(kMaxRunning) +
                                         " runs of one thread, got more");
        run = std::make_unique<Run>(Call(model_.take_call(), Close{&library_}));
      },
      &failure);
  if (has_failed) {
    responder->respond(order.fail(failure));
    return;
  }
  run->responder = responder;
  run->order = std::move(order);
  const auto set_inputs = [](Run* self) {
    self->has_failed = fails([self] { self->order.set_inputs(self->call.get()); }, &self->failure);
  };
  if (run->order.request_bytes > kLargeBytes) {
    do_elsewhere(std::move(run), set_inputs, &Runs::launch);
  } else {
    set_inputs(run.get());
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
  // If no worker can take the task, this thread does it, so that the run still gets its outcome.
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
  sidecall_call* const call = run->call.get();
  if (model_.service().is_local == 0 || library_.call_expected_ns(call) > kShortNs)
    return start(std::move(run));
  run->has_failed = fails(
      [&] {
        const int64_t timeout_ns = some_ns(run->order.deadline);
        model_.check(library_.call_run(call, timeout_ns, error_of_thread()));
      },
      &run->failure);
  answer(std::move(run));
}

void Runs::start(RunPtr run) {
  Run* const key = run.get();
  const bool has_failed = fails(
      [&] {
        RunPtr& owner = running_[key];  // may fail, so it comes before the submission
        const int64_t timeout_ns = some_ns(key->order.deadline);
        model_.check(library_.queue_submit(queue_.get(), key->call.get(), timeout_ns,
                                           reinterpret_cast<uintptr_t>(key), nullptr,
                                           error_of_thread()));
        owner = std::move(run);
      },
      &key->failure);
  if (!has_failed) {
    const int64_t before = metrics_->runs.fetch_add(1, std::memory_order_relaxed);
    if (before == model_.service().num_threads) note_progress();
    return;
  }
  running_.erase(key);
  key->has_failed = true;
  end(std::move(run));
}

int Runs::work() {
  if (running_.empty() && !has_event_) return -1;
  has_event_ = false;
  std::array<sidecall_completion, 64> over;
  int64_t count = 0;
  do {
    library_.queue_take(queue_.get(), 0, over.data(), sizeof over[0],
                        static_cast<int64_t>(over.size()), 0, &count, nullptr);
    for (size_t i = 0; i < static_cast<size_t>(count); ++i)
      finish(reinterpret_cast<Run*>(static_cast<uintptr_t>(over[i].tag)));
  } while (count != 0);
  int64_t look_ns = -1;
  // Fails if no descriptor is left; then this thread looks again after a millisecond.
  if (library_.queue_arm(queue_.get(), &look_ns, nullptr) != SIDECALL_OK) return 1;
  return look_ns < 0 ? -1 : 0;
}

void Runs::finish(Run* key) {
  const auto found = running_.find(key);
  RunPtr run = std::move(found->second);
  running_.erase(found);
  metrics_->runs.fetch_sub(1, std::memory_order_relaxed);
  note_progress();
  run->has_failed =
      fails([&] { model_.check(library_.call_error(key->call.get(), error_of_thread())); },
            &run->failure);
  answer(std::move(run));
}

void Runs::note_progress() noexcept {
  if (model_.service().is_local == 0) return;
  metrics_->progressed_ns.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
}

// Writes the response of a run that is over.
void Runs::answer(RunPtr run) {
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

// Responds, and gives the call back for the next run.
void Runs::end(RunPtr run) {
  Responder* const responder = run->responder;
  const bool has_failed = run->has_failed;
  Response response = std::move(run->response);
  const Order& order = run->order;
  // After a run that ended early, the engine may still be at work.
  const bool is_over = !has_failed || (run->failure.status != SIDECALL_TIMEOUT &&
                                       run->failure.status != SIDECALL_CANCELLED);
  const bool is_small = order.request_bytes <= kMaxKeptBytes &&
                        order.memory->bytes() <= kMaxKeptBytes &&
                        response.body.size() <= kMaxKeptBytes;
  if (is_over && is_small) library_.model_give_call(model_.service().model, run->call.release());
  else run->call.reset();
  if (responder == nullptr) return;
  try {
    if (has_failed) response = order.fail(run->failure);
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
    library_.call_cancel(run->call.get());
  }
}

}  // namespace sidecall::net
