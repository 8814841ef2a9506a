// How many CPUs this process may use, and the environment variable that sets the polling time.
#include "spin_policy.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string>

namespace sidecall {
namespace {

// Reads the first 16 KiB of a file of the kernel, which is all of it in practice. Returns "" if
// there is no such file. A file stream would make a statically linked program 0.4 MB larger.
std::string read_text(const std::string& path) {
  std::string text(16384, '\0');
  size_t length = 0;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  while (fd >= 0 && length < text.size()) {
    const ssize_t count = ::read(fd, &text[length], text.size() - length);
    if (count <= 0) break;
    length += static_cast<size_t>(count);
  }
  if (fd >= 0) ::close(fd);
  text.resize(length);
  return text;
}

// `text` is a quota and its period. Returns the number of CPUs that they allow, rounded down;
// `fallback` if there is no quota.
int quota_cpus(const std::string& text, int fallback) {
  char* end = nullptr;
  const long quota = std::strtol(text.c_str(), &end, 10);
  if (end == text.c_str() || quota <= 0) return fallback;
  const long period = std::strtol(end, nullptr, 10);
  return period <= 0 ? fallback : static_cast<int>(std::min<long>(quota / period, fallback));
}

int cpus_of_folder(const std::string& folder, bool is_v2, int fallback) {
  return quota_cpus(is_v2 ? read_text(folder + "/cpu.max")
                          : read_text(folder + "/cpu.cfs_quota_us") + " " +
                                read_text(folder + "/cpu.cfs_period_us"),
                    fallback);
}

// The smallest quota of our own cgroup and of the parents that we can see.
int cgroup_cpus(int fallback) {
  const std::string groups = read_text("/proc/self/cgroup");
  for (size_t start = 0, end = 0; start < groups.size(); start = end + 1) {
    end = std::min(groups.find('\n', start), groups.size());
    const std::string line = groups.substr(start, end - start);
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool is_v2 = controllers == ",,";
    if (!is_v2 && controllers.find(",cpu,") == std::string::npos) continue;
    const std::string root = is_v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu";
    std::string path = line.substr(second + 1);
    while (true) {
      fallback = cpus_of_folder(root + path, is_v2, fallback);
      const size_t slash = path.rfind('/');
      if (path.empty() || slash == std::string::npos) break;
      path.resize(slash);
    }
  }
  return fallback;
}

struct Cpus {
  int32_t allowed = 1;  // by the affinity of the thread that asked first
  int32_t paid = 1;     // by the cgroup quota
};

Cpus count_cpus() noexcept {
  Cpus counted;
  cpu_set_t set;
  counted.allowed = sched_getaffinity(0, sizeof set, &set) == 0
                        ? CPU_COUNT(&set)
                        : CPU_SETSIZE;  // the call fails beyond 1024 CPUs
  try {
    counted.paid = cgroup_cpus(CPU_SETSIZE);
  } catch (...) {
    counted.paid = 1;
  }
  return counted;
}

// Counted once. A local static object would not do: if another thread initialises it while this
// process forks, the child waits for ever.
Cpus cpus() noexcept {
  static std::atomic<Cpus> known{{0, 0}};
  Cpus found = known.load(std::memory_order_relaxed);
  if (found.allowed == 0) {
    found = count_cpus();
    known.store(found, std::memory_order_relaxed);
  }
  return found;
}

int64_t read_override() {
  const char* text = ::secure_getenv("SIDECALL_SPIN_US");
  if (!text || !*text) return -1;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  return *end != '\0' || value < 0 ? -1 : std::min<int64_t>(value, 1000 * 1000) * 1000;
}

}  // namespace

int64_t Machine::now() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 * 1000 * 1000 + now.tv_nsec;
}

int64_t spin_override_ns() noexcept {
  constexpr int64_t kUnknown = INT64_MIN;
  static std::atomic<int64_t> known{kUnknown};
  int64_t value = known.load(std::memory_order_relaxed);
  if (value == kUnknown) {
    value = read_override();
    known.store(value, std::memory_order_relaxed);
  }
  return value;
}

int64_t polling_ns() noexcept {
  const int64_t override_ns = spin_override_ns();
  if (override_ns >= 0) return override_ns;
  return usable_cpus() < 2 ? 0 : SpinPolicy::kSpin;
}

int usable_cpus() noexcept { return std::min(cpus().allowed, cpus().paid); }

std::atomic<int> Machine::waiting{0};
int Machine::allowed_cpus() noexcept { return cpus().allowed; }
int Machine::paid_cpus() noexcept { return cpus().paid; }

template class BasicSpinPolicy<Machine>;

}  // namespace sidecall
