// Implements platform.h for Linux and glibc.
#include "platform.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "base/process/signals_blocked.h"
#include "error.h"

namespace sidecall::platform {
namespace {

[[noreturn]] void fail_file(const std::string& path, int error) {
  const bool absent = error == ENOENT || error == ENOTDIR;
  if (error == EMFILE)
    throw Error(SIDECALL_OUT_OF_MEMORY,
                "file '" + path + "': no file descriptor is left: raise ulimit -n");
  const int32_t status = absent ? SIDECALL_FILE_NOT_FOUND : SIDECALL_FILE_UNREADABLE;
  const char* reason = absent                  ? "no such file"
                       : error == EACCES       ? "permission denied"
                       : error == EISDIR       ? "it is a directory"
                       : error == ELOOP        ? "too many symbolic links"
                       : error == ENAMETOOLONG ? "the name is too long"
                                               : "it cannot be read";
  throw Error(status, "file '" + path + "': " + reason);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

timespec timespec_of(Clock::duration time) noexcept {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
  return {static_cast<time_t>(seconds.count()),
          static_cast<long>(std::chrono::nanoseconds(time - seconds).count())};
}

using CString = std::unique_ptr<char, decltype(&std::free)>;  // a text that the C library allocated

std::vector<std::string> list(const std::string& folder, const std::string& prefix, bool folders) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> opened(::opendir(folder.c_str()), ::closedir);
  if (opened == nullptr) return names;
  while (const dirent* entry = ::readdir(opened.get())) {
    if (std::strncmp(entry->d_name, prefix.c_str(), prefix.size()) == 0)
      names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end(),
            [](const auto& a, const auto& b) { return ::strverscmp(a.c_str(), b.c_str()) > 0; });
  std::vector<std::string> paths;
  for (const std::string& name : names) {
    const std::string path = folder + "/" + name;
    struct stat state{};
    if (::stat(path.c_str(), &state) == 0 && (S_ISDIR(state.st_mode) != 0) == folders)
      paths.push_back(path);
  }
  return paths;
}

}  // namespace

std::string read_file(const std::string& path, uint64_t limit) {
  // O_NONBLOCK, so that opening a FIFO of that name cannot block.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) fail_file(path, errno);
  struct stat state{};
  if (::fstat(file.get(), &state) != 0) fail_file(path, errno);
  if (S_ISDIR(state.st_mode)) fail_file(path, EISDIR);
  if (!S_ISREG(state.st_mode))
    throw Error(SIDECALL_FILE_UNREADABLE, "file '" + path + "': it is not a regular file");
  const auto size = static_cast<uint64_t>(state.st_size);
  if (size > limit) {
    throw Error(SIDECALL_FILE_TOO_LARGE, "file '" + path + "': expected at most " +
                                             std::to_string(limit) + " bytes, got " +
                                             std::to_string(size));
  }
  std::string bytes(size, '\0');
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::read(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_file(path, errno);
    if (got == 0) break;  // the file shrank meanwhile; the parser will report that it is truncated
    filled += static_cast<size_t>(got);
  }
  bytes.resize(filled);
  return bytes;
}

std::string real_path(const std::string& path) {
  const CString resolved(::realpath(path.c_str(), nullptr), std::free);
  if (resolved == nullptr) fail_file(path, errno);
  return resolved.get();
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool is_file(const std::string& path) noexcept {
  struct stat state{};
  return ::stat(path.c_str(), &state) == 0 && S_ISREG(state.st_mode);
}

std::vector<std::string> list_files(const std::string& folder, const std::string& prefix) {
  return list(folder, prefix, false);
}

std::vector<std::string> list_folders(const std::string& folder, const std::string& prefix) {
  return list(folder, prefix, true);
}

void* load_library(const std::string& path, std::string* why) noexcept {
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr && why != nullptr) {
    const char* text = ::dlerror();
    *why = text != nullptr ? text : "unknown reason";
  }
  return library;
}

void* find_symbol(void* library, const char* name) noexcept { return ::dlsym(library, name); }

std::string find_resident_library(const std::string& prefix) {
  struct Search {
    const std::string& prefix;
    std::string found;
  } search{prefix, {}};
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        auto& wanted = *static_cast<Search*>(data);
        const std::string path = info->dlpi_name != nullptr ? info->dlpi_name : "";
        const std::string name = path.substr(path.rfind('/') + 1);
        if (name.compare(0, wanted.prefix.size(), wanted.prefix) != 0) return 0;
        wanted.found = path;
        return 1;
      },
      &search);
  return search.found;
}

