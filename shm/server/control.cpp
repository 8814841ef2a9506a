// The loop of the control thread, and the start, drain and end of a server; see control.h.
#include "control.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <memory>
#include <utility>

#include "base/dtype.h"
#include "base/process/signals_blocked.h"
#include "base/process/spin_policy.h"
#include "shm/common/error.h"

namespace sidecall::shm {

namespace {

// How many first messages are answered before more connections are accepted.
constexpr int kMaxAnswers = 16;

// How long to wait before sending the load again, if the parent has not read earlier messages.
constexpr int64_t kLoadRetry = 20 * 1000 * 1000;

[[noreturn]] void refuse_argument(const std::string& text) {
  throw Error(SIDECALL_INVALID_ARGUMENT, text);
}

// Limits of what clients may request. Throws INVALID_ARGUMENT if the service or an option has an
// illegal value.
Limits check(const Service& service, const ServerOptions& options) {
  Limits limits;
  limits.max_slots = options.max_slots;
  // Rounded up to whole pages, like the sizes that parse_hello() grants.
  limits.max_request_bytes = align_up(options.max_request_bytes, kPage);
  limits.max_response_bytes = align_up(options.max_response_bytes, kPage);
  limits.least_request_bytes = table_bytes(service.inputs.size());
  limits.least_response_bytes =
      std::max<uint64_t>(table_bytes(service.outputs.size()), sizeof(ErrorRecord));
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
  return limits;
}

uint64_t memory_of_user(const ServerOptions& options) {
  if (options.max_memory_per_user > 0) return options.max_memory_per_user;
  const bool has_others = !options.allowed_uids.empty() || options.group >= 0;
  return has_others ? options.max_memory / 2 : options.max_memory;
}

}  // namespace

Control::Control(Service service, Handler* handler, ServerOptions options)
    : service_(std::move(service)),
      options_(std::move(options)),
      log_(options_.log),
      budget_(options_.max_memory, memory_of_user(options_)),
      context_{&service_, handler, &options_, &log_, &budget_},
      limits_(check(service_, options_)),
      started_ns_(now_ns()),
      introduction_(service_, limits_, options_.timeout_ns),
      engines_(options_.max_run_ns),
      refusals_(&log_),
      quotas_(options_.max_connections, options_.max_connections_per_user),
      connections_(&log_, &budget_, &poller_, &tasks_, &engines_, &quotas_),
      drafts_(&context_, &introduction_, &drain_, &tasks_, &quotas_, &refusals_, &connections_),
      supervisor_(&log_, &poller_, &budget_),
      hellos_(options_.max_connections_per_user, &refusals_),
      half_open_(options_, &log_, &poller_, &supervisor_, &refusals_, &hellos_),
      listeners_(&log_, &poller_, &refusals_),
      ended_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  usable_cpus();  // reads files, which a confined process cannot do later
  if (!ended_fd_) system_failure(SIDECALL_OUT_OF_MEMORY, "cannot create a server", errno);
  poller_.watch(tasks_.fd(), EPOLLIN, Source::kTasks, 0);
  engines_.start(options_.threads, this, options_.spin_us);
  const SignalsBlocked blocked;
  thread_ = std::thread(&Control::run, this);
}

// ---- Any thread ----

void Control::listen(std::string_view address, bool accepts) {
  auto listener =
      std::make_shared<Listener>(address, Access{options_.group, !options_.allowed_uids.empty()});
  if (drains(drain_, false)) throw Error(SIDECALL_UNREACHABLE, "the server has ended");
  tasks_.run([this, listener, accepts] {
    if (drains(drain_, false)) return;
    listeners_.add(std::move(*listener), accepts);
    is_ready_ = accepts;
  });
}

