// Looks up what vector instructions this processor has; see vectors.h.
#include "vectors.h"

#include <atomic>

namespace sidecall::native {
namespace {

constexpr int kNotForced = -1;
std::atomic<int> forced{kNotForced};

}  // namespace

bool has_vectors(Vectors vectors) {
  switch (vectors) {
    case Vectors::kNone:
      return true;
    case Vectors::kNeon:
#if defined(__aarch64__)
      return true;
#else
      return false;
#endif
    case Vectors::kAvx2:
#if defined(__x86_64__)
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
      return false;
#endif
    case Vectors::kAvx512:
#if defined(__x86_64__)
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512cd");
#else
      return false;
#endif
  }
  return false;
}

Vectors chosen_vectors() {
  const int choice = forced.load(std::memory_order_relaxed);
  if (choice != kNotForced) return static_cast<Vectors>(choice);
  for (const Vectors vectors : {Vectors::kAvx512, Vectors::kAvx2, Vectors::kNeon}) {
    if (has_vectors(vectors)) return vectors;
  }
  return Vectors::kNone;
}

void force_vectors(std::optional<Vectors> vectors) {
  forced.store(vectors ? static_cast<int>(*vectors) : kNotForced, std::memory_order_relaxed);
}

}  // namespace sidecall::native
