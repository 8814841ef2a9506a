// The functions of a supervisor, the handling of its workers, and its two threads; see
// supervisor.h.
#include "supervisor.h"

#include <linux/sockios.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <tuple>
#include <utility>

#include "base/process/signals_blocked.h"
#include "impl.h"

namespace sidecall::shm {
namespace {

constexpr int kRetryMs = 5;  // while control sockets are full or descriptors are exhausted
constexpr int64_t kAnswerNs = INT64_C(1000) * 1000 * 1000;
constexpr int64_t kRowsNs = INT64_C(1000) * 1000 * 1000;  // until a worker is made ready again
// How many bytes a worker may leave unread in its control socket before it gets no more
// connections, as the kernel counts them: about ten messages.
constexpr int kMaxUnread = 8192;

// Whether a worker has not yet taken the connections that it was given. If so, further connections
// wait in the supervisor, where users take turns; in the control socket they would wait in the
// order of their arrival. The limit also leaves room in the socket for a request for the status.
bool has_backlog(const Socket& control) {
  int unread = 0;
  return ::ioctl(control.fd(), SIOCOUTQ, &unread) == 0 && unread > kMaxUnread;
}

}  // namespace

Supervisor::Impl::Impl(std::optional<std::string> address, ServerOptions options)
    : address_(std::move(address)),
      options_(std::move(options)),
      admission_(options_.allowed_uids, options_.group),
      log_(options_.log),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!epoll_ || !wake_)
    system_failure(SIDECALL_OUT_OF_MEMORY, "cannot create a supervisor", errno);
  require_free_address();
  watch(wake_.get(), kWake);
  const SignalsBlocked blocked;
  control_thread_ = std::thread([this] { control(); });
  try {
    answer_thread_ = std::thread([this] { answer(); });
  } catch (...) {
    end_threads();
    throw;
  }
}

void Supervisor::Impl::require_free_address() const {
  if (!address_) return;
  bool is_default = false;
  int error = 0;
  const std::string path = socket_path(*address_, &is_default);
  if (connect_to(path, &error) || error == EAGAIN)
    throw Error(SIDECALL_BUSY, "cannot listen at '" + path + "': another server is there");
}

Supervisor::Impl::~Impl() {
  end_threads();
  listener_.close();
  refuse_unassigned();
  for (Waiting& waiting : waiting_)
    refuse(Socket(std::move(waiting.fd)), SIDECALL_UNREACHABLE, "the server is shutting down");
  refuse_all(status_requests_);
  log_.report();
  log_.log(LogLevel::kInfo, "supervisor.closed", [](Facts&) {});
}

Fd Supervisor::Impl::add(int32_t number) {
  Socket ours, theirs;
  Socket::pair(&ours, &theirs);
  const std::lock_guard lock(mutex_);
  if (workers_.count(number) != 0)
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "worker: expected an unused number, got one that is in use");
  watch(ours.fd(), kWorker + static_cast<uint32_t>(number));
  workers_[number].control = std::move(ours);
  return theirs.take();
}

// Tells a worker that is ready, before it gets its first connection, where to count the memory of
// its clients. Without this message the worker applies the limit to its own clients alone.
void Supervisor::Impl::send_memory_row(Worker* worker) {
  const MemoryRows::Row row = memory_.assign();
  worker->row = row.number;
  unsigned char message[1 + sizeof row.number] = {kMemory};
  std::memcpy(message + 1, &row.number, sizeof row.number);
  const int fds[] = {memory_.file(), row.life.get()};
  if (worker->control.send(message, sizeof message, fds, 2) != Sent::kDone) return;  // has ended
  epoll_event event{};  // EPOLLHUP is always reported
  event.data.u64 = kEnded;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, row.ended_fd, &event) != 0)
    system_failure(SIDECALL_OUT_OF_MEMORY, "cannot watch a pipe", errno);
}

void Supervisor::Impl::remove(int32_t number) noexcept {
  const std::lock_guard lock(mutex_);
  were_ready_.erase(number);
  if (const auto found = workers_.find(number); found != workers_.end()) erase(found);
}

void Supervisor::Impl::erase(Workers::iterator worker) noexcept {
  if (worker->second.is_hung) ++num_hung_;
  workers_.erase(worker);
}

