// The exit handler that notes the end of the process; see process_end.h.
#include "process_end.h"

#include <atomic>
#include <cstdlib>

namespace sidecall {
namespace {

std::atomic<bool> is_ending{false};

#if defined(__SANITIZE_THREAD__)
constexpr std::memory_order kOrder = std::memory_order_seq_cst;
void fence(std::memory_order) noexcept {}
#else
constexpr std::memory_order kOrder = std::memory_order_relaxed;
void fence(std::memory_order order) noexcept { std::atomic_thread_fence(order); }
#endif

}  // namespace

// The thread that ends the process stores the flag and then destroys the objects of the library.
// Another thread uses these objects and then loads the flag. The fences keep both orders.
// ThreadSanitizer does not support fences, so its builds use seq_cst.
void watch_process_end() noexcept {
  // If there is no memory to register the handler, the end is not noticed; nothing else fails.
  std::atexit([] {
    is_ending.store(true, kOrder);
    fence(std::memory_order_release);
  });
}

bool is_process_ending() noexcept {
  fence(std::memory_order_acquire);
  return is_ending.load(kOrder);
}

}  // namespace sidecall
