// A child process as an endpoint: exec:. Connections are socket pairs whose other end goes over the control socket of PROTOCOL.md, section 1; no thread, no SIGCHLD handler.
#include <algorithm>
#include <cerrno>
#include <mutex>

#include "child.h"
#include "endpoint.h"
#include "error.h"
#include "fork.h"
#include "layout.h"

namespace sidecall::shm {
namespace {

constexpr size_t kLoadBytes = 5;
constexpr int64_t kMillisecond = 1000 * 1000;
constexpr int64_t kFirstPause = 100 * kMillisecond;
constexpr int64_t kLongestPause = 5000 * kMillisecond;
constexpr int64_t kHopelessPause = 4 * kFirstPause;  // that of the third short life in a row
constexpr int64_t kLongLife = 10000 * kMillisecond;
constexpr int64_t kTermination = 2000 * kMillisecond;
constexpr int64_t kObituary = 20 * kMillisecond;  // between its sockets' hang-up and its end

class ChildEndpoint final : public Endpoint {
 public:
  explicit ChildEndpoint(std::string_view command) : label_("exec:" + std::string(command)), words_(split_command(command)) {}

  ~ChildEndpoint() override {
    if (fork_.is_forked()) {
      child_.forget();
      return;
    }
    control_.close();
    child_.end(kTermination);
  }

  const std::string& label() const noexcept override { return label_; }

  Socket connect(Deadline, Deadline deadline) override {
    const Holding holding(&lock_, deadline);
    if (!holding.is_held) throw Error(SIDECALL_TIMEOUT, "'" + label_ + "': the child was not ready in time");
    is_fresh_ = false;
    while (true) {
      if (!child_.is_running()) {
        if (is_fresh_) throw Error(SIDECALL_UNREACHABLE, "'" + label_ + "': the child ended as soon as it was started" + child_.obituary());
        is_fresh_ = true;
        start(deadline);
      }
      if (!await_ready(deadline)) continue;
      Socket ours, theirs;
      Socket::pair(&ours, &theirs);
      const int descriptor = theirs.fd();
      switch (control_.send(&kAttach, sizeof kAttach, &descriptor, 1)) {
        case Sent::kDone:
          return ours;
        case Sent::kFull:
          if (deadline.passed()) throw Error(SIDECALL_TIMEOUT, "'" + label_ + "': the child did not take the connection in time");
          sleep_until(Deadline::earlier(Deadline::after(2 * kMillisecond), deadline));
          break;
        case Sent::kGone:
          child_.end(kTermination);  // it lives, but does not serve any more
          break;
      }
    }
  }

  // Both are asked by calls that have lost their server, which must not wait until another thread has started the next.
  bool has_successor(int /*num_hang_ups*/) override {
    const std::unique_lock guard(lock_, std::try_to_lock);
    return !guard || (!is_fresh_ && child_.is_over(Deadline::after(kObituary)));
  }

  bool is_worth_waiting() override {
    const std::unique_lock guard(lock_, std::try_to_lock);
    return !guard || child_.is_running() || (is_program_ && pause_ < kHopelessPause);
  }

  std::string obituary() override {
    const std::unique_lock guard(lock_, std::try_to_lock);
    if (!guard) return std::string();
    child_.is_over(Deadline::after(kObituary));
    return child_.obituary();
  }

 private:
  // The lock, unless the deadline passes while another thread starts the child.
  struct Holding {
    Holding(std::mutex* mutex, Deadline deadline) : lock(mutex) {
      while (!(is_held = lock->try_lock()) && !deadline.passed()) sleep_until(Deadline::earlier(Deadline::after(kMillisecond), deadline));
    }
    ~Holding() {
      if (is_held) lock->unlock();
    }
    std::mutex* const lock;
    bool is_held = false;
  };

  // Reads the child's LOAD messages, and waits for the first. False where it ended instead.
  bool await_ready(Deadline deadline) {
    while (true) {
      char message[8];
      const Received received = is_ready_ ? control_.receive(message, sizeof message) : control_.receive(message, sizeof message, deadline);
      if (received.kind == Received::kEnd) {
        child_.end(kTermination);
        return false;
      }
      if (received.kind == Received::kNothing) {
        if (is_ready_) return true;
        throw Error(SIDECALL_TIMEOUT, "'" + label_ + "': the child " + (before_.empty() ? "" : "died, and the next one ") +
                                          "was not ready in time" + before_);
      }
      if (received.bytes != kLoadBytes || message[0] != static_cast<char>(kLoad) || received.num_fds != 0) {
        child_.end(kTermination);
        violation("the child sent something else than its load");
      }
      is_ready_ = true;
    }
  }

  // Starts it, after the pause that a child which died costs.
  void start(Deadline deadline) {
    if (pause_ > 0) {
      if (now_ns() - started_ >= kLongLife) pause_ = 0;
      const Deadline next = Deadline::after(std::max<int64_t>(0, started_ + pause_ - now_ns()));
      if (deadline.at_ns() < next.at_ns())
        throw Error(SIDECALL_UNREACHABLE, "'" + label_ + "': the child died and is not started again yet" + child_.obituary());
      sleep_until(next);
    }
    pause_ = std::min(std::max(pause_ * 2, kFirstPause), kLongestPause);
    started_ = now_ns();
    is_ready_ = false;
    before_ = child_.obituary();
    Socket theirs;
    Socket::pair(&control_, &theirs);
    const int error_number = child_.start(words_, theirs.fd());
    is_program_ = error_number != ENOENT && error_number != EACCES && error_number != ENOEXEC;
    if (!is_program_) throw Error(SIDECALL_UNREACHABLE, "'" + label_ + "': expected a program, found none of that name that can be run");
    if (error_number != 0) system_failure(SIDECALL_UNREACHABLE, "'" + label_ + "': the child cannot be started", error_number);
  }

  const std::string label_;
  const std::vector<std::string> words_;
  const ForkMark fork_;
  std::mutex lock_;  // of what follows; not touched in a forked child
  Child child_;
  Socket control_;
  int64_t started_ = 0;
  int64_t pause_ = 0;
  std::string before_;      // how the child before it ended
  bool is_program_ = true;  // the last start found something that can be run
  bool is_ready_ = false;   // its first LOAD has come
  bool is_fresh_ = false;   // the last connection is the first of its child
};

}  // namespace

std::unique_ptr<Endpoint> make_child_endpoint(std::string_view command) { return std::make_unique<ChildEndpoint>(command); }

}  // namespace sidecall::shm
