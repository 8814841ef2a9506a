// How a thread reads a word that another core writes: pauses, prefetches, and how often it reads.
#pragma once

#include "base/process/spin_policy.h"

namespace sidecall::shm {

// Prefetch a cache line before it is read or written. Any address is harmless.
inline void fetch_to_read(const void* at) noexcept { __builtin_prefetch(at, 0, 3); }
inline void fetch_to_write(const void* at) noexcept {
#if defined(__x86_64__) || defined(__i386__)
  // __builtin_prefetch for writing would compile to a read prefetch here, unless the compiler may
  // assume that every CPU has prefetchw.
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(at)));
#else
  __builtin_prefetch(at, 1, 3);
#endif
}

// How often a waiting thread reads the word, with relax() in between, before it calls rest() again.
// rest() reads the clock, which takes as long as moving a cache line between cores. If the thread
// yields to others on its CPU, it reads the word only once before each rest().
constexpr int kReadsPerRest = 64;

}  // namespace sidecall::shm
