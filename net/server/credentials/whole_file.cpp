// See whole_file.h.
#include "whole_file.h"

#include <fcntl.h>
#include <sidecall/sidecall.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "net/common/error.h"
#include "net/server/connection/descriptor.h"

namespace sidecall::net {
namespace {

[[noreturn]] void refuse(const char* option, const char* expected, const std::string& got) {
  throw Error(SIDECALL_INVALID_ARGUMENT,
              std::string(option) + ": expected " + expected + ", got " + got);
}

}  // namespace

std::string read_whole(const std::string& path, const char* option, const char* expected,
                       size_t max_bytes) {
  struct stat status{};
  // Opening a pipe would wait for its other end.
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
    refuse(option, expected, "something else than a file");
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0)
    refuse(option, expected, std::string("none that can be opened: ") + std::strerror(errno));
  std::string text;
  std::array<char, 16384> part{};
  for (;;) {
    const ssize_t got = ::read(file.get(), part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      refuse(option, expected, std::string("one that cannot be read: ") + std::strerror(errno));
    if (got == 0) return text;
    text.append(part.data(), static_cast<size_t>(got));
    if (text.size() > max_bytes)
      refuse(option, expected, "one of more than " + std::to_string(max_bytes >> 20U) + " MiB");
  }
}

}  // namespace sidecall::net
