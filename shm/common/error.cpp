// Throws the errors of shm for a peer that breaks the protocol and for system calls that fail.
#include "error.h"

#include <cerrno>
#include <cstring>
#include <system_error>

namespace sidecall::shm {

void violation(const std::string& what) {
  throw Error(SIDECALL_PROTOCOL, "the peer broke the protocol: " + what);
}

void system_failure(int32_t status, const std::string& what, int error_number) {
  const bool is_short = error_number == ENOMEM || error_number == ENFILE ||
                        error_number == ENOSPC || error_number == ENOBUFS;
  if (error_number == EMFILE) no_descriptor_left(what);
  throw Error(is_short ? SIDECALL_OUT_OF_MEMORY : status,
              what + ": " + std::generic_category().message(error_number));
}

void no_descriptor_left(const std::string& what) {
  throw Error(SIDECALL_OUT_OF_MEMORY, what + ": no file descriptor is left: raise ulimit -n");
}

}  // namespace sidecall::shm
