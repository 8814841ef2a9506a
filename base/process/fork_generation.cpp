// The fork handler that counts forks; see fork_generation.h.
#include "fork_generation.h"

#include <pthread.h>

#include <atomic>

namespace sidecall {
namespace {

// Relaxed is enough: the value changes only in a new child, which has one thread, and threads that
// start later see the new value.
std::atomic<uint64_t> generation{0};

// Registered when the library is loaded, before any object can store a generation.
[[maybe_unused]] const int registered =
    pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

uint64_t fork_generation() noexcept { return generation.load(std::memory_order_relaxed); }

}  // namespace sidecall