std::string own_path() {
  // For the program itself, dladdr returns argv[0], which the caller of the program chooses. So
  // this function uses the link map, in which only libraries have a name.
  Dl_info info{};
  link_map* library = nullptr;
  const int found = ::dladdr1(reinterpret_cast<void*>(&own_path), &info,
                              reinterpret_cast<void**>(&library), RTLD_DL_LINKMAP);
  if (found != 0 && library != nullptr && library->l_name[0] != '\0') {
    const CString resolved(::realpath(library->l_name, nullptr), std::free);
    if (resolved != nullptr) return resolved.get();
  }
  char path[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  return length > 0 ? std::string(path, static_cast<size_t>(length)) : std::string();
}

const char* environment(const char* name) noexcept { return ::secure_getenv(name); }

void set_environment_if_unset(const char* name, const char* value) noexcept {
  ::setenv(name, value, 0);
}

int32_t process_id() noexcept { return static_cast<int32_t>(::getpid()); }

uint64_t random_number() noexcept {
  uint64_t number = 0;
  if (::getrandom(&number, sizeof number, GRND_NONBLOCK) == static_cast<ssize_t>(sizeof number))
    return number;
  // getrandom() fails early at boot, or if a sandbox forbids it. Addresses and the clock are then
  // hard enough to guess.
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return reinterpret_cast<uintptr_t>(&number) * UINT64_C(0x9e3779b97f4a7c15) ^
         static_cast<uint64_t>(now.tv_nsec) << 20;
}

bool start_thread(void (*body)(void*), void* argument) noexcept {
  struct Start {
    void (*body)(void*);
    void* argument;
  };
  auto* start = new (std::nothrow) Start{body, argument};
  if (start == nullptr) return false;
  pthread_t thread{};
  const auto entry = [](void* data) -> void* {
    const Start copy = *static_cast<Start*>(data);
    delete static_cast<Start*>(data);
    copy.body(copy.argument);
    return nullptr;
  };
  int error = 0;
  {
    const SignalsBlocked blocked;
    error = ::pthread_create(&thread, nullptr, entry, start);
  }
  if (error != 0) {
    delete start;
    return false;
  }
  ::pthread_detach(thread);
  return true;
}

void let_waker_go_on() noexcept {
  const sched_param none{};
  if (::sched_getscheduler(0) == SCHED_OTHER) ::sched_setscheduler(0, SCHED_BATCH, &none);
}

WaitSet::WaitSet()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) {
  bool is_made = epoll_ >= 0 && timer_ >= 0;
  for (const int fd : {event_.fd(), timer_}) {
    epoll_event readable{};
    readable.events = EPOLLIN;
    readable.data.fd = fd;
    is_made = is_made && ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &readable) == 0;
  }
  if (is_made) return;
  close_all();
  throw Error(SIDECALL_OUT_OF_MEMORY,
              "cannot create the descriptors of a queue: no file descriptor is left: raise "
              "ulimit -n");
}

WaitSet::~WaitSet() { close_all(); }

void WaitSet::close_all() noexcept {
  for (const int fd : {epoll_, timer_}) {
    if (fd >= 0) ::close(fd);
  }
}

void WaitSet::set_timer(Clock::time_point at) noexcept {
  if (timer_at_ <= at) return;
  const timespec time = timespec_of(at.time_since_epoch());
  const itimerspec when{{0, 0}, time};
  if (::timerfd_settime(timer_, TFD_TIMER_ABSTIME, &when, nullptr) == 0) timer_at_ = at;
}

void WaitSet::wait(Clock::time_point until) noexcept {
  const Clock::time_point now = Clock::now();
  const timespec left = timespec_of(until > now ? until - now : Clock::duration::zero());
  pollfd set{epoll_, POLLIN, 0};
  ::ppoll(&set, 1, until == Clock::time_point::max() ? nullptr : &left, nullptr);
}

void WaitSet::signal() noexcept {
  event_.signal();
  is_signalled_.store(true);
}

void WaitSet::take_signal() noexcept {
  is_signalled_.store(false);
  event_.drain();
}

void WaitSet::take_expiry() noexcept {
  uint64_t number = 0;
  [[maybe_unused]] const ssize_t got = ::read(timer_, &number, sizeof number);
  timer_at_ = Clock::time_point::max();
}

WaitSet::Events WaitSet::take_events(bool has_sockets) noexcept {
  constexpr int kMost = 64;
  Events seen;
  if (!has_sockets) {
    if (is_signalled_.load()) take_signal();
    if (timer_at_ != Clock::time_point::max() && timer_at_ <= Clock::now()) take_expiry();
    return seen;
  }
  std::array<epoll_event, kMost> events{};
  int count = kMost;
  while (count == kMost) {
    count = ::epoll_wait(epoll_, events.data(), kMost, 0);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<size_t>(i)];
      if (event.data.fd == event_.fd()) {
        take_signal();
      } else if (event.data.fd == timer_) {
        take_expiry();
      } else {
        seen.has_message = true;
        if ((event.events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) != 0) seen.has_hang_up = true;
      }
    }
  }
  return seen;
}

Event::Event() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ < 0)
    throw Error(SIDECALL_OUT_OF_MEMORY,
                "cannot create an eventfd: no file descriptor is left: raise ulimit -n");
}

Event::~Event() { ::close(fd_); }

void Event::signal() noexcept {
  const uint64_t one = 1;
  // The write fails only if the counter is at its maximum; the descriptor is readable then.
  [[maybe_unused]] const ssize_t written = ::write(fd_, &one, sizeof one);
}

void Event::drain() noexcept {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(fd_, &count, sizeof count);
}

}  // namespace sidecall::platform
