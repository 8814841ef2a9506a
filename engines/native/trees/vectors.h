// AVX-512, which functions marked SIDECALL_AVX512 use if the processor has it at run time.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>

#define SIDECALL_AVX512 __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512cd")))
#endif

namespace sidecall::native {

// Whether this processor has the instructions of SIDECALL_AVX512.
inline bool has_avx512() {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
  return has;
#else
  return false;
#endif
}

}  // namespace sidecall::native
