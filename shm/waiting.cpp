// What this process may keep busy, and when polling pays.
#include "waiting.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <string>

#include "socket.h"

namespace sidecall::shm {
namespace {

constexpr int64_t kMostWait = 2 * 1000 * 1000;  // of a wait in which others took turns
constexpr int64_t kFirstTurn = 5 * 1000;        // after this much polling of an own CPU it is offered now and then
constexpr int64_t kTurnCost = 500;              // of a yield that let others run, to this thread
constexpr int64_t kWorkPerTurn = 5;             // times what the last turn took
constexpr int64_t kLeastWork = 15 * 1000;       // between turns
constexpr int64_t kTooLong = 1000 * 1000;       // about a time slice of the scheduler, and more than a round of many clients
constexpr uint32_t kMostLearnt = 10;

// Threads of this process that wait and found out that it takes long. No partner: a hint.
std::atomic<int> waiting_threads{0};

// CPUs that a quota amounts to, rounded down; `fallback` where there is none.
int quota_cpus(const std::string& quota, long period, int fallback) {
  char* end = nullptr;
  const long value = std::strtol(quota.c_str(), &end, 10);
  if (end == quota.c_str() || value <= 0 || period <= 0) return fallback;
  return static_cast<int>(std::min<long>(value / period, fallback));
}

int cpus_of_folder(const std::string& folder, bool is_v2, int fallback) {
  std::string quota;
  long period = 0;
  if (is_v2) {
    std::ifstream(folder + "/cpu.max") >> quota >> period;
  } else {
    std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
    std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  }
  return quota_cpus(quota, period, fallback);
}

// The smallest quota on the way from our own group to the root that we can see.
int cgroup_cpus(int fallback) {
  std::ifstream groups("/proc/self/cgroup");
  std::string line;
  while (std::getline(groups, line)) {
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
  int allowed = 1;  // by affinity, of the thread that asked first
  int paid = 1;     // by quota
};

const Cpus& cpus() noexcept {
  static const Cpus found = [] {
    Cpus counted;
    cpu_set_t set;
    counted.allowed = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : CPU_SETSIZE;  // fails beyond 1024 CPUs
    try {
      counted.paid = cgroup_cpus(CPU_SETSIZE);
    } catch (...) {
      counted.paid = 1;
    }
    return counted;
  }();
  return found;
}

int64_t read_override() {
  const char* text = std::getenv("SIDECALL_SPIN_US");
  if (!text || !*text) return -1;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  return *end != '\0' || value < 0 ? -1 : std::min<int64_t>(value, 1000 * 1000) * 1000;
}

}  // namespace

int64_t spin_override_ns() noexcept {
  static const int64_t value = read_override();
  return value;
}

int usable_cpus() noexcept { return std::min(cpus().allowed, cpus().paid); }

bool Pace::begin(uint32_t peer_cpu, int32_t fixed_us) noexcept {
  const int64_t override_ns = spin_override_ns();
  const int64_t fixed_ns = override_ns >= 0 ? override_ns : int64_t{fixed_us} * 1000;
  const bool adapts = fixed_ns < 0;
  count(false);
  start_ns_ = given_ns_ = 0;
  budget_ns_ = adapts ? kSpin : fixed_ns;
  is_near_ = peer_cpu != 0 && peer_cpu == my_cpu();
  counts_ = gives_turns_ = false;
  if (!adapts) return fixed_ns > 0 && !is_near_;
  // A process that is pinned to one CPU may poll for a peer that runs on another.
  if (cpus().paid < 2 || (cpus().allowed < 2 && peer_cpu == 0)) return false;
  if (skip_ > 0) {
    --skip_;
    return false;
  }
  gives_turns_ = forgo_ == 0;
  if (forgo_ > 0) --forgo_;
  counts_ = gives_turns_ || !(is_near_ || is_shared_);
  return counts_;
}

bool Pace::rest(int64_t* now) noexcept {
  *now = now_ns();
  if (start_ns_ == 0) {
    start_ns_ = *now;
    next_turn_ns_ = *now + kFirstTurn;
  }
  if (gives_turns_ && (is_near_ || is_shared_ || *now >= next_turn_ns_) && (has_company() || is_near_)) {
    const int64_t took = yield(*now);
    *now += took;
    next_turn_ns_ = *now + kFirstTurn;
    if (is_shared_) given_ns_ += took - kTurnCost;
    // Nobody took it: the peer has moved, or does not want to run, and where it can be here only it will not while this thread looks.
    const bool is_idle = is_near_ && !is_shared_;
    if (took > kTooLong || (is_idle && cpus().allowed < 2)) {
      count(false);
      counts_ = false;
      return false;
    }
    if (is_idle) is_near_ = false;
  }
  const int64_t waited = *now - start_ns_;
  return waited - given_ns_ < budget_ns_ && (given_ns_ == 0 || waited < kMostWait);
}

int64_t Pace::yield(int64_t before) noexcept {
  sched_yield();
  const int64_t took = now_ns() - before;
  least_yield_ns_ = std::min(least_yield_ns_, took);
  is_shared_ = took > 2 * least_yield_ns_;  // two switches of thread
  if (took > kTooLong) {
    losses_ = std::min(losses_ + 2, kMostLearnt);
    forgo_ = (1u << losses_) - 1;
  } else if (losses_ > 0) {
    --losses_;
  }
  return took;
}

void Pace::give_turn(int64_t now, int32_t fixed_us) noexcept {
  if (now < next_gift_ns_ || spin_override_ns() >= 0 || fixed_us >= 0 || cpus().paid < 2) return;
  int64_t took = 0;
  if (forgo_ == 0) took = yield(now_ns());
  else --forgo_;
  next_gift_ns_ = now + took + std::max(kLeastWork, kWorkPerTurn * took);
}

// Alone in its process a thread does not offer its CPU: others may keep it for longer than the answer takes.
bool Pace::has_company() noexcept {
  count(true);
  return waiting_threads.load(std::memory_order_relaxed) > 1;
}

void Pace::count(bool is_waiting) noexcept {
  if (is_waiting == is_counted_) return;
  is_counted_ = is_waiting;
  waiting_threads.fetch_add(is_waiting ? 1 : -1, std::memory_order_relaxed);
}

void Pace::note(int64_t ns) noexcept {
  count(false);
  if (!counts_) return;
  counts_ = false;
  misses_ = ns <= kSpin ? 0 : std::min(misses_ + 1, kMostLearnt);
  skip_ = (1u << misses_) - 1;
}

}  // namespace sidecall::shm
