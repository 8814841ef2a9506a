// SHA-256 with the SHA instructions of x86-64 (Intel SDM, volume 2, SHA256RNDS2).
#include "sha256_blocks.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define SIDECALL_SHA __attribute__((target("sha,sse4.1,ssse3")))

namespace sidecall {
namespace {

constexpr size_t kAhead = 1024;  // bytes from the block that is added to the one that is fetched

SIDECALL_SHA inline __m128i load(const void* from) {
  return _mm_loadu_si128(static_cast<const __m128i*>(from));
}

SIDECALL_SHA inline void store(void* to, __m128i words) {
  _mm_storeu_si128(static_cast<__m128i*>(to), words);
}

// The instructions hold the state as the words a, b, e, f and c, d, g, h.
SIDECALL_SHA void add_blocks(uint32_t* state, const uint8_t* blocks, size_t count) {
  const __m128i to_big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  const __m128i cdab = _mm_shuffle_epi32(load(state), 0xb1);
  const __m128i efgh = _mm_shuffle_epi32(load(state + 4), 0x1b);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
  __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
  for (; count > 0; --count, blocks += 64) {
    // Without this, the rounds wait for memory: they take a third longer for a large file.
    _mm_prefetch(reinterpret_cast<const char*>(blocks) + kAhead, _MM_HINT_T0);
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4];  // the last 16 words of the message schedule
    for (size_t i = 0; i < 4; ++i) w[i] = _mm_shuffle_epi8(load(blocks + 16 * i), to_big_endian);
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; ++i) {  // four rounds each
      const __m128i now = w[i % 4];
      const __m128i sum = _mm_add_epi32(now, load(kSha256Rounds + 4 * i));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
      if (i >= 3 && i < 15) {
        __m128i& next = w[(i + 1) % 4];
        next = _mm_add_epi32(next, _mm_alignr_epi8(now, w[(i + 3) % 4], 4));
        next = _mm_sha256msg2_epu32(next, now);
      }
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
      if (i >= 1 && i < 13) w[(i + 3) % 4] = _mm_sha256msg1_epu32(w[(i + 3) % 4], now);
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  const __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  store(state, _mm_blend_epi16(feba, dchg, 0xf0));
  store(state + 4, _mm_alignr_epi8(dchg, feba, 8));
}

}  // namespace

Sha256Blocks sha256_blocks_x86() {
  constexpr unsigned kSha = 1U << 29;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  const bool has_sha = __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ebx & kSha) != 0;
  return has_sha && __builtin_cpu_supports("sse4.1") ? add_blocks : nullptr;
}

}  // namespace sidecall

#else

namespace sidecall {

Sha256Blocks sha256_blocks_x86() { return nullptr; }

}  // namespace sidecall

#endif