bool Supervisor::Impl::listen(Deadline deadline) {
  std::unique_lock lock(mutex_);
  const auto is_ready = [&] { return count_ready() > 0; };
  if (deadline.is_never()) changed_.wait(lock, is_ready);
  else if (!changed_.wait_for(lock, std::chrono::nanoseconds(deadline.left_ns()), is_ready))
    return false;
  if (listener_.fd() >= 0 || !address_) return true;
  Listener listener(*address_, {options_.group, !options_.allowed_uids.empty()});
  watch(listener.fd(), kListener + static_cast<uint32_t>(listener.fd()));
  listener_ = std::move(listener);
  log_.log(LogLevel::kInfo, "supervisor.listening",
           [&](Facts& facts) { facts.text("path", listener_.path()); });
  return true;
}

Socket Supervisor::Impl::connect() {
  Socket ours, theirs;
  Socket::pair(&ours, &theirs);
  {
    const std::lock_guard lock(mutex_);
    if (is_closing_) throw Error(SIDECALL_UNREACHABLE, "the server is shutting down");
    direct_.push_back(theirs.take());
  }
  wake();
  return ours;
}

std::string Supervisor::Impl::status() {
  const std::lock_guard one_at_a_time(status_mutex_);
  StatusSum sum(&counted_);
  std::vector<StatusRequest> requests;
  std::vector<int32_t> numbers;
  Status own;
  bool may_be_ready = false;
  uint64_t num_hung = 0;
  {
    const std::lock_guard lock(mutex_);
    may_be_ready = !is_stalled();
    num_hung = num_hung_;
    for (auto& [number, worker] : workers_) {
      numbers.push_back(number);
      if (!worker.is_ready) continue;
      Socket ours, theirs;
      Socket::pair(&ours, &theirs);
      const int fd = theirs.fd();
      if (worker.control.send(&kAttach, 1, &fd, 1) != Sent::kDone) continue;
      request_status(ours);  // send all requests before reading: one slow worker delays no other
      requests.push_back({number, std::move(ours)});
    }
    own.half_open = num_unassigned_ + num_waiting_;
  }
  own.uptime_ns = now_ns() - started_ns_;
  own.refused = refused_;
  own.violations = violations_;
  own.log_suppressed = log_.num_suppressed();
  own.log_dropped = log_.num_dropped();
  sum.set_own(own);
  const Deadline deadline = Deadline::after(kAnswerNs);
  for (StatusRequest& request : requests) {
    if (const std::string json = read_status(request.socket, deadline); !json.empty())
      sum.add(request.worker, json);
  }
  return sum.json(numbers, may_be_ready, num_hung);
}

void Supervisor::Impl::watch(int fd, uint64_t about) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = about;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
    system_failure(SIDECALL_OUT_OF_MEMORY, "cannot watch a socket", errno);
}

// Stops or resumes watching a listener. While no connection can be accepted, the listener stays
// readable, and the loop would never sleep. A paused listener stays in the epoll instance, because
// adding it again could fail.
void Supervisor::Impl::pause_listener(int listener, bool pause) noexcept {
  epoll_event event{};
  event.events = pause ? 0U : static_cast<uint32_t>(EPOLLIN);
  event.data.u64 = kListener + static_cast<uint32_t>(listener);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, listener, &event);
}

void Supervisor::Impl::end_threads() {
  std::unique_lock lock(mutex_);
  is_closing_ = true;
  changed_.notify_all();
  lock.unlock();
  wake();
  for (std::thread* thread : {&control_thread_, &answer_thread_})
    if (thread->joinable()) thread->join();
}

void Supervisor::Impl::wake() noexcept { static_cast<void>(::eventfd_write(wake_.get(), 1)); }

void Supervisor::Impl::refuse(Socket socket, int32_t status, const char* text) {
  shm::refuse(&socket, status, text);
  refused_.fetch_add(1, std::memory_order_relaxed);
}

void Supervisor::Impl::refuse_all(std::deque<Fd>& fds) {
  for (Fd& fd : fds)
    refuse(Socket(std::move(fd)), SIDECALL_UNREACHABLE, "the server is shutting down");
  fds.clear();
}

void Supervisor::Impl::refuse_unassigned() {
  for (auto& [user, fds] : unassigned_) refuse_all(fds);
  unassigned_.clear();
  num_unassigned_ = 0;
}

