// The two threads of a supervisor; see supervisor.h.
#include "supervisor.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <thread>

#include "admission.h"
#include "listener.h"
#include "peek.h"
#include "signals_blocked.h"
#include "supervisor_status.h"

namespace sidecall::shm {
namespace {

constexpr size_t kMaxHeld = 64;       // connections that wait for a worker
constexpr size_t kMaxQuestions = 32;  // STATUS that waits for an answer
constexpr int kRetryMs = 5;           // while every worker's control socket is full
constexpr int64_t kAnswerNs = INT64_C(1000) * 1000 * 1000;

}  // namespace

class Supervisor::Impl {
 public:
  Impl(std::string address, ServerOptions options)
      : address_(std::move(address)),
        options_(std::move(options)),
        admission_(options_.allowed_uids, options_.group),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!epoll_ || !wake_) system_failure(SIDECALL_OUT_OF_MEMORY, "cannot make a supervisor", errno);
    bool is_default = false;
    int error = 0;
    const std::string path = socket_path(address_, &is_default);
    if (connect_to(path, &error) || error == EAGAIN) throw Error(SIDECALL_BUSY, "cannot listen at '" + path + "': another server is there");
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

  ~Impl() {
    end_threads();
    listener_.close();
    refuse_all(held_);
    for (Waiting& waiting : waiting_) refuse(Socket(std::move(waiting.fd)), SIDECALL_UNREACHABLE, "the server is shutting down");
    refuse_all(questions_);
    log(LogLevel::kInfo, "supervisor.closed", Facts().take());
  }

  Fd add(int32_t number) {
    Socket ours, theirs;
    Socket::pair(&ours, &theirs);
    const std::lock_guard lock(mutex_);
    if (workers_.count(number) != 0) throw Error(SIDECALL_INVALID_ARGUMENT, "worker: expected a number that is free, got one in use");
    watch(ours.fd(), kWorker + static_cast<uint32_t>(number));
    workers_.emplace(number, Worker{std::move(ours)});
    return theirs.take();
  }

  void remove(int32_t number) noexcept {
    const std::lock_guard lock(mutex_);
    workers_.erase(number);
  }

  int32_t num_ready() const {
    const std::lock_guard lock(mutex_);
    return count_ready();
  }

  bool listen(Deadline deadline) {
    std::unique_lock lock(mutex_);
    const auto is_ready = [&] { return count_ready() > 0; };
    if (deadline.is_never()) changed_.wait(lock, is_ready);
    else if (!changed_.wait_for(lock, std::chrono::nanoseconds(deadline.left_ns()), is_ready)) return false;
    if (listener_.fd() >= 0) return true;
    listener_ = Listener(address_, {options_.group, !options_.allowed_uids.empty()});
    watch(listener_.fd(), kListener);
    log(LogLevel::kInfo, "supervisor.listening", Facts().text("path", listener_.path()).take());
    return true;
  }

  std::string status() {
    const std::lock_guard one_at_a_time(status_mutex_);
    StatusSum sum(&counted_);
    std::vector<Question> asked;
    std::vector<int32_t> numbers;
    {
      const std::lock_guard lock(mutex_);
      for (auto& [number, worker] : workers_) {
        numbers.push_back(number);
        if (!worker.is_ready) continue;
        Socket ours, theirs;
        Socket::pair(&ours, &theirs);
        const int fd = theirs.fd();
        if (worker.control.send(&kAttach, 1, &fd, 1) != Sent::kDone) continue;
        ask_status(ours);  // all of them before the first answer: one that hangs must not hide the others
        asked.push_back({number, std::move(ours)});
      }
      sum.set_refused(refused_, held_.size() + waiting_.size());
      sum.set_uptime(now_ns() - started_ns_);
    }
    const Deadline deadline = Deadline::after(kAnswerNs);
    for (Question& question : asked) {
      if (const std::string json = read_status(question.socket, deadline); !json.empty()) sum.add(question.worker, json);
    }
    return sum.json(numbers);
  }

 private:
  struct Worker {
    Socket control;
    bool is_ready = false;
    uint64_t connections = 0;
  };
  struct Waiting {
    Fd fd;
    Deadline deadline;
    bool is_admitted;
  };
  struct Question {
    int32_t worker;
    Socket socket;
  };
  // What an event is about: the upper half of its number; a worker's number or a descriptor is the lower one.
  static constexpr uint64_t kWake = UINT64_C(1) << 32, kListener = UINT64_C(2) << 32, kWorker = UINT64_C(3) << 32,
                            kHello = UINT64_C(4) << 32;

