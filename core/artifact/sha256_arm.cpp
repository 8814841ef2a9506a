// SHA-256 with the SHA2 instructions of ARMv8 (Arm ARM, SHA256H).
#include "sha256_blocks.h"

#if defined(__aarch64__)

#include <arm_neon.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>

#if defined(__clang__)
#define SIDECALL_SHA2 __attribute__((target("sha2")))
#else
#define SIDECALL_SHA2 __attribute__((target("+sha2")))
#endif

namespace sidecall {
namespace {

SIDECALL_SHA2 void add_blocks(uint32_t* state, const uint8_t* blocks, size_t count) {
  uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
  for (; count > 0; --count, blocks += 64) {
    const uint32x4_t abcd_before = abcd, efgh_before = efgh;
    uint32x4_t w[4];  // the last 16 words of the message schedule
    for (size_t i = 0; i < 4; ++i)
      w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(blocks + 16 * i)));
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; ++i) {  // four rounds each
      const uint32x4_t sum = vaddq_u32(w[i % 4], vld1q_u32(kSha256Rounds + 4 * i));
      if (i < 12)
        w[i % 4] = vsha256su1q_u32(vsha256su0q_u32(w[i % 4], w[(i + 1) % 4]), w[(i + 2) % 4],
                                   w[(i + 3) % 4]);
      const uint32x4_t abcd_now = abcd;
      abcd = vsha256hq_u32(abcd, efgh, sum);
      efgh = vsha256h2q_u32(efgh, abcd_now, sum);
    }
    abcd = vaddq_u32(abcd, abcd_before);
    efgh = vaddq_u32(efgh, efgh_before);
  }
  vst1q_u32(state, abcd);
  vst1q_u32(state + 4, efgh);
}

}  // namespace

Sha256Blocks sha256_blocks_arm() {
  return (getauxval(AT_HWCAP) & HWCAP_SHA2) != 0 ? add_blocks : nullptr;
}

}  // namespace sidecall

#else

namespace sidecall {

Sha256Blocks sha256_blocks_arm() { return nullptr; }

}  // namespace sidecall

#endif
