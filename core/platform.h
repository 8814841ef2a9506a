// All calls of core that are not standard C++: files, shared libraries, events, the process. A port
// replaces platform.cpp and confined_folder.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sidecall::platform {

// The whole file. Throws FILE_NOT_FOUND, FILE_UNREADABLE, FILE_TOO_LARGE (beyond `limit`).
std::string read_file(const std::string& path, uint64_t limit);

// Absolute, without links. Throws FILE_NOT_FOUND, FILE_UNREADABLE.
std::string real_path(const std::string& path);

std::string folder_of(const std::string& path);  // "." where there is none
bool is_file(const std::string& path) noexcept;

// Paths that match folder/prefix*, the one that sorts last by version first.
std::vector<std::string> list_files(const std::string& folder, const std::string& prefix);
std::vector<std::string> list_folders(const std::string& folder, const std::string& prefix);

// A shared library stays loaded until the process ends. nullptr and `why` when it cannot be loaded.
void* load_library(const std::string& path, std::string* why) noexcept;
void* find_symbol(void* library, const char* name) noexcept;

// Path of a loaded library whose file name starts with `prefix`; "" when there is none.
std::string find_resident_library(const std::string& prefix);

// The file that holds this code: libsidecall, an addon, or the program.
std::string own_path();

// nullptr when unset, and in a program that has more rights than its caller (setuid, setgid, file capabilities): there the
// environment belongs to the caller and must not choose what is loaded, opened or checked.
const char* environment(const char* name) noexcept;
void set_environment_if_unset(const char* name, const char* value) noexcept;

int32_t process_id() noexcept;
uint64_t random_number() noexcept;  // that others cannot guess

// Runs `body` on a thread of its own that takes no signals of the host and is never joined. False when none can be made.
bool start_thread(void (*body)(void*), void* argument) noexcept;

// A descriptor that becomes readable. Signal and drain never block.
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

}  // namespace sidecall::platform