  void watch(int fd, uint64_t about) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = about;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) system_failure(SIDECALL_OUT_OF_MEMORY, "cannot watch a socket", errno);
  }

  void end_threads() {
    std::unique_lock lock(mutex_);
    is_closing_ = true;
    changed_.notify_all();
    lock.unlock();
    wake();
    for (std::thread* thread : {&control_thread_, &answer_thread_})
      if (thread->joinable()) thread->join();
  }

  void wake() noexcept { static_cast<void>(::eventfd_write(wake_.get(), 1)); }

  void log(LogLevel level, const char* event, const std::string& facts) const {
    if (options_.log) options_.log(level, event, facts);
  }

  int32_t count_ready() const {
    return static_cast<int32_t>(std::count_if(workers_.begin(), workers_.end(), [](const auto& pair) { return pair.second.is_ready; }));
  }

  void control() {
    epoll_event events[64];
    for (;;) {
      const int count = ::epoll_wait(epoll_.get(), events, 64, wait_ms());
      const std::lock_guard lock(mutex_);
      if (is_closing_) return;
      for (int i = 0; i < count; ++i) attend([&] { handle(events[i].data.u64); });
      attend([&] {
        if (is_paused_) watch(listener_.fd(), kListener);
        is_paused_ = false;
        drop_late();
        hand_over_held();
      });
    }
  }

  // One connection's trouble, or a shortage of memory or watches, must not end the address.
  template <typename Body>
  void attend(Body body) noexcept {
    try {
      body();
    } catch (const std::exception& error) {
      log(LogLevel::kError, "supervisor.failed", Facts().text("reason", error.what()).take());
    }
  }

  int wait_ms() {
    const std::lock_guard lock(mutex_);
    if (is_paused_ || (!held_.empty() && count_ready() > 0)) return kRetryMs;
    if (waiting_.empty()) return -1;
    return static_cast<int>(waiting_.front().deadline.left_ns() / 1000000) + 1;
  }

  void handle(uint64_t about) {
    const auto low = static_cast<uint32_t>(about);
    switch (about - low) {
      case kWake: {
        eventfd_t count = 0;
        static_cast<void>(::eventfd_read(wake_.get(), &count));
        return;
      }
      case kListener:
        return accept_all();
      case kWorker:
        return hear(static_cast<int32_t>(low));
      default:
        return static_cast<void>(greet(static_cast<int>(low)));
    }
  }

  void accept_all() {
    for (;;) {
      Fd fd(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd) {
        if (errno == EINTR || errno == ECONNABORTED) continue;
        if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return;
        log(LogLevel::kWarning, "supervisor.exhausted", Facts().text("reason", std::strerror(errno)).take());
        // It stays readable: looked at again a moment later.
        is_paused_ = ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener_.fd(), nullptr) == 0;
        return;
      }
      admit(std::move(fd));
    }
  }

  void admit(Fd fd) {
    const int number = fd.get();
    const bool is_admitted = admission_.admits(peer_credentials(number));
    watch(number, kHello + static_cast<uint32_t>(number));
    waiting_.push_back({std::move(fd), Deadline::after(options_.hello_ns), is_admitted});
    if (waiting_.size() <= options_.max_half_open) return;
    // Those who are not admitted go first: they cannot push out others.
    const auto denied = std::find_if(waiting_.begin(), waiting_.end(), [](const Waiting& each) { return !each.is_admitted; });
    const auto oldest = denied != waiting_.end() ? denied : waiting_.begin();
    if (!greet(oldest->fd.get())) drop_silent(oldest);
  }

  void drop_silent(std::list<Waiting>::iterator one) {
    log(LogLevel::kWarning, "connection.silent", Facts().number("uid", uint64_t{peer_credentials(one->fd.get()).uid}).take());
    waiting_.erase(one);
  }

  uint64_t count_connections() const {
    uint64_t connections = held_.size();
    for (const auto& [number, worker] : workers_) connections += worker.connections;
    return connections;
  }

  // Looks for the first message of a connection, or its end. False where neither has come.
  bool greet(int number) {
    const auto found = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& each) { return each.fd.get() == number; });
    if (found == waiting_.end()) return true;
    const Peeked first = peek(number);
    if (first == Peeked::kNotYet) return false;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, number, nullptr);
    Fd fd = std::move(found->fd);
    const bool is_admitted = found->is_admitted;
    waiting_.erase(found);
    if (first != Peeked::kGone) answer_hello(std::move(fd), is_admitted, first);
    return true;
  }

  void answer_hello(Fd fd, bool is_admitted, Peeked first) {
    if (!is_admitted) {
      log(LogLevel::kWarning, "connection.denied", Facts().number("uid", uint64_t{peer_credentials(fd.get()).uid}).take());
      return refuse(Socket(std::move(fd)), SIDECALL_DENIED, "this user is not admitted");
    }
    if (first == Peeked::kForeign) return log(LogLevel::kWarning, "connection.violation", Facts().text("reason", "no HELLO").take());
    if (first == Peeked::kStatus) {
      if (questions_.size() >= kMaxQuestions) return refuse(Socket(std::move(fd)), SIDECALL_BUSY, "too many questions for the status");
      questions_.push_back(std::move(fd));
      return changed_.notify_all();
    }
    if (count_connections() >= options_.max_connections) return refuse(Socket(std::move(fd)), SIDECALL_BUSY, "too many connections");
    if (held_.size() >= kMaxHeld) return refuse(Socket(std::move(fd)), SIDECALL_BUSY, "too many connections wait for a worker");
    held_.push_back(std::move(fd));
  }

  // LOAD messages of a worker, or its end.
  void hear(int32_t number) {
    const auto found = workers_.find(number);
    if (found == workers_.end()) return;
    Worker& worker = found->second;
    for (;;) {
      unsigned char message[8];
      const Received received = worker.control.receive(message, sizeof message);
      if (received.kind == Received::kNothing) return;
      if (received.kind == Received::kEnd || received.bytes != 5 || message[0] != kLoad) {
        log(LogLevel::kWarning, "worker.gone", Facts().number("worker", int64_t{number}).take());
        workers_.erase(found);
        return;
      }
      uint32_t connections = 0;
      std::memcpy(&connections, message + 1, sizeof connections);
      worker.connections = connections;
      if (worker.is_ready) continue;
      worker.is_ready = true;
      log(LogLevel::kInfo, "worker.ready", Facts().number("worker", int64_t{number}).take());
      changed_.notify_all();
    }
  }

  void drop_late() {
    while (!waiting_.empty() && waiting_.front().deadline.passed()) drop_silent(waiting_.begin());
  }

  void hand_over_held() {
    while (!held_.empty() && hand_over(held_.front().get())) held_.pop_front();
  }

  // False when no worker takes it now.
  bool hand_over(int fd) {
    std::vector<std::pair<uint64_t, Worker*>> order;
    for (auto& [number, worker] : workers_)
      if (worker.is_ready) order.emplace_back(worker.connections, &worker);
    std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [connections, worker] : order) {
      if (worker->control.send(&kAttach, 1, &fd, 1) != Sent::kDone) continue;  // full, or gone: its hang-up is heard next
      ++worker->connections;
      return true;
    }
    return false;
  }

  void refuse(Socket socket, int32_t status, const char* text) {
    shm::refuse(&socket, status, text);
    ++refused_;
  }

  void refuse_all(std::deque<Fd>& fds) {
    for (Fd& fd : fds) refuse(Socket(std::move(fd)), SIDECALL_UNREACHABLE, "the server is shutting down");
    fds.clear();
  }

  // Asking workers waits for them; nobody else may wait for that.
  void answer() {
    for (;;) {
      Socket asker;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return is_closing_ || !questions_.empty(); });
        if (is_closing_) return;
        asker = Socket(std::move(questions_.front()));
        questions_.pop_front();
      }
      try {
        send_status(asker, status());
      } catch (const std::exception& error) {
        log(LogLevel::kError, "status.failed", Facts().text("reason", error.what()).take());
      }
    }
  }

  const int64_t started_ns_ = now_ns();
  const std::string address_;
  const ServerOptions options_;
  const Admission admission_;
  const Fd epoll_, wake_;

  std::mutex status_mutex_;  // taken before mutex_
  CounterMemory counted_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;              // a worker became ready, a question came, the end
  bool is_closing_ = false, is_paused_ = false;  // paused: the listener is not watched
  Listener listener_;
  std::map<int32_t, Worker> workers_;
  std::list<Waiting> waiting_;  // for their HELLO; the oldest first
  std::deque<Fd> held_;         // for a worker
  std::deque<Fd> questions_;
  uint64_t refused_ = 0;
  std::thread control_thread_, answer_thread_;
};

Supervisor::Supervisor(std::string address, ServerOptions options)
    : impl_(std::make_unique<Impl>(std::move(address), std::move(options))) {}
Supervisor::~Supervisor() { close(); }
Fd Supervisor::add(int32_t worker) { return impl_->add(worker); }
void Supervisor::remove(int32_t worker) noexcept { impl_->remove(worker); }
int32_t Supervisor::num_ready() const { return impl_->num_ready(); }
bool Supervisor::listen(Deadline deadline) { return impl_->listen(deadline); }
std::string Supervisor::status() { return impl_->status(); }
void Supervisor::close() noexcept {
  if (mark_.is_forked()) static_cast<void>(impl_.release());  // the child has none of the threads that it would wait for
  impl_.reset();
}

}  // namespace sidecall::shm
