// The fault points of test builds; see fault.h.
#include "fault.h"

#ifdef SIDECALL_FAULTS

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <string_view>

namespace sidecall::shm {
namespace {

struct Fault {
  std::string point, action;
  long nth = 1;
  std::atomic<long> reached{0};

  Fault() {
    const char* text = ::secure_getenv("SIDECALL_FAULT");
    if (!text) return;
    const std::string_view all = text;
    const size_t colon = all.rfind(':');
    if (colon == std::string_view::npos) return;
    action = all.substr(colon + 1);
    point = all.substr(0, colon);
    const size_t at = point.find('@');
    if (at == std::string::npos) return;
    nth = std::strtol(point.c_str() + at + 1, nullptr, 10);
    point.resize(at);
  }
};

}  // namespace

void fault_point(const char* name) noexcept {
  static Fault fault;
  if (fault.point != name || fault.reached.fetch_add(1, std::memory_order_relaxed) + 1 != fault.nth)
    return;  // relaxed, no partner: this is only a counter
  if (fault.action == "kill") raise(SIGKILL);
  if (fault.action == "stop") raise(SIGSTOP);
  if (fault.action == "exit") _exit(7);
  if (fault.action == "pause") usleep(200 * 1000);
}

}  // namespace sidecall::shm

#endif
