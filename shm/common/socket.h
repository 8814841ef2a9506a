// Descriptors, deadlines, and SEQPACKET sockets that carry messages and descriptors. Used by both ends; nothing here raises SIGPIPE or leaks a
// descriptor into a program that is started meanwhile.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "fork.h"

namespace sidecall::shm {

// CLOCK_MONOTONIC.
int64_t now_ns() noexcept;

// A moment on that clock, or never.
class Deadline {
 public:
  static Deadline never() noexcept { return Deadline(INT64_MAX); }
  static Deadline after(int64_t ns) noexcept;  // below 0 is never
  static Deadline earlier(Deadline a, Deadline b) noexcept { return a.at_ < b.at_ ? a : b; }
  static Deadline later(Deadline a, Deadline b) noexcept { return a.at_ < b.at_ ? b : a; }

  bool is_never() const noexcept { return at_ == INT64_MAX; }
  int64_t at_ns() const noexcept { return at_; }
  int64_t left_ns() const noexcept;  // 0 once passed; INT64_MAX for never
  bool passed() const noexcept { return left_ns() == 0; }

 private:
  explicit Deadline(int64_t at) noexcept : at_(at) {}
  int64_t at_;
};

void sleep_until(Deadline deadline) noexcept;  // not for never

// Owns one descriptor. It is close-on-exec, and closed in a forked child.
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

// Waits until one of up to 4 descriptors is readable or hung up (bit i of the answer), or the deadline passes (0). -1 in `fds` is skipped.
unsigned wait_readable(const int* fds, size_t count, Deadline deadline);

constexpr size_t kMaxDescriptors = 8;  // more than any message has; what exceeds it is a violation

// A message as it came.
struct Received {
  enum Kind {
    kMessage,
    kNothing,
    kEnd
  };  // kEnd: hang-up, or an empty message, which means the same to us
  Kind kind = kNothing;
  size_t bytes = 0;
  bool is_cut = false;  // the message, or the list of its descriptors, was longer than fits
  bool lacks_descriptors =
      false;  // it was cut because this process has no descriptor left for those that came
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

  // Never blocks. kFull where the peer has not read what it was sent.
  Sent send(const void* data, size_t bytes, const int* fds = nullptr, size_t num_fds = 0) noexcept;

  // One byte 0x01. A full socket is fine: the peer has unread ones. False once the peer has hung up.
  bool ring() noexcept;

  // The next message without waiting. Descriptors that it brings are owned by the answer.
  Received receive(void* buffer, size_t capacity);

  // Waits for the next message, until the deadline (kNothing).
  Received receive(void* buffer, size_t capacity, Deadline deadline);

  // Waits inside recvmsg itself, which saves the poll, for at most a few milliseconds.
  Received receive_soon(void* buffer, size_t capacity);

  // Hung up, as far as can be seen without waiting. Unread messages may be left.
  bool is_hung_up() const noexcept;

 private:
  Received receive_with(void* buffer, size_t capacity, int flags);
  Fd fd_;
  bool has_slice_ = false;  // SO_RCVTIMEO is set
};

// The process at the other end as the kernel saw it when it connected or listened.
struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};
PeerCredentials peer_credentials(int fd);

// A pidfd for the process at the other end: SO_PEERPIDFD, else pidfd_open. Empty where neither works.
Fd peer_pidfd(int fd);

// ---- Addresses (PROTOCOL.md, section 1) ----

// The socket's path for what follows "shm:". Throws INVALID_ARGUMENT. `is_default` tells whether it lies in the default folder.
std::string socket_path(std::string_view address, bool* is_default);

// Makes the default folder (servers; mode 0700), or only checks it (clients: ENOENT is answered with false). Throws DENIED where it is not a real
// folder that belongs to this user, or others may write to it.
bool check_default_folder(const std::string& socket_path, bool make);

// Connects to a listening socket. Empty with errno in `error_number` where that fails at once.
Fd connect_to(const std::string& path, int* error_number);

}  // namespace sidecall::shm
