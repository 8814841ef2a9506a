// Descriptors, deadlines, and SEQPACKET sockets that carry messages and descriptors. Used by both
// ends. Nothing here raises SIGPIPE, and no descriptor leaks into a program that the process
// executes.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "fork.h"

namespace sidecall::shm {

// The time of CLOCK_MONOTONIC.
int64_t now_ns() noexcept;

// A point in time on that clock, or never.
class Deadline {
 public:
  static Deadline never() noexcept { return Deadline(INT64_MAX); }
  static Deadline after(int64_t ns) noexcept;  // a negative `ns` means never
  static Deadline after(int64_t ns, int64_t now) noexcept;
  static Deadline earlier(Deadline a, Deadline b) noexcept { return a.at_ < b.at_ ? a : b; }
  static Deadline later(Deadline a, Deadline b) noexcept { return a.at_ < b.at_ ? b : a; }

  bool is_never() const noexcept { return at_ == INT64_MAX; }
  int64_t at_ns() const noexcept { return at_; }
  int64_t left_ns() const noexcept;  // 0 once it has passed; INT64_MAX for never
  bool passed() const noexcept { return left_ns() == 0; }

 private:
  explicit Deadline(int64_t at) noexcept : at_(at) {}
  int64_t at_;
};

void sleep_until(Deadline deadline) noexcept;  // the deadline must not be never

// Owns one descriptor. It is close-on-exec, and it is closed in a forked child.
class Fd final : public ForkAware {
 public:
  Fd() = default;
  explicit Fd(int fd) noexcept { reset(fd); }
  Fd(Fd&& other) noexcept { reset(other.release()); }
  Fd& operator=(Fd&& other) noexcept;
  ~Fd() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  int release() noexcept;
  void reset(int fd = -1) noexcept;

 private:
  void in_child() noexcept override;
  int fd_ = -1;
};

// Waits until one of up to 4 descriptors is readable or hung up, or until the deadline passes. Bit
// i of the result is set for descriptor i; the result is 0 when the deadline passed. Entries of -1
// in `fds` are skipped.
unsigned wait_readable(const int* fds, size_t count, Deadline deadline);

// The limit on the descriptors of one received message. No message of the protocol has that many;
// a message with more is a violation.
constexpr size_t kMaxDescriptors = 8;

// A received message.
struct Received {
  // kEnd: the peer hung up, or sent an empty message, which is handled in the same way.
  enum Kind { kMessage, kNothing, kEnd };
  Kind kind = kNothing;
  size_t bytes = 0;
  bool is_cut = false;  // the message, or the list of its descriptors, did not fit
  // The message was cut: it carried descriptors, and this process may not open more of them.
  bool lacks_descriptors = false;
  size_t num_fds = 0;
  std::array<Fd, kMaxDescriptors> fds;
};

enum class Sent { kDone, kFull, kGone };

// A connected SEQPACKET socket.
class Socket {
 public:
  Socket() = default;
  explicit Socket(Fd fd) noexcept : fd_(std::move(fd)) {}
  static void pair(Socket* one, Socket* other);

  int fd() const noexcept { return fd_.get(); }
  explicit operator bool() const noexcept { return static_cast<bool>(fd_); }
  void close() noexcept { fd_.reset(); }
  Fd take() noexcept { return std::move(fd_); }

  // Never blocks. kFull: the peer has not yet read earlier messages, so there is no space.
  Sent send(const void* data, size_t bytes, const int* fds = nullptr, size_t num_fds = 0) noexcept;

  // Sends one byte 0x01. A full socket is no failure: the peer then has unread bytes that wake it.
  // Returns false once the peer has hung up.
  bool ring() noexcept;

  // Returns the next message without waiting. The result owns the descriptors that came with it.
  Received receive(void* buffer, size_t capacity);

  // Waits for the next message. Returns kNothing when the deadline passes.
  Received receive(void* buffer, size_t capacity, Deadline deadline);

  // Waits for at most a few milliseconds, inside recvmsg itself, which saves the call of poll.
  Received receive_soon(void* buffer, size_t capacity);

  // Whether the peer has hung up, checked without waiting. Unread messages may be left.
  bool is_hung_up() const noexcept;

 private:
  Received receive_with(void* buffer, size_t capacity, int flags);
  Fd fd_;
  bool has_slice_ = false;  // SO_RCVTIMEO is set
};

// The process at the other end, as the kernel recorded it when that process connected or listened.
struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  uint32_t account = 0;  // whose quotas its connections use up: its uid, or kFrontendAccount
};
// The servers for HTTP and gRPC in front of this one. It is the id of no user.
constexpr uint32_t kFrontendAccount = UINT32_MAX;
PeerCredentials peer_credentials(int fd);

// A pidfd of the process at the other end, from SO_PEERPIDFD or else from pidfd_open. Empty if
// neither works.
Fd peer_pidfd(int fd);

// ---- Addresses (PROTOCOL.md, section 1) ----

// Returns the socket's path for the part of an address after "shm:". `is_default` receives whether
// the path lies in the default folder. Throws INVALID_ARGUMENT.
std::string socket_path(std::string_view address, bool* is_default);

// Servers pass `make` to create the default folder with mode 0700; clients only check it, and get
// false if it does not exist. Throws DENIED unless the path is a real folder that belongs to this
// user and that no other user may write to.
bool check_default_folder(const std::string& socket_path, bool make);

// Connects to a listening socket without waiting. On failure the result is empty, and
// `error_number` receives errno.
Fd connect_to(const std::string& path, int* error_number);

}  // namespace sidecall::shm
