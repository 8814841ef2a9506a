// A server's socket as an endpoint.
#include "endpoint.h"

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "error.h"

namespace sidecall::shm {
namespace {

constexpr int kMostHangUps = 3;

class SocketEndpoint final : public Endpoint {
 public:
  explicit SocketEndpoint(std::string_view address) : label_("shm:" + std::string(address)), path_(socket_path(address, &is_default_)) {}

  const std::string& label() const noexcept override { return label_; }

  // One of several workers: its supervisor hears the same hang-up and gives the next connection to another.
  bool has_successor(int num_hang_ups) override { return num_hang_ups > 0 && num_hang_ups < kMostHangUps; }

  Socket connect(Deadline patience, Deadline deadline) override {
    int64_t pause = 2 * 1000 * 1000;
    while (true) {
      int error_number = ENOENT;
      const bool is_there = !is_default_ || check_default_folder(path_, false);
      Fd fd = is_there ? connect_to(path_, &error_number) : Fd();
      if (fd) return admit(std::move(fd));
      // EAGAIN: somebody listens, but has too many connections to accept yet.
      const Deadline end = error_number == EAGAIN ? deadline : Deadline::earlier(patience, deadline);
      if (!may_come(error_number) || end.passed()) fail(error_number);
      sleep_until(Deadline::earlier(Deadline::after(pause), end));
      pause = std::min<int64_t>(pause * 2, 50 * 1000 * 1000);
    }
  }

 private:
  static bool may_come(int error_number) { return error_number == ENOENT || error_number == ECONNREFUSED || error_number == EAGAIN; }

  Socket admit(Fd fd) const {
    if (is_default_ && peer_credentials(fd.get()).uid != geteuid())
      throw Error(SIDECALL_DENIED, "'" + label_ + "': expected a server of this user, got one of another");
    return Socket(std::move(fd));
  }

  [[noreturn]] void fail(int error_number) const {
    const std::string start = "'" + label_ + "': ";
    switch (error_number) {
      case ENOENT:
        throw Error(SIDECALL_UNREACHABLE, start + "nobody serves it (no such socket)");
      case ECONNREFUSED:
        throw Error(SIDECALL_UNREACHABLE, start + "nobody serves it (nobody listens on its socket)");
      case EAGAIN:
        throw Error(SIDECALL_TIMEOUT, start + "the server did not accept the connection in time");
      case EPROTOTYPE:
        throw Error(SIDECALL_PROTOCOL, start + "expected a SEQPACKET socket, got one of another type");
      case EACCES:
      case EPERM:
        throw Error(SIDECALL_DENIED, start + "this user may not use its socket");
      default:
        system_failure(SIDECALL_UNREACHABLE, start + "no connection", error_number);
    }
  }

  bool is_default_ = false;  // set by socket_path, so it stands before path_
  std::string label_, path_;
};

}  // namespace

std::unique_ptr<Endpoint> make_socket_endpoint(std::string_view address) { return std::make_unique<SocketEndpoint>(address); }

}  // namespace sidecall::shm
