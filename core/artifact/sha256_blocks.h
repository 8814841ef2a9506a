// The inner loop of SHA-256: a version for any processor, and one for each set of instructions for
// SHA-256. Used by sha256.cpp.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sidecall {

// Updates the 8 words of a state with `count` blocks of 64 bytes.
using Sha256Blocks = void (*)(uint32_t* state, const uint8_t* blocks, size_t count);

void sha256_blocks_plain(uint32_t* state, const uint8_t* blocks, size_t count);

// With the instructions of this processor; nullptr if it has none.
Sha256Blocks sha256_blocks_x86();
Sha256Blocks sha256_blocks_arm();

// The fastest of these. The processor is asked once, because the question can take as long as
// hashing a small file.
Sha256Blocks sha256_blocks();

// The constants of the 64 rounds.
extern const uint32_t kSha256Rounds[64];

}  // namespace sidecall
