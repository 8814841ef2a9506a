// Looks at a HELLO without reading it from the socket, because the worker must read it. Used by
// supervisor/accept.cpp.
#pragma once

#include <sys/socket.h>

#include <cerrno>

#include "shm/common/layout.h"
#include "shm/server/accepting/admission.h"

namespace sidecall::shm {

enum class Peeked { kNotYet, kGone, kNotHello, kStatus, kOther };

inline Peeked peek(int fd) noexcept {
  Hello hello{};
  const ssize_t got = ::recv(fd, &hello, sizeof hello, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return Peeked::kNotYet;
  if (got <= 0) return Peeked::kGone;
  if (!is_hello(&hello, static_cast<size_t>(got))) return Peeked::kNotHello;
  return got == static_cast<ssize_t>(sizeof hello) && hello.kind == kStatus ? Peeked::kStatus
                                                                            : Peeked::kOther;
}

}  // namespace sidecall::shm