void Control::accept() {
  if (drains(drain_, false)) throw Error(SIDECALL_UNREACHABLE, "the server has ended");
  tasks_.run([this] {
    while (listeners_.watch_next()) is_ready_ = true;
    if (supervisor_.watch_held()) is_ready_ = true;
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
  tasks_.post([this, shared, is_direct] {
    if (!is_direct) is_ready_ = !drains(drain_, false);
    try {
      half_open_.add(next_id_++, std::move(*shared), is_direct);
    } catch (...) {
      supervisor_.send_load_again();  // it has counted this connection
      throw;
    }
  });
}

void Control::control(Fd fd, int64_t drain_ns, bool accepts) {
  // The descriptor was inherited. A program that a handler starts must not keep it open, or the
  // parent would not see the death of this process.
  fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  auto shared = std::make_shared<Socket>(std::move(fd));
  tasks_.run([this, shared, drain_ns, accepts] {
    if (is_draining()) return;
    supervisor_.set(std::move(*shared), drain_ns, accepts);
    is_ready_ = accepts;
  });
}

void Control::drain_others() noexcept {
  is_drain_of_others_wanted_ = true;
  tasks_.wake();
}

bool Control::drain(Deadline deadline) noexcept {
  std::unique_lock<std::mutex> lock(end_mutex_);
  wanted_drain_ = Deadline::earlier(wanted_drain_, deadline);
  is_drain_wanted_ = true;
  tasks_.wake();
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
  engines_.stop();
  is_stop_wanted_ = true;
  tasks_.wake();
  thread_.join();
  drafts_.close();
  connections_.close();
}

void Control::retire(ServerConnection* connection) noexcept { connections_.retire(connection); }

void Control::note_awake() noexcept {
  if (engines_.must_wake_control()) tasks_.wake();
}

void Control::note_one_shot() noexcept { connections_.note_one_shot(); }

// ---- The loop ----

void Control::run() {
  pthread_setname_np(pthread_self(), "sidecall-ctl");
  while (!is_stop_wanted_) {
    Poller::Event events[Poller::kMaxEvents];
    const int count = poller_.wait(events, wait_ms(now_ns()));
    engines_.note_woken();
    // Listeners are handled last: new connections may displace half-open ones, so first read the
    // HELLOs that have arrived.
    int ready_listeners[Poller::kMaxEvents], num_ready = 0;
    for (int i = 0; i < count; ++i) {
      const Poller::Event& event = events[i];
      if (event.source == Source::kListener) {
        ready_listeners[num_ready++] = static_cast<int>(event.number);
      } else {
        log_.run_logging_errors([&] { dispatch(event); });
      }
    }
    for (int i = 0; i < num_ready; ++i) {
      log_.run_logging_errors([&] {
        listeners_.accept_all(ready_listeners[i], [this](Socket socket) {
          half_open_.add(next_id_++, std::move(socket), false);
        });
      });
    }
    if (is_drain_of_others_wanted_.exchange(false)) begin_drain_of_others();
    if (is_drain_wanted_) begin_wanted_drain();
    answer_hellos(is_draining() ? INT_MAX : kMaxAnswers);
    const int64_t now = now_ns();
    half_open_.expire(now);
    listeners_.resume(now);
    log_.run_logging_errors([&] { tick(now); });
    drafts_.finish_large();
    connections_.reap_retired();
    log_.run_logging_errors([&] { drafts_.retry(now); });
    connections_.reclaim_one_shots(now);
    supervisor_.send_load(load());
    if (now >= log_.report_due_ns()) log_.report();
    check_drain(now);
  }
  // close() stops the engine threads first. They may have retired connections since the last round.
  connections_.reap_retired();
  // Run the remaining tasks, because threads may wait for them in TaskQueue::run().
  for (auto tasks = tasks_.take_last(); !tasks.empty(); tasks = tasks_.take_last()) {
    for (const auto& task : tasks) log_.run_logging_errors(task);
  }
}

void Control::dispatch(const Poller::Event& event) {
  switch (event.source) {
    case Source::kTasks:
      for (const auto& task : tasks_.take()) log_.run_logging_errors(task);
      return;
    case Source::kSupervisor:
      return read_supervisor();
    case Source::kHalfOpen:
      return static_cast<void>(half_open_.read(event.number));
    case Source::kConnection:
      return connections_.handle_death(event.number);
    case Source::kListener:
      break;
  }
}

int Control::wait_ms(int64_t now) {
  if (!hellos_.is_empty()) return 0;
  int64_t until = log_.report_due_ns();
  if (engines_.is_active()) until = std::max(engines_.next_tick_ns(), now);
  until = std::min(until, half_open_.deadline_ns());
  until = std::min(until, listeners_.paused_until_ns());
  if (supervisor_.must_send(load())) until = std::min(until, now + kLoadRetry);
  until = std::min(until, std::max(drafts_.retry_due_ns(), now));
  until = std::min(until, std::max(connections_.reclaim_due_ns(), now));
  if (is_draining() && !engines_.is_cut_off() && quotas_.num_connections() > 0)
    until = std::min(until, drain_deadline_.at_ns());
  if (until == INT64_MAX) return -1;
  return static_cast<int>(std::clamp<int64_t>((until - now + 999999) / 1000000, 0, 60000));
}

void Control::tick(int64_t now) {
  Activity& activity = budget_.activity();
  if (!engines_.tick(now, &activity)) return;
  const bool is_long = activity.is_busy(now, options_.unready_after_ns / 2);
  activity.num_waiting.store(is_long ? connections_.count_queued() : 0, std::memory_order_relaxed);
}

// ---- HELLO and the control socket ----

void Control::answer_hellos(int most) {
  for (int i = 0; i < most && !hellos_.is_empty(); ++i) {
    HelloQueue::Arrived arrived = hellos_.take();
    log_.run_logging_errors([&] { answer(std::move(arrived)); });
    supervisor_.send_load_again();  // it has counted this connection, even if it is refused
  }
}

void Control::answer(HelloQueue::Arrived arrived) {
  Accepted& accepted = arrived.accepted;
  Grant grant;
  try {
    grant = parse_hello(arrived.hello.data(), arrived.hello.size(), limits_);
    if (grant.kind == kStatus) return send_status(&accepted.socket);
    if (drains(drain_, accepted.is_direct))
      throw Error(SIDECALL_UNREACHABLE, "the server is shutting down");
    if (grant.kind == kOpen) return introduction_.send_manifest(&accepted.socket);
    quotas_.check(accepted.peer);
  } catch (const Error& error) {
    return refusals_.refuse(std::move(accepted), error.status, error.message);
  }
  drafts_.add(next_id_++, std::move(accepted), grant);
}

void Control::send_status(Socket* socket) {
  const std::string json = status_answer(status(), options_);
  const Fd file = make_sealed_file(json);
  FileMessage message{};
  std::memcpy(message.magic, kMagic, sizeof(kMagic));
  message.version = kVersion;
  message.kind = kStatusAnswer;
  message.first = json.size();
  const int fd = file.get();
  socket->send(&message, sizeof(message), &fd, 1);
}

void Control::read_supervisor() {
  SupervisorLink::Message message = supervisor_.read();
  switch (message.kind) {
    case SupervisorLink::Message::kNone:
      return;
    case SupervisorLink::Message::kHungUp:
      return begin_drain(Deadline::after(supervisor_.drain_ns()));
    case SupervisorLink::Message::kConnection:
      break;
  }
  try {
    attach(std::move(message.connection), false);
  } catch (...) {
    supervisor_.send_load_again();  // it has counted this connection
    throw;
  }
}

// ---- Status ----

std::string Control::status() const { return count().json(); }

bool Control::is_stalled() const noexcept {
  const Activity& activity = budget_.activity();
  return activity.is_busy(now_ns(), options_.unready_after_ns) &&
         activity.num_waiting.load(std::memory_order_relaxed) > 0;
}

Status Control::count() const {
  Status status;
  status.name = service_.name;
  status.version = service_.version;
  status.model_id = service_.model_id;
  status.instance = introduction_.instance();
  status.process = getpid();
  status.uptime_ns = now_ns() - started_ns_;
  status.is_ready = is_ready_ && !is_stalled();
  status.is_draining = drains(drain_, false);
  status.is_verified = service_.is_verified;
  status.half_open = half_open_.count() + hellos_.count();
  status.accepted = half_open_.num_accepted();
  status.refused = refusals_.count();
  status.log_suppressed = log_.num_suppressed();
  status.log_dropped = log_.num_dropped();
  status.violations = half_open_.num_violations();
  status.memory_limit_bytes = options_.max_memory;
  engines_.add_to(&status);
  connections_.add_to(&status);
  return status;
}

// ---- The end ----

void Control::begin_drain_of_others() noexcept {
  is_ready_ = false;
  if (!is_draining()) drain_ = Drain::kOthers;
  stop_accepting();
  engines_.drain(Drain::kOthers);
}

void Control::begin_wanted_drain() {
  const std::lock_guard<std::mutex> lock(end_mutex_);
  is_drain_wanted_ = false;
  begin_drain(wanted_drain_);
}

void Control::begin_drain(Deadline deadline) noexcept {
  drain_deadline_ = Deadline::earlier(drain_deadline_, deadline);
  if (is_draining()) return;
  is_ready_ = false;
  drain_ = Drain::kAll;
  log_.log(LogLevel::kInfo, "server.draining",
           [&](Facts& facts) { facts.number("connections", uint64_t{connections_.count()}); });
  stop_accepting();
  engines_.drain(Drain::kAll);
}

void Control::stop_accepting() noexcept {
  listeners_.close();
  supervisor_.close();
}

void Control::check_drain(int64_t now) {
  if (!is_draining()) return;
  if (quotas_.num_connections() == 0) return end(true);
  if (now < drain_deadline_.at_ns()) return;
  engines_.cut_off();
  end(false);
}

void Control::end(bool all_answered) {
  answer_hellos(INT_MAX);
  half_open_.close();
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
