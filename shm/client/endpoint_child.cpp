// The endpoint for a child process (exec:). Each connection is a socket pair. One end goes to the
// child over the control socket of PROTOCOL.md, section 1. The endpoint needs no SIGCHLD handler.
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <system_error>
#include <thread>

#include "base/process/signals_blocked.h"
#include "child.h"
#include "endpoint.h"
#include "shm/common/error.h"
#include "shm/common/fork.h"
#include "shm/common/layout.h"

namespace sidecall::shm {
namespace {

constexpr size_t kLoadBytes = 5;
constexpr int64_t kMillisecond = 1000 * 1000;
constexpr int64_t kFirstPause = 100 * kMillisecond;
constexpr int64_t kLongestPause = 5000 * kMillisecond;
// The pause after three starts, each within kStableUptime of the one before.
constexpr int64_t kGiveUpPause = 4 * kFirstPause;
constexpr int64_t kStableUptime = 10000 * kMillisecond;
constexpr int64_t kTermination = 2000 * kMillisecond;
// How long a child may drain: the server's default of 10 s, and the 2 s in which it ends its runs.
constexpr int64_t kDrain = 12000 * kMillisecond;
// How long to wait for the end of a child whose sockets have hung up.
constexpr int64_t kExitWait = 20 * kMillisecond;

// The child of an endpoint, which the thread that starts it shares.
struct SharedChild {
  std::mutex lock;  // guards the members below and those of the endpoint
  Child child;
  bool is_starting = false;
  int start_error = 0;     // the errno of the last start that failed
  bool is_closed = false;  // the endpoint is gone

  void start(const std::vector<std::string>& words, int socket) {
    start_error = child.start(words, socket);
    is_starting = false;
  }
};

class ChildEndpoint final : public Endpoint {
 public:
  explicit ChildEndpoint(std::string_view command)
      : label_("exec:" + std::string(command)), words_(split_command(command)) {}

  ~ChildEndpoint() override {
    if (fork_.is_forked()) {
      child_.forget();
      return;
    }
    control_.close();
    const std::lock_guard guard(lock_);
    shared_->is_closed = true;
    child_.end(kTermination);
  }

  const std::string& label() const noexcept override { return label_; }

  // `started` is the number of the child that this handshake started. If that child ends before it
  // serves, the handshake fails.
  Socket connect(Deadline deadline, uint64_t* started, Error* not_yet) override {
    *not_yet = Error(SIDECALL_TIMEOUT, "'" + label_ + "': the child process was not ready in time");
    const std::unique_lock guard(lock_, std::try_to_lock);
    if (!guard) return Socket();  // another thread may be starting the child
    not_yet->message = "'" + label_ + "': the child process " +
                       (previous_exit_.empty() ? "" : "died, and the next one ") +
                       "was not ready in time" + previous_exit_;
    if (shared_->is_starting) return Socket();
    if (child_.is_running()) {
      if (!kill_at_.is_never()) {
        if (kill_at_.passed()) child_.signal(SIGKILL);
        return Socket();
      }
      if (!drained_at_.is_never()) {
        not_yet->message =
            "'" + label_ + "': the child process ends, and has not finished its calls in time";
        if (drained_at_.passed()) begin_end();
        return Socket();
      }
      if (is_ready_) is_newly_started_ = false;
    } else {
      if (*started != 0 && *started == num_starts_) {
        *started = 0;
        if (shared_->start_error != 0) throw_start_error();
        throw Error(SIDECALL_UNREACHABLE,
                    "'" + label_ + "': the child process ended as soon as it was started" +
                        child_.exit_text());
      }
      is_newly_started_ = true;
      if (start(deadline)) *started = num_starts_;
      return Socket();
    }
    if (!is_ready()) return Socket();
    Socket ours, theirs;
    Socket::pair(&ours, &theirs);
    const int descriptor = theirs.fd();
    switch (control_.send(&kAttach, sizeof kAttach, &descriptor, 1)) {
      case Sent::kDone:
        return ours;
      case Sent::kFull:
        *not_yet = Error(SIDECALL_TIMEOUT,
                         "'" + label_ + "': the child process did not take the connection in time");
        break;
      case Sent::kGone:
        let_drain();
        break;
    }
    return Socket();
  }

  // The next three functions are called after a call has lost its server. They must not wait for
  // another thread that holds the lock while it starts the next child.
  bool has_successor(int /*num_hang_ups*/, Deadline deadline) override {
    const std::unique_lock guard(lock_, std::try_to_lock);
    if (!guard || shared_->is_starting) return true;
    if (is_newly_started_) return false;
    // A child that drains closes its control socket, and with it a connection that it had not taken
    // yet.
    return control_.is_hung_up() ||
           child_.is_over(Deadline::earlier(deadline, Deadline::after(kExitWait)));
  }

