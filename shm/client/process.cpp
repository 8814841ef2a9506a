// Reads the state of another process from /proc.
#include "process.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "shm/common/socket.h"

namespace sidecall::shm {
namespace {

// Flags of include/linux/sched.h. Each is set, and never cleared, in a thread that is exiting, that
// waits for the core dump of another thread, or that writes a core dump.
constexpr unsigned kExiting = 0x4, kAwaitsCoreDump = 0x8, kDumpsCore = 0x200;
constexpr unsigned kEnding = kExiting | kAwaitsCoreDump | kDumpsCore;

// Reads the text of a file, cut to the size of the array. False if the file cannot be read.
bool read_text(const char* path, std::array<char, 1024>* text) noexcept {
  const Fd file(open(path, O_RDONLY | O_CLOEXEC));
  if (!file) return false;
  const ssize_t bytes = read(file.get(), text->data(), text->size() - 1);
  if (bytes <= 0) return false;
  (*text)[static_cast<size_t>(bytes)] = '\0';
  return true;
}

// The flags of a thread, field 9 of its stat file; 0 if they cannot be read.
unsigned flags_of(const char* stat_path) noexcept {
  std::array<char, 1024> text;
  if (!read_text(stat_path, &text)) return 0;
  const char* name_end = std::strrchr(text.data(), ')');  // the name may contain any characters
  unsigned flags = 0;
  if (name_end == nullptr || std::sscanf(name_end, ") %*c %*d %*d %*d %*d %*d %u", &flags) != 1)
    return 0;
  return flags;
}

// Whether the flags have the expected meaning. A kernel that used these bits in another way would
// probably set some of them in this thread, which is alive.
bool flags_are_known() noexcept {
  enum Known : int { kNot, kNo, kYes };
  static std::atomic<Known> known{kNot};
  Known is = known.load(std::memory_order_relaxed);
  if (is == kNot) {
    is = (flags_of("/proc/thread-self/stat") & kEnding) == 0 ? kYes : kNo;
    known.store(is, std::memory_order_relaxed);
  }
  return is == kYes;
}

}  // namespace

pid_t pid_of(int pidfd) noexcept {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
  std::array<char, 1024> text;
  if (pidfd < 0 || !read_text(path, &text)) return 0;
  const char* line = std::strstr(text.data(), "\nPid:");
  const long pid = line == nullptr ? 0 : std::strtol(line + 5, nullptr, 10);
  return pid > 0 ? static_cast<pid_t>(pid) : 0;
}

bool is_ending(pid_t pid) noexcept {
  char path[128];
  std::snprintf(path, sizeof path, "/proc/%d/stat", pid);
  if (pid <= 0 || (flags_of(path) & kEnding) == 0 || !flags_are_known()) return false;
  // The first thread may have ended alone, so check all threads.
  std::snprintf(path, sizeof path, "/proc/%d/task", pid);
  DIR* const tasks = opendir(path);
  if (tasks == nullptr) return false;
  bool is = true;
  size_t found = 0;
  for (;;) {
    errno = 0;  // readdir reports a failure only by errno
    const dirent* const task = readdir(tasks);
    if (task == nullptr) break;
    if (task->d_name[0] == '.') continue;
    ++found;
    std::snprintf(path, sizeof path, "/proc/%d/task/%.20s/stat", pid, task->d_name);
    is = is && (flags_of(path) & kEnding) != 0;
  }
  is = is && errno == 0 && found > 0;
  closedir(tasks);
  return is;
}

}  // namespace sidecall::shm