// ---- The control thread ----

void Supervisor::Impl::control() {
  epoll_event events[64];
  for (;;) {
    const int count = ::epoll_wait(epoll_.get(), events, 64, wait_ms());
    {
      const std::lock_guard lock(mutex_);
      if (is_closing_) return;
    }
    for (int i = 0; i < count; ++i) run_logging_errors([&] { handle(events[i].data.u64); });
    run_logging_errors([&] { admit_direct(); });
    if (paused_listener_ >= 0) pause_listener(std::exchange(paused_listener_, -1), false);
    run_logging_errors([&] { drop_expired(); });
    retry_rows();
    run_logging_errors([&] { hand_over_all(); });
    if (now_ns() >= log_.report_due_ns()) log_.report();
  }
}

int Supervisor::Impl::wait_ms() {
  if (paused_listener_ >= 0) return kRetryMs;
  int64_t until = std::min(log_.report_due_ns(), next_rows_ns_);
  if (!waiting_.empty()) until = std::min(until, waiting_.front().deadline.at_ns());
  {
    const std::lock_guard lock(mutex_);
    if (!unassigned_.empty() && count_ready() > 0) return kRetryMs;
  }
  if (until == INT64_MAX) return -1;
  return static_cast<int>(std::clamp<int64_t>((until - now_ns()) / 1000000 + 1, 0, 60000));
}

void Supervisor::Impl::handle(uint64_t about) {
  const auto low = static_cast<uint32_t>(about);
  switch (about - low) {
    case kWake: {
      eventfd_t count = 0;
      static_cast<void>(::eventfd_read(wake_.get(), &count));
      return;
    }
    case kListener:
      return accept_some(static_cast<int>(low));
    case kWorker:
      return read(static_cast<int32_t>(low));
    case kEnded: {
      const std::lock_guard lock(mutex_);
      return memory_.clear_ended();
    }
    default:
      return static_cast<void>(read_first_message(static_cast<int>(low)));
  }
}

// Reads the LOAD messages of a worker, or notices its end.
void Supervisor::Impl::read(int32_t number) {
  const std::lock_guard lock(mutex_);
  const auto found = workers_.find(number);
  if (found == workers_.end()) return;
  Worker& worker = found->second;
  for (;;) {
    unsigned char message[8];
    const Received received = worker.control.receive(message, sizeof message);
    if (received.kind == Received::kNothing) return;
    if (received.kind == Received::kEnd || received.bytes != 5 || message[0] != kLoad) {
      log_.log(LogLevel::kWarning, "worker.gone",
               [&](Facts& facts) { facts.number("worker", int64_t{number}); });
      erase(found);
      return;
    }
    uint32_t connections = 0;
    std::memcpy(&connections, message + 1, sizeof connections);
    worker.connections = connections;
    worker.unanswered_since_ns = 0;
    if (!worker.is_ready) make_ready(number, &worker);
  }
}

// Makes a worker ready that has reported. Without a row no limit would hold for its runs, so a
// worker that gets none, for lack of descriptors for example, is tried again later.
void Supervisor::Impl::make_ready(int32_t number, Worker* worker) {
  run_logging_errors([&] { send_memory_row(worker); });
  worker->needs_row = !worker->row;
  if (worker->needs_row) {
    next_rows_ns_ = now_ns() + kRowsNs;
    return;
  }
  worker->is_ready = true;
  run_logging_errors([&] { were_ready_.insert(number); });
  log_.log(LogLevel::kInfo, "worker.ready",
           [&](Facts& facts) { facts.number("worker", int64_t{number}); });
  changed_.notify_all();
}

void Supervisor::Impl::retry_rows() {
  if (now_ns() < next_rows_ns_) return;
  next_rows_ns_ = INT64_MAX;
  const std::lock_guard lock(mutex_);
  for (auto& [number, worker] : workers_)
    if (worker.needs_row) make_ready(number, &worker);
}