  bool may_still_appear() override {
    const std::unique_lock guard(lock_, std::try_to_lock);
    return !guard || shared_->is_starting || child_.is_running() ||
           (is_program() && pause_ < kGiveUpPause);
  }

  std::string exit_text(Deadline deadline) override {
    const std::unique_lock guard(lock_, std::try_to_lock);
    if (!guard) return std::string();
    child_.is_over(Deadline::earlier(deadline, Deadline::after(kExitWait)));
    return child_.exit_text();
  }

 private:
  // Reads the child's LOAD messages. The first one says that the child is ready.
  bool is_ready() {
    while (true) {
      char message[8];
      const Received received = control_.receive(message, sizeof message);
      if (received.kind == Received::kNothing) return is_ready_;
      if (received.kind == Received::kEnd) {
        if (is_ready_) let_drain();
        else begin_end();  // it has taken no connection yet
        return false;
      }
      if (received.bytes != kLoadBytes || message[0] != static_cast<char>(kLoad) ||
          received.num_fds != 0) {
        begin_end();
        violation("the child process sent a message that is not LOAD");
      }
      is_ready_ = true;
    }
  }

  // The child has closed its control socket, so it drains: it still answers the calls that it has
  // taken. A signal would cut these calls off. If the drain takes too long, connect() calls
  // begin_end().
  void let_drain() { drained_at_ = Deadline::after(kDrain); }

  // Asks a child that takes no more connections to end. connect() kills it if that takes too long.
  void begin_end() {
    child_.signal(SIGTERM);
    kill_at_ = Deadline::after(kTermination);
  }

  // Lets another thread start the child, because that can take milliseconds, and the caller may be
  // an event loop. Returns false during the pause that follows the start of the previous child.
  bool start(Deadline deadline) {
    if (pause_ > 0) {
      if (now_ns() - started_ >= kStableUptime) pause_ = 0;
      const Deadline next = Deadline::after(std::max<int64_t>(0, started_ + pause_ - now_ns()));
      if (deadline.at_ns() < next.at_ns())
        throw Error(SIDECALL_UNREACHABLE,
                    "'" + label_ + "': the child process died and is not started again yet" +
                        child_.exit_text());
      if (!next.passed()) return false;
    }
    pause_ = std::min(std::max(pause_ * 2, kFirstPause), kLongestPause);
    started_ = now_ns();
    is_ready_ = false;
    kill_at_ = drained_at_ = Deadline::never();
    ++num_starts_;
    previous_exit_ = child_.exit_text();
    const auto theirs = std::make_shared<Socket>();
    Socket::pair(&control_, theirs.get());
    shared_->start_error = 0;
    shared_->is_starting = true;
    const SignalsBlocked blocked;
    try {
      std::thread([shared = shared_, words = words_, theirs] {
        const std::lock_guard guard(shared->lock);
        if (!shared->is_closed) shared->start(words, theirs->fd());
      }).detach();
    } catch (const std::system_error&) {  // no thread is left
      shared_->start(words_, theirs->fd());
    }
    return true;
  }

  bool is_program() const {
    const int error = shared_->start_error;
    return error != ENOENT && error != EACCES && error != ENOEXEC;
  }

  [[noreturn]] void throw_start_error() const {
    if (!is_program())
      throw Error(SIDECALL_UNREACHABLE,
                  "'" + label_ + "': expected an executable program, found none of that name");
    system_failure(SIDECALL_UNREACHABLE, "'" + label_ + "': cannot start the child process",
                   shared_->start_error);
  }

  const std::string label_;
  const std::vector<std::string> words_;
  const ForkMark fork_;
  const std::shared_ptr<SharedChild> shared_ = std::make_shared<SharedChild>();
  std::mutex& lock_ = shared_->lock;  // guards the members below; not used in a forked child
  Child& child_ = shared_->child;
  Socket control_;
  int64_t started_ = 0;
  uint64_t num_starts_ = 0;
  int64_t pause_ = 0;
  Deadline drained_at_ = Deadline::never();  // if not never, the child drains
  Deadline kill_at_ = Deadline::never();     // if not never, the child was asked to end
  std::string previous_exit_;                // how the previous child ended
  bool is_ready_ = false;                    // the first LOAD has arrived
  bool is_newly_started_ = false;            // the last connection was the first to this child
};

}  // namespace

std::unique_ptr<Endpoint> make_child_endpoint(std::string_view command) {
  return std::make_unique<ChildEndpoint>(command);
}

}  // namespace sidecall::shm
