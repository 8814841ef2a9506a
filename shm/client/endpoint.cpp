// The endpoint for the socket of a server: shm:.
#include "endpoint.h"

#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "shm/common/error.h"

namespace sidecall::shm {
namespace {

constexpr int kMostHangUps = 3;
// How long no channel tries to connect after one found the server's queue of connections full.
constexpr int64_t kPauseWhileFull = 2 * 1000 * 1000;

class SocketEndpoint final : public Endpoint {
 public:
  explicit SocketEndpoint(std::string_view address)
      : label_("shm:" + std::string(address)), path_(socket_path(address, &is_default_)) {}

  const std::string& label() const noexcept override { return label_; }

  // If the socket belongs to several workers, their supervisor sees the same hang-up and gives the
  // next connection to another worker.
  bool has_successor(int num_hang_ups, Deadline) override {
    return num_hang_ups > 0 && num_hang_ups < kMostHangUps;
  }

  Socket connect(Deadline, uint64_t*, Error* not_yet) override {
    // Relaxed: only a hint.
    if (now_ns() >= full_until_ns_.load(std::memory_order_relaxed)) {
      int error_number = ENOENT;
      const bool is_there = !is_default_ || check_default_folder(path_, false);
      Fd fd = is_there ? connect_to(path_, &error_number) : Fd();
      if (fd) return admit(std::move(fd));
      if (error_number != EAGAIN) fail(error_number);
      full_until_ns_.store(now_ns() + kPauseWhileFull, std::memory_order_relaxed);
    }
    // A server listens, but its queue of connections is full.
    *not_yet = Error(SIDECALL_TIMEOUT,
                     "'" + label_ + "': the server did not accept the connection in time");
    return Socket();
  }

 private:
  Socket admit(Fd fd) const {
    if (is_default_ && peer_credentials(fd.get()).uid != geteuid())
      throw Error(
          SIDECALL_DENIED,
          "'" + label_ + "': expected a server that runs as this user, got one of another user");
    return Socket(std::move(fd));
  }

  [[noreturn]] void fail(int error_number) const {
    const std::string start = "'" + label_ + "': ";
    switch (error_number) {
      case ENOENT:
        throw Error(SIDECALL_UNREACHABLE,
                    start + "no server is listening (its socket does not exist)");
      case ECONNREFUSED:
        throw Error(SIDECALL_UNREACHABLE,
                    start + "no server is listening (its socket refuses connections)");
      case EPROTOTYPE:
        throw Error(SIDECALL_PROTOCOL,
                    start + "expected a SEQPACKET socket, got one of another type");
      case EACCES:
      case EPERM:
        throw Error(SIDECALL_DENIED, start + "this user has no permission to use its socket");
      default:
        system_failure(SIDECALL_UNREACHABLE, start + "cannot connect", error_number);
    }
  }

  // Must be declared before path_: the initialiser of path_ calls socket_path(), which sets it.
  bool is_default_ = false;
  std::string label_, path_;
  std::atomic<int64_t> full_until_ns_{0};
};

}  // namespace

std::unique_ptr<Endpoint> make_socket_endpoint(std::string_view address) {
  return std::make_unique<SocketEndpoint>(address);
}

}  // namespace sidecall::shm
