// Executes runs; see runs.h.
#include "runs.h"

#include <sidecall/sidecall.h>
#include <sys/epoll.h>

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

#include "net/common/error.h"

namespace sidecall::net {
namespace {

// A run that is expected to take no longer happens on the thread of the connection, because
// starting it on another thread and waiting for it costs about 20 us.
constexpr int64_t kShortNs = 200000;
// Further runs of one thread are refused with BUSY.
constexpr size_t kMaxRunning = 256;
constexpr size_t kMaxIdle = 64;
constexpr size_t kMaxIdleBytes = size_t{1024} * 1024;

int64_t left_ns(Clock::time_point deadline) {
  return std::max<int64_t>((deadline - Clock::now()).count(), 0);
}

// Runs `body`, and returns whether it failed.
template <typename Body>
bool fails(Body body, Failure* failure) noexcept {
  try {
    body();
    return false;
  } catch (const Error& error) {
    *failure = {error.status(), error.what(), error.faults()};
  } catch (const std::bad_alloc&) {
    *failure = {SIDECALL_OUT_OF_MEMORY, "out of memory", ""};
  } catch (const std::exception& error) {
    *failure = {SIDECALL_INTERNAL, error.what(), ""};
  }
  return true;
}

}  // namespace

void check_call(const sidecall_net_service& service, sidecall_service_call* call, int32_t status,
                const sidecall_net_error& error) {
  if (status != SIDECALL_OK) throw Error(status, error.message, service.faults_of(call));
}

// A call with the run that it does at the moment.
class Runs::Run final : public Watched {
 public:
  Run(Runs* runs, Call given) : call(std::move(given)), runs_(runs) {}
  void on_events(uint32_t) override { runs_->finish(this); }

  Call call;
  bool is_watched = false;  // its descriptor
  Responder* responder = nullptr;
  Order order;
  Clock::time_point begun;

 private:
  Runs* const runs_;
};

Runs::Runs(const sidecall_net_service& service, size_t max_fault_bytes, Poller* poller,
           Metrics* metrics)
    : service_(service), max_fault_bytes_(max_fault_bytes), poller_(poller), metrics_(metrics) {}

Runs::~Runs() {
  for (const auto& [run, owner] : running_) service_.cancel(run->call.get());
}

int64_t& Runs::estimate(size_t request_bytes) noexcept {
  size_t bits = 0;
  for (; request_bytes != 0; request_bytes >>= 1) ++bits;
  return estimates_ns_[bits];
}

std::unique_ptr<Runs::Run> Runs::take_idle() {
  if (!idle_.empty()) {
    std::unique_ptr<Run> run = std::move(idle_.back());
    idle_.pop_back();
    return run;
  }
  sidecall_service_call* call = nullptr;
  sidecall_net_error error{};
  if (service_.open_call(service_.context, max_fault_bytes_, &call, &error) != SIDECALL_OK)
    throw Error(error.status, error.message);
  return std::make_unique<Run>(this, Call(call, FreeCall{service_.close_call}));
}

void Runs::begin(Responder* responder, Order order) {
  Failure failure{};
  std::unique_ptr<Run> run;
  bool is_started = false;
  const bool has_failed = fails(
      [&] {
        if (running_.size() >= kMaxRunning)
          throw Error(SIDECALL_BUSY, "server: expected at most " + std::to_string(kMaxRunning) +
                                         " runs of one thread, got more");
        run = take_idle();
        run->order = std::move(order);
        run->begun = Clock::now();
        sidecall_service_call* const call = run->call.get();
        run->order.give(call);
        const int64_t expected = estimate(run->order.request_bytes);
        const int64_t left = left_ns(run->order.deadline);
        if (left == 0)
          throw Error(SIDECALL_TIMEOUT, "run: the deadline passed before the model was called");
        sidecall_net_error error{};
        if (service_.is_local != 0 && expected > 0 && expected <= kShortNs) {
          check_call(service_, call, service_.run(call, left, &error), error);
          return;
        }
        if (!run->is_watched) {
          const int fd = service_.fd(call);
          if (fd < 0) throw Error(SIDECALL_OUT_OF_MEMORY, "server: no descriptors are left");
          poller_->add(fd, EPOLLIN, run.get());
          run->is_watched = true;
        }
        Run* const key = run.get();
        std::unique_ptr<Run>& owner = running_[key];  // may fail, so it comes before the start
        const int32_t status = service_.start(call, left, &error);
        if (status != SIDECALL_OK) running_.erase(key);
        check_call(service_, call, status, error);
        run->responder = responder;
        owner = std::move(run);
        is_started = true;
      },
      &failure);
  if (is_started) {
    metrics_->runs.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  if (run == nullptr) {
    responder->respond(order.fail(failure));
    return;
  }
  run->responder = responder;
  end(std::move(run), has_failed ? &failure : nullptr);
}

void Runs::finish(Run* run) {
  const auto found = running_.find(run);
  if (found == running_.end()) return;
  int32_t is_over = 0;
  Failure failure{};
  const bool has_failed = fails(
      [&] {
        sidecall_net_error error{};
        sidecall_service_call* const call = run->call.get();
        check_call(service_, call, service_.finish(call, &is_over, &error), error);
      },
      &failure);
  if (is_over == 0 && !has_failed) return;
  std::unique_ptr<Run> owner = std::move(found->second);
  running_.erase(found);
  metrics_->runs.fetch_sub(1, std::memory_order_relaxed);
  end(std::move(owner), has_failed ? &failure : nullptr);
}

// Responds, and keeps the call for the next run. After a run that ended early, the engine may still
// be at work, so such a call is closed.
void Runs::end(std::unique_ptr<Run> run, const Failure* failure) {
  Responder* const responder = std::exchange(run->responder, nullptr);
  const Order order = std::move(run->order);
  run->order = {};
  const bool is_reusable = failure == nullptr || (failure->status != SIDECALL_TIMEOUT &&
                                                  failure->status != SIDECALL_CANCELLED);
  // A run that failed quickly tells nothing. The estimate rises at once and falls slowly, so that a
  // long run makes the next ones of its size leave this thread.
  int64_t& known = estimate(order.request_bytes);
  const int64_t took = std::max<int64_t>((Clock::now() - run->begun).count(), 1);
  if (took > known && (failure == nullptr || known != 0)) known = took;
  else if (failure == nullptr) known -= (known - took) / 8;
  Response response;
  if (responder != nullptr) {
    Failure unanswered{};
    const bool has_failed =
        failure == nullptr && fails([&] { response = order.answer(run->call.get()); }, &unanswered);
    if (failure != nullptr || has_failed)
      response = order.fail(failure != nullptr ? *failure : unanswered);
  }
  // A call keeps the memory of its largest run.
  const bool is_small =
      order.request_bytes <= kMaxIdleBytes && response.body.size() <= kMaxIdleBytes;
  if (is_reusable && is_small && idle_.size() < kMaxIdle) {
    idle_.push_back(std::move(run));
  } else {
    // The engine may keep the call, and with it the descriptor.
    if (run->is_watched) poller_->remove(service_.fd(run->call.get()));
    poller_->retire(std::move(run));
  }
  if (responder != nullptr) responder->respond(std::move(response));
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
