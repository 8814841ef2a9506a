// The loop of the control thread, and the start, drain and end of a server; see control.h.
#include "control.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "base/dtype.h"
#include "base/process/signals_blocked.h"
#include "base/process/spin_policy.h"
#include "shm/common/error.h"

namespace sidecall::shm {

namespace {

// Interval of ticks while engine threads are busy. It bounds how late a handler learns that its
// client no longer waits.
constexpr int64_t kTick = 5 * 1000 * 1000;

// How many first messages are answered before more connections are accepted.
constexpr int kMaxAnswers = 16;

// After this many ticks without a call the control thread sleeps until an engine thread wakes up.
constexpr int kQuietTicks = 20;

// How long to wait before sending the load again, if the parent has not read earlier messages.
constexpr int64_t kLoadRetry = 20 * 1000 * 1000;

constexpr unsigned kSourceShift = 56;

[[noreturn]] void refuse_argument(const std::string& text) {
  throw Error(SIDECALL_INVALID_ARGUMENT, text);
}

void check(const Service& service, const ServerOptions& options, const Limits& limits) {
  if (!service.model_id.empty() && service.model_id.size() != sizeof(Welcome::model_id)) {
    refuse_argument("model id: expected 64 hexadecimal digits or none, got " +
                    std::to_string(service.model_id.size()));
  }
  for (const auto* specs : {&service.inputs, &service.outputs}) {
    for (const TensorSpec& spec : *specs) {
      if (!is_dtype(spec.dtype) || spec.dims.size() > kMaxRank)
        refuse_argument("tensor '" + spec.name +
                        "': expected an ONNX element type and at most 16 dimensions");
    }
  }
  if (sizeof(uint64_t) * 2 + service.signature.size() + service.contract.size() > kMaxManifest) {
    refuse_argument("signature and contract: expected at most " + std::to_string(kMaxManifest) +
                    " bytes together, got more");
  }
  if (options.threads < 1 || options.threads > 1024)
    refuse_argument("num_threads: expected 1 to 1024, got " + std::to_string(options.threads));
  if (options.max_slots < 1 || options.max_slots > kMaxSlots) {
    refuse_argument("max_slots: expected 1 to " + std::to_string(kMaxSlots) + ", got " +
                    std::to_string(options.max_slots));
  }
  constexpr uint64_t kMost = UINT64_C(1) << 46;  // prevents overflow in sums of sizes
  const struct {
    const char* name;
    uint64_t bytes, least;
  } sizes[] = {{"max_request_bytes", options.max_request_bytes, limits.least_request_bytes},
               {"max_response_bytes", options.max_response_bytes, limits.least_response_bytes},
               {"max_one_shot", options.max_one_shot, 0}};
  for (const auto& size : sizes) {
    if (size.bytes < size.least || size.bytes > kMost)
      refuse_argument(std::string(size.name) + ": expected " + std::to_string(size.least) + " to " +
                      std::to_string(kMost) + " bytes, got " + std::to_string(size.bytes));
  }
}

uint64_t memory_of_user(const ServerOptions& options) {
  if (options.max_memory_per_user > 0) return options.max_memory_per_user;
  const bool has_others = !options.allowed_uids.empty() || options.group >= 0;
  return has_others ? options.max_memory / 2 : options.max_memory;
}

Limits limits_of(const Service& service, const ServerOptions& options) {
  Limits limits;
  limits.max_slots = options.max_slots;
  // Rounded up to whole pages, like the sizes that parse_hello() grants.
  limits.max_request_bytes = align_up(options.max_request_bytes, kPage);
  limits.max_response_bytes = align_up(options.max_response_bytes, kPage);
  limits.least_request_bytes = table_bytes(service.inputs.size());
  limits.least_response_bytes =
      std::max<uint64_t>(table_bytes(service.outputs.size()), sizeof(ErrorRecord));
  return limits;
}

Fd make_manifest(const Service& service) {
  const uint64_t sizes[2] = {service.signature.size(), service.contract.size()};
  return make_sealed_file({reinterpret_cast<const char*>(sizes), sizeof(sizes)}, service.signature,
                          service.contract);
}

Welcome make_welcome(const Service& service, const Limits& limits, uint64_t instance,
                     int64_t timeout_ns, bool has_pidfd) {
  Welcome welcome{};
  std::memcpy(welcome.magic, kMagic, sizeof(kMagic));
  welcome.version = kVersion;
  welcome.kind = kWelcome;
  welcome.flags = (service.contract.empty() ? 0u : kHasContract) |
                  (service.is_verified ? kVerified : 0u) | (has_pidfd ? kHasPidfd : 0u);
  welcome.max_request_bytes = limits.max_request_bytes;
  welcome.max_response_bytes = limits.max_response_bytes;
  std::memcpy(welcome.signature_digest, service.signature_digest.data(),
              service.signature_digest.size());
  std::memcpy(welcome.model_id, service.model_id.data(), service.model_id.size());
  welcome.instance = instance;
  welcome.process = static_cast<uint32_t>(getpid());
  welcome.timeout_ns = static_cast<uint64_t>(timeout_ns);
  return welcome;
}

}  // namespace

Control::Control(Service service, Handler* handler, ServerOptions options)
    : service_(std::move(service)),
      options_(std::move(options)),
      log_(options_.log),
      budget_(options_.max_memory, memory_of_user(options_)),
      context_{&service_, handler, &options_, &log_, &budget_},
      admission_(options_.allowed_uids, options_.group),
      limits_(limits_of(service_, options_)),
      started_ns_(now_ns()),
      own_pidfd_(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0))),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      alarm_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      ended_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  check(service_, options_, limits_);
  usable_cpus();  // reads files, which a confined process cannot do later
  if (!epoll_ || !alarm_ || !ended_fd_)
    system_failure(SIDECALL_OUT_OF_MEMORY, "cannot create a server", errno);
  if (getrandom(&instance_, sizeof(instance_), 0) != static_cast<ssize_t>(sizeof(instance_)))
    instance_ = static_cast<uint64_t>(now_ns());
  manifest_ = make_manifest(service_);
  welcome_ = make_welcome(service_, limits_, instance_, options_.timeout_ns,
                          static_cast<bool>(own_pidfd_));
  watch(alarm_.get(), EPOLLIN, Source::kAlarm, 0);
  for (uint32_t i = 0; i < options_.threads; ++i)
    engines_.push_back(std::make_unique<EngineThread>(this, options_.spin_us));
  const SignalsBlocked blocked;
  for (const auto& engine : engines_) engine->start();
  thread_ = std::thread(&Control::run, this);
}