void Supervisor::Impl::hand_over_all() {
  const std::lock_guard lock(mutex_);
  // The users take turns, so that one user's flood of connections delays no other user for long.
  while (!unassigned_.empty()) {
    auto turn = unassigned_.upper_bound(assigned_user_);
    if (turn == unassigned_.end()) turn = unassigned_.begin();
    Fd refused;
    if (count_connections() >= options_.max_connections) {
      refused = std::move(turn->second.front());
    } else if (!hand_over(turn->second.front().get())) {
      return;
    }
    assigned_user_ = turn->first;
    turn->second.pop_front();
    --num_unassigned_;
    if (turn->second.empty()) unassigned_.erase(turn);
    if (refused)  // last, because it needs memory
      refuse(Socket(std::move(refused)), SIDECALL_BUSY, "too many connections");
  }
}

// Passes a connection to the worker with the fewest connections among those that can take it. A
// worker that is silent, or has a late run, gets it only if there is no other. Returns false if no
// worker can take it now. Allocates nothing. The caller holds mutex_.
bool Supervisor::Impl::hand_over(int fd) noexcept {
  for (auto& each : workers_) each.second.was_tried = !each.second.is_ready;
  for (;;) {
    Worker* best = nullptr;
    std::tuple<bool, bool, uint64_t> best_rank;
    for (auto& [number, worker] : workers_) {
      if (worker.was_tried) continue;
      const std::tuple rank(is_silent(worker, kSlowNs), is_late(worker), worker.connections);
      if (best != nullptr && rank >= best_rank) continue;
      best = &worker;
      best_rank = rank;
    }
    if (best == nullptr) return false;
    best->was_tried = true;
    if (has_backlog(best->control)) continue;
    if (best->control.send(&kAttach, 1, &fd, 1) != Sent::kDone) continue;  // full, or gone
    ++best->connections;
    if (best->unanswered_since_ns == 0) best->unanswered_since_ns = now_ns();
    return true;
  }
}

// ---- The answering thread: only this thread waits for answers of workers ----

void Supervisor::Impl::answer() {
  for (;;) {
    Socket client;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return is_closing_ || !status_requests_.empty(); });
      if (is_closing_) return;
      client = Socket(std::move(status_requests_.front()));
      status_requests_.pop_front();
    }
    try {
      send_status(client, status_answer(status(), options_));
    } catch (const std::exception& error) {
      log_.log(LogLevel::kError, "status.failed",
               [&](Facts& facts) { facts.text("reason", error.what()); });
    }
  }
}

// ---- The class of supervisor.h ----

Supervisor::Supervisor(std::optional<std::string> address, ServerOptions options)
    : impl_(std::make_shared<Impl>(std::move(address), std::move(options))) {}
Supervisor::~Supervisor() { close(); }
Fd Supervisor::add(int32_t worker) { return impl_->add(worker); }
void Supervisor::remove(int32_t worker) noexcept { impl_->remove(worker); }
int32_t Supervisor::num_ready() const { return impl_->num_ready(); }
bool Supervisor::was_ready(int32_t worker) const { return impl_->was_ready(worker); }
int32_t Supervisor::hung() { return impl_->hung(); }
Supervisor::LongRuns Supervisor::long_runs() { return impl_->long_runs(); }
uint64_t Supervisor::num_hung() const { return impl_->num_hung(); }
bool Supervisor::listen(Deadline deadline) { return impl_->listen(deadline); }
Direct Supervisor::direct() {
  const std::weak_ptr<Impl> impl = impl_;
  return {[impl] {
            const std::shared_ptr<Impl> there = impl.lock();
            if (there == nullptr) throw Error(SIDECALL_UNREACHABLE, "the server has ended");
            return there->connect();
          },
          [impl] {
            const std::shared_ptr<Impl> there = impl.lock();
            return there != nullptr && there->is_ready();
          },
          [impl] {
            const std::shared_ptr<Impl> there = impl.lock();
            return there == nullptr ? 0 : there->num_answering();
          },
          [impl]() -> int64_t {
            const std::shared_ptr<Impl> there = impl.lock();
            return there == nullptr ? 0 : static_cast<int64_t>(there->num_hung());
          }};
}
std::string Supervisor::status() { return impl_->status(); }
void Supervisor::close() noexcept {
  // A forked child does not have the threads that ~Impl() would wait for, so it leaks the object.
  if (mark_.is_forked()) static_cast<void>(new std::shared_ptr<Impl>(impl_));
  impl_.reset();
}

}  // namespace sidecall::shm
