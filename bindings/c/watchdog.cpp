// sidecall_watchdog_*: a thread that ends the process if the program does not close the watchdog
// within some time after a descriptor became readable. Used by programs that run a server.
#include <fcntl.h>
#include <sidecall/server.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <memory>
#include <thread>

#include "base/process/signals_blocked.h"
#include "core/abi/guard.h"
#include "core/error.h"
#include "serving/log.h"
#include "shm/common/socket.h"

using sidecall::Error;
using sidecall::guard;
using sidecall::require;
using sidecall::shm::Deadline;
using sidecall::shm::Fd;

struct sidecall_watchdog {
  sidecall_watchdog(int fd, int64_t ns, int32_t code)
      : watched_(::fcntl(fd, F_DUPFD_CLOEXEC, 0)),
        stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        after_ns_(ns),
        exit_code_(code) {
    if (!watched_)
      throw Error(SIDECALL_INVALID_ARGUMENT,
                  "fd: expected an open descriptor, got " + std::to_string(fd));
    if (!stop_)
      throw Error(SIDECALL_OUT_OF_MEMORY,
                  "cannot create a watchdog: no file descriptor is left: raise ulimit -n");
    const sidecall::SignalsBlocked blocked;
    thread_ = std::make_unique<std::thread>([this] { watch(); });
  }

  ~sidecall_watchdog() {
    if (mark_.is_forked()) {  // a forked child does not have the thread
      static_cast<void>(thread_.release());
      return;
    }
    static_cast<void>(::eventfd_write(stop_.get(), 1));
    thread_->join();
  }
  sidecall_watchdog(const sidecall_watchdog&) = delete;
  sidecall_watchdog& operator=(const sidecall_watchdog&) = delete;

 private:
  void watch() noexcept {
    const int both[] = {stop_.get(), watched_.get()};
    if (sidecall::shm::wait_readable(both, 2, Deadline::never()) & 1) return;
    if (sidecall::shm::wait_readable(both, 1, Deadline::after(after_ns_)) & 1) return;
    sidecall_log_flush(sidecall::ServerLog::kEndNs);
    ::_exit(exit_code_);
  }

  const Fd watched_, stop_;
  const int64_t after_ns_;
  const int32_t exit_code_;
  const sidecall::shm::ForkMark mark_;
  std::unique_ptr<std::thread> thread_;
};

extern "C" {

sidecall_status sidecall_watchdog_open(int32_t fd, int64_t after_ns, int32_t exit_code,
                                       sidecall_watchdog** out_watchdog, sidecall_error* err) {
  if (out_watchdog != nullptr) *out_watchdog = nullptr;
  return guard(err, [&] {
    require(out_watchdog != nullptr, "out_watchdog must not be NULL");
    require(after_ns >= 0, "after_ns: expected 0 or more, got less");
    if (exit_code < 0 || exit_code > 255)
      throw Error(SIDECALL_INVALID_ARGUMENT,
                  "exit_code: expected 0 to 255, got " + std::to_string(exit_code));
    *out_watchdog = new sidecall_watchdog(fd, after_ns, exit_code);
  });
}

void sidecall_watchdog_close(sidecall_watchdog* watchdog) { delete watchdog; }

}  // extern "C"