// ---- Any thread ----

void Control::listen(std::string_view address, bool accepts) {
  auto listener =
      std::make_shared<Listener>(address, Access{options_.group, !options_.allowed_uids.empty()});
  if (is_drained(false)) throw Error(SIDECALL_UNREACHABLE, "the server has ended");
  run_here([this, listener, accepts] {
    if (is_drained(false)) return;
    const int fd = listener->fd();
    listeners_.reserve(listeners_.size() + 1);
    if (accepts) watch(fd, EPOLLIN, Source::kListener, static_cast<uint64_t>(fd));
    else held_listeners_.push_back(fd);
    log_.log(LogLevel::kInfo, "server.listening",
             [&](Facts& facts) { facts.text("path", listener->path()); });
    listeners_.push_back(std::move(*listener));
    is_ready_ = accepts;
  });
}

void Control::accept() {
  if (is_drained(false)) throw Error(SIDECALL_UNREACHABLE, "the server has ended");
  run_here([this] {
    for (; !held_listeners_.empty(); held_listeners_.pop_back()) {
      const int fd = held_listeners_.back();
      watch(fd, EPOLLIN, Source::kListener, static_cast<uint64_t>(fd));
      is_ready_ = true;
    }
    if (!held_control_) return;
    watch(held_control_.fd(), EPOLLIN | EPOLLRDHUP, Source::kControl, 0);
    control_ = std::move(held_control_);
    is_ready_ = true;
  });
}

