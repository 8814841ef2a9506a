// All functions of core that need more than standard C++: files, shared libraries, events, the
// process. A port to another system replaces platform.cpp and confined_folder.cpp.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "clock.h"

namespace sidecall::platform {

// Reads the whole file. Throws FILE_NOT_FOUND, FILE_UNREADABLE, FILE_TOO_LARGE (more than `limit`
// bytes), OUT_OF_MEMORY (no file descriptor is left).
std::string read_file(const std::string& path, uint64_t limit);

// The absolute path without symbolic links. Throws FILE_NOT_FOUND, FILE_UNREADABLE.
std::string real_path(const std::string& path);

std::string folder_of(const std::string& path);  // "." if the path names no folder
bool is_file(const std::string& path) noexcept;

// Paths that match folder/prefix*, in descending order of version.
std::vector<std::string> list_files(const std::string& folder, const std::string& prefix);
std::vector<std::string> list_folders(const std::string& folder, const std::string& prefix);

// Loads a shared library, which stays loaded until the process ends. If that fails, returns nullptr
// and sets `why`.
void* load_library(const std::string& path, std::string* why) noexcept;
void* find_symbol(void* library, const char* name) noexcept;

// The path of a loaded library whose file name starts with `prefix`; "" if there is none.
std::string find_resident_library(const std::string& prefix);

// The file that holds this code: libsidecall, an addon, or the program.
std::string own_path();

// The value of an environment variable. nullptr if it is unset, or if the program has more rights
// than its caller (setuid, setgid, file capabilities): in that case the caller controls the
// environment, which must not decide what is loaded, opened or checked.
const char* environment(const char* name) noexcept;
void set_environment_if_unset(const char* name, const char* value) noexcept;

int32_t process_id() noexcept;
uint64_t random_number() noexcept;  // hard for others to guess

// Runs `body` on a new detached thread that receives no signals of the host. Returns false if no
// thread can be made.
bool start_thread(void (*body)(void*), void* argument) noexcept;

// A thread that wakes the calling thread goes on first, if both share a CPU.
void let_waker_go_on() noexcept;

// A descriptor that signal() makes readable and drain() makes unreadable. Neither blocks.
class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  int fd() const noexcept { return fd_; }
  void signal() noexcept;
  void drain() noexcept;

 private:
  int fd_;
};

// Sockets, a timer and an event that one thread waits for. The sockets are added with
// EPOLLIN | EPOLLRDHUP | EPOLLET to the descriptor of the set; the kernel removes those that are
// closed.
class WaitSet {
 public:
  // What happened since the last take_events(). A socket is reported once for each change.
  struct Events {
    bool has_message = false, has_hang_up = false;
  };

  WaitSet();
  ~WaitSet();
  WaitSet(const WaitSet&) = delete;
  WaitSet& operator=(const WaitSet&) = delete;

  // Readable while there are events.
  int fd() const noexcept { return epoll_; }
  void signal() noexcept;  // makes an event; may be called from any thread
  // Makes an event at this time, unless a timer is set that expires sooner.
  void set_timer(Clock::time_point at) noexcept;
  // Returns when there are events, or at `until`.
  void wait(Clock::time_point until) noexcept;
  // `has_sockets`: sockets were added to fd(). If not, makes a system call only if the event was
  // signalled or the timer has expired.
  Events take_events(bool has_sockets) noexcept;

 private:
  void close_all() noexcept;
  void take_signal() noexcept;
  void take_expiry() noexcept;

  Event event_;
  // Partners: signal() makes the descriptor readable and then stores true; take_signal() stores
  // false and then empties the descriptor. So a descriptor that is readable is emptied in the end.
  std::atomic<bool> is_signalled_{false};
  int epoll_ = -1, timer_ = -1;
  Clock::time_point timer_at_ = Clock::time_point::max();
};

}  // namespace sidecall::platform
