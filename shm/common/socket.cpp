// Descriptors, deadlines and messages.
#include "socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "error.h"
#include "layout.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // Linux 6.5; the headers of some systems are older
#endif

namespace sidecall::shm {
namespace {

constexpr int64_t kSecond = 1000 * 1000 * 1000;

int64_t to_ns(const timespec& time) {
  return static_cast<int64_t>(time.tv_sec) * kSecond + time.tv_nsec;
}

timespec to_timespec(int64_t ns) {
  return {static_cast<time_t>(ns / kSecond), static_cast<long>(ns % kSecond)};
}

}  // namespace

int64_t now_ns() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return to_ns(now);
}

Deadline Deadline::after(int64_t ns) noexcept { return ns < 0 ? never() : after(ns, now_ns()); }

Deadline Deadline::after(int64_t ns, int64_t now) noexcept {
  int64_t at = 0;
  return ns < 0 || __builtin_add_overflow(now, ns, &at) ? never() : Deadline(at);
}

int64_t Deadline::left_ns() const noexcept {
  return is_never() ? INT64_MAX : std::max<int64_t>(0, at_ - now_ns());
}

void sleep_until(Deadline deadline) noexcept {
  const timespec at = to_timespec(deadline.at_ns());
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) == EINTR) {
  }
}

// ---- Descriptors ----

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) reset(other.release());
  return *this;
}

int Fd::release() noexcept {
  unwatch();
  return std::exchange(fd_, -1);
}

void Fd::reset(int fd) noexcept {
  const int old = release();
  if (old >= 0) ::close(old);  // on EINTR too: Linux has closed it
  if (fd < 0) return;
  fd_ = fd;
  watch();
}

void Fd::in_child() noexcept {
  ::close(fd_);
  fd_ = -1;
}

unsigned wait_readable(const int* fds, size_t count, Deadline deadline) {
  pollfd polls[4];
  for (size_t i = 0; i < count; ++i) polls[i] = {fds[i], POLLIN, 0};  // poll skips negative fds
  while (true) {
    const int64_t left = deadline.left_ns();
    const timespec timeout = to_timespec(left);
    const int ready = ppoll(polls, count, deadline.is_never() ? nullptr : &timeout, nullptr);
    if (ready < 0 && errno != EINTR)
      system_failure(SIDECALL_INTERNAL, "cannot wait for a descriptor", errno);
    if (ready == 0) return 0;
    unsigned bits = 0;
    for (size_t i = 0; ready > 0 && i < count; ++i) bits |= polls[i].revents ? 1u << i : 0u;
    if (bits) return bits;
    if (left == 0) return 0;  // interrupted, but the deadline had already passed
  }
}

// ---- Messages ----

void Socket::pair(Socket* one, Socket* other) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
    system_failure(SIDECALL_OUT_OF_MEMORY, "cannot create a socket pair", errno);
  *one = Socket(Fd(fds[0]));
  *other = Socket(Fd(fds[1]));
}

Sent Socket::send(const void* data, size_t bytes, const int* fds, size_t num_fds) noexcept {
  iovec part{const_cast<void*>(data), bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (num_fds > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(num_fds * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(num_fds * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds, num_fds * sizeof(int));
  }
  while (sendmsg(fd(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    if (errno == EINTR) continue;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ENOMEM ||
                   errno == ETOOMANYREFS
               ? Sent::kFull
               : Sent::kGone;
  }
  return Sent::kDone;
}

bool Socket::ring() noexcept {
  while (::send(fd(), &kRing, 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    if (errno == EINTR) continue;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ENOMEM;
  }
  return true;
}

Received Socket::receive_with(void* buffer, size_t capacity, int flags) {
  Received received;
  iovec part{buffer, capacity};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t bytes = recvmsg(fd(), &message, flags | MSG_CMSG_CLOEXEC);
  // If the peer closed its end before it had read all our messages, the kernel reports that once,
  // and before it delivers the messages that the peer had sent.
  if (bytes < 0 && errno == ECONNRESET) bytes = recvmsg(fd(), &message, flags | MSG_CMSG_CLOEXEC);
  if (bytes < 0) {
    // If the kernel has no memory, the message stays in the socket and can be read later.
    const bool is_later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ||
                          errno == ENOMEM || errno == ENOBUFS;
    received.kind = is_later ? Received::kNothing : Received::kEnd;
    return received;
  }
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count && received.num_fds < kMaxDescriptors; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      received.fds[received.num_fds++].reset(fd);
    }
  }
  received.kind = bytes == 0 ? Received::kEnd : Received::kMessage;
  received.bytes = static_cast<size_t>(bytes);
  received.is_cut = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  // The kernel cut the list although there was room for more, so it could not create descriptors.
  received.lacks_descriptors =
      (message.msg_flags & MSG_CTRUNC) != 0 && received.num_fds < kMaxDescriptors;
  return received;
}

Received Socket::receive(void* buffer, size_t capacity) {
  while (true) {
    Received received = receive_with(buffer, capacity, MSG_DONTWAIT);
    if (received.kind != Received::kNothing || errno != EINTR) return received;
  }
}

Received Socket::receive(void* buffer, size_t capacity, Deadline deadline) {
  while (true) {
    Received received = receive(buffer, capacity);
    const int one = fd();
    if (received.kind != Received::kNothing || !wait_readable(&one, 1, deadline)) return received;
  }
}

Received Socket::receive_soon(void* buffer, size_t capacity) {
  if (!has_slice_) {
    const timeval slice{0, 2000};  // rounded up to the kernel's tick
    setsockopt(fd(), SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof slice);
    has_slice_ = true;
  }
  return receive_with(buffer, capacity, 0);
}

bool Socket::is_hung_up() const noexcept {
  pollfd one{fd(), 0, 0};
  // Without requested events poll reports only POLLHUP, POLLERR and POLLNVAL.
  return poll(&one, 1, 0) > 0;
}

// ---- The other end ----

PeerCredentials peer_credentials(int fd) {
  ucred found{};
  socklen_t bytes = sizeof found;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &found, &bytes) != 0)
    system_failure(SIDECALL_UNREACHABLE, "cannot read the credentials of the peer", errno);
  return {found.pid, found.uid, found.gid, found.uid};
}

Fd peer_pidfd(int fd) {
  int found = -1;
  socklen_t bytes = sizeof found;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &found, &bytes) == 0) return Fd(found);
  const pid_t pid = peer_credentials(fd).pid;  // 0 if the peer is in another PID namespace
  return Fd(pid > 0 ? static_cast<int>(syscall(SYS_pidfd_open, pid, 0)) : -1);
}

}  // namespace sidecall::shm