void Control::attach(Fd fd, bool is_direct) {
  int domain = 0, type = 0;
  socklen_t size = sizeof(domain);
  if (getsockopt(fd.get(), SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 ||
      getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0 || domain != AF_UNIX ||
      type != SOCK_SEQPACKET) {
    refuse_argument("expected a connected SEQPACKET socket, got another descriptor");
  }
  auto shared = std::make_shared<Socket>(std::move(fd));
  post([this, shared, is_direct] {
    if (!is_direct) is_ready_ = !is_drained(false);
    try {
      admit_socket(std::move(*shared), is_direct);
    } catch (...) {
      sent_load_ = UINT64_MAX;  // the parent has counted this connection
      throw;
    }
  });
}

void Control::control(Fd fd, int64_t drain_ns, bool accepts) {
  // The descriptor was inherited. A program that a handler starts must not keep it open, or the
  // parent would not see the death of this process.
  fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  auto shared = std::make_shared<Socket>(std::move(fd));
  run_here([this, shared, drain_ns, accepts] {
    if (is_draining_) return;
    if (accepts) watch(shared->fd(), EPOLLIN | EPOLLRDHUP, Source::kControl, 0);
    (accepts ? control_ : held_control_) = std::move(*shared);
    control_drain_ns_ = drain_ns;
    is_ready_ = accepts;
  });
}

std::string Control::status() const { return count().json(); }

void Control::drain_others() noexcept {
  is_drain_of_others_wanted_ = true;
  wake();
}

bool Control::drain(Deadline deadline) noexcept {
  std::unique_lock<std::mutex> lock(end_mutex_);
  wanted_drain_ = Deadline::earlier(wanted_drain_, deadline);
  is_drain_wanted_ = true;
  wake();
  ended_.wait(lock, [&] { return has_ended_; });
  return all_answered_;
}

void Control::close() noexcept {
  {
    const std::lock_guard<std::mutex> lock(end_mutex_);
    if (std::exchange(is_closed_, true)) return;
  }
  if (!thread_.joinable()) return;
  drain(Deadline::after(0));
  for (const auto& engine : engines_) engine->stop();
  is_stop_wanted_ = true;
  wake();
  thread_.join();
  making_.finish();
  freeing_.finish();
  registry_.clear();
}

void Control::note_awake() noexcept {
  // Partner: is_active() stores the flag, then loads is_awake() of the engine threads.
  if (is_deeply_asleep_.load(std::memory_order_seq_cst)) wake();
}

void Control::note_one_shot() noexcept {
  if (!has_one_shots_.exchange(true, std::memory_order_seq_cst)) wake();
}

// Runs a task on the control thread and waits for it. Throws what the task throws.
void Control::run_here(const std::function<void()>& task) {
  std::exception_ptr failure;
  std::mutex mutex;
  std::condition_variable done;
  bool is_done = false;
  post([&] {
    try {
      task();
    } catch (...) {
      failure = std::current_exception();
    }
    const std::lock_guard<std::mutex> lock(mutex);
    is_done = true;
    done.notify_all();
  });
  std::unique_lock<std::mutex> lock(mutex);
  done.wait(lock, [&] { return is_done; });
  if (failure) std::rethrow_exception(failure);
}

void Control::post(std::function<void()> task) {
  {
    const std::lock_guard<std::mutex> lock(tasks_mutex_);
    if (is_over_) throw Error(SIDECALL_UNREACHABLE, "the server has ended");
    tasks_.push_back(std::move(task));
  }
  wake();
}

void Control::wake() noexcept {
  const uint64_t one = 1;
  // The write fails only if the counter is full, and then the event is already readable.
  [[maybe_unused]] const ssize_t written = write(alarm_.get(), &one, sizeof(one));
}

// ---- The loop ----

void Control::watch(int fd, uint32_t events, Source source, uint64_t number) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = static_cast<uint64_t>(source) << kSourceShift | number;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
    system_failure(SIDECALL_OUT_OF_MEMORY, "cannot watch a socket", errno);
}

void Control::unwatch(int fd) noexcept {
  if (fd >= 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void Control::run() {
  pthread_setname_np(pthread_self(), "sidecall-ctl");
  spare_.reset(eventfd(0, EFD_CLOEXEC));
  while (!is_stop_wanted_) {
    constexpr int kMaxEvents = 64;
    epoll_event events[kMaxEvents];
    const int count = epoll_wait(epoll_.get(), events, kMaxEvents, wait_ms(now_ns()));
    is_deeply_asleep_.store(false, std::memory_order_relaxed);
    // Listeners are handled last: new connections may displace half-open ones, so first read the
    // HELLOs that have arrived.
    int ready_listeners[kMaxEvents], num_ready = 0;
    for (int i = 0; i < count; ++i) {
      const uint64_t number = events[i].data.u64 & ((UINT64_C(1) << kSourceShift) - 1);
      const auto source = static_cast<Source>(events[i].data.u64 >> kSourceShift);
      if (source == Source::kListener) {
        ready_listeners[num_ready++] = static_cast<int>(number);
      } else {
        run_logging_errors([&] { dispatch(source, number); });
      }
    }
    for (int i = 0; i < num_ready; ++i) run_logging_errors([&] { accept_all(ready_listeners[i]); });
    if (is_drain_of_others_wanted_.exchange(false)) {
      is_ready_ = false;
      are_others_draining_ = true;
      stop_accepting();
      for (const auto& engine : engines_) engine->drain(Drain::kOthers);
    }
    if (is_drain_wanted_) begin_wanted_drain();
    answer_arrived(is_draining_ ? INT_MAX : kMaxAnswers);
    const int64_t now = now_ns();
    expire_half_open(now);
    if (is_paused_ && now >= paused_until_ns_) pause_listeners(false);
    run_logging_errors([&] { tick(now); });
    finish_large();
    reap_retired();
    run_logging_errors([&] { await_memory(now); });
    reclaim_one_shots(now);
    send_load();
    if (now >= log_.report_due_ns()) log_.report();
    check_drain(now);
  }
  // close() stops the engine threads first. They may have retired connections since the last round.
  reap_retired();
  end_tasks();
}

void Control::dispatch(Source source, uint64_t number) {
  switch (source) {
    case Source::kAlarm:
      return work_tasks();
    case Source::kControl:
      return read_control();
    case Source::kHalfOpen:
      return static_cast<void>(read_hello(number));
    case Source::kConnection:
      return handle_death(number);
    case Source::kListener:
      break;
  }
}

int Control::wait_ms(int64_t now) {
  if (!arrived_.empty()) return 0;
  int64_t until = log_.report_due_ns();
  if (is_active()) until = std::max(next_tick_ns_, now);
  if (!half_open_.empty()) until = std::min(until, half_open_.begin()->second.deadline_ns);
  if (is_paused_) until = std::min(until, paused_until_ns_);
  if (control_ && sent_load_ != load()) until = std::min(until, now + kLoadRetry);
  if (!short_of_memory_.empty()) until = std::min(until, std::max(next_memory_check_ns_, now));
  if (has_one_shots_) until = std::min(until, std::max(next_reclaim_ns_, now));
  if (is_draining_ && !is_cut_off_ && num_connections_ > 0)
    until = std::min(until, drain_deadline_.at_ns());
  if (until == INT64_MAX) return -1;
  return static_cast<int>(std::clamp<int64_t>((until - now + 999999) / 1000000, 0, 60000));
}

// Whether engine threads have work, so that ticks are due. Announces sleep, then looks at the
// threads. Partner: an engine thread stores that it is awake, then note_awake() loads the flag.
bool Control::is_active() noexcept {
  if (quiet_ticks_ < kQuietTicks) return true;
  is_deeply_asleep_.store(true, std::memory_order_seq_cst);
  if (std::none_of(engines_.begin(), engines_.end(),
                   [](const auto& engine) { return engine->is_awake(); }))
    return false;
  is_deeply_asleep_.store(false, std::memory_order_relaxed);
  return true;
}

void Control::tick(int64_t now) {
  if (now < next_tick_ns_) return;
  next_tick_ns_ = now + kTick;
  uint64_t calls = 0;
  bool is_quiet = true, are_all_busy = true;
  int64_t oldest = 0, youngest = 0, overran = 0;
  for (const auto& engine : engines_) {
    bool has_overrun = false;
    const int64_t began =
        engine->tick(now, is_draining_ ? INT64_MAX : options_.max_run_ns, &has_overrun);
    if (is_draining_ && is_cut_off_) engine->cut_off();
    calls += engine->counters().calls.value();
    is_quiet = is_quiet && !engine->is_awake();
    are_all_busy = are_all_busy && began != 0;
    if (began != 0 && (oldest == 0 || began < oldest)) oldest = began;
    youngest = std::max(youngest, began);
    // The supervisor compares it with the oldest run, so the oldest one counts here too.
    if (has_overrun && began != 0 && (overran == 0 || began < overran)) overran = began;
  }
  Activity& activity = budget_.activity();
  activity.oldest_ns.store(oldest, std::memory_order_relaxed);
  activity.overran_ns.store(overran, std::memory_order_relaxed);
  activity.busy_since_ns.store(are_all_busy ? youngest : 0, std::memory_order_relaxed);
  const bool is_long = activity.is_busy(now, options_.unready_after_ns / 2);
  activity.num_waiting.store(is_long ? count_queued() : 0, std::memory_order_relaxed);
  quiet_ticks_ = is_quiet && calls == calls_at_tick_ ? std::min(quiet_ticks_ + 1, kQuietTicks) : 0;
  calls_at_tick_ = calls;
}

// Called by the control thread, the only one that changes the registry.
uint64_t Control::count_queued() const noexcept {
  uint64_t queued = 0;
  for (const auto& entry : registry_) queued += entry.second.connection->count_queued();
  return queued;
}

bool Control::is_stalled() const noexcept {
  const Activity& activity = budget_.activity();
  return activity.is_busy(now_ns(), options_.unready_after_ns) &&
         activity.num_waiting.load(std::memory_order_relaxed) > 0;
}

void Control::work_tasks() {
  uint64_t raised = 0;
  [[maybe_unused]] const ssize_t got = read(alarm_.get(), &raised, sizeof(raised));
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard<std::mutex> lock(tasks_mutex_);
    tasks.swap(tasks_);
  }
  for (const auto& task : tasks) run_logging_errors(task);
}

// Runs the remaining tasks, because threads may wait for them in run_here(). Afterwards post()
// refuses tasks.
void Control::end_tasks() {
  for (;;) {
    std::vector<std::function<void()>> tasks;
    {
      const std::lock_guard<std::mutex> lock(tasks_mutex_);
      is_over_ = tasks_.empty();
      if (is_over_) return;
      tasks.swap(tasks_);
    }
    for (const auto& task : tasks) run_logging_errors(task);
  }
}

// ---- The end ----

void Control::begin_wanted_drain() {
  const std::lock_guard<std::mutex> lock(end_mutex_);
  is_drain_wanted_ = false;
  begin_drain(wanted_drain_);
}

void Control::begin_drain(Deadline deadline) noexcept {
  drain_deadline_ = Deadline::earlier(drain_deadline_, deadline);
  if (is_draining_) return;
  is_ready_ = false;
  is_draining_ = true;
  log_.log(LogLevel::kInfo, "server.draining",
           [&](Facts& facts) { facts.number("connections", uint64_t{registry_.size()}); });
  stop_accepting();
  for (const auto& engine : engines_) engine->drain(Drain::kAll);
}

void Control::stop_accepting() noexcept {
  for (const Listener& listener : listeners_) unwatch(listener.fd());
  listeners_.clear();
  held_listeners_.clear();
  held_control_.close();
  if (control_) unwatch(control_.fd());
  control_.close();
}

void Control::check_drain(int64_t now) {
  if (!is_draining_) return;
  if (num_connections_ == 0) return end(true);
  if (now < drain_deadline_.at_ns()) return;
  is_cut_off_ = true;
  for (const auto& engine : engines_) engine->cut_off();
  quiet_ticks_ = 0;  // keeps the ticks running until the last handler has returned
  end(false);
}

void Control::end(bool all_answered) {
  answer_arrived(INT_MAX);
  half_open_.clear();
  num_half_open_ = 0;
  {
    const std::lock_guard<std::mutex> lock(end_mutex_);
    if (has_ended_) return;
    // Write the event before a waiting drain() returns, so that the descriptor is readable by then.
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(ended_fd_.get(), &one, sizeof(one));
    has_ended_ = true;
    all_answered_ = all_answered;
    ended_.notify_all();
  }
  log_.report();
  log_.log(all_answered ? LogLevel::kInfo : LogLevel::kWarning, "server.ended",
           [&](Facts& facts) { facts.boolean("all_answered", all_answered); });
}

}  // namespace sidecall::shm
