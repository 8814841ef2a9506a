// The vector instructions that trees and products of matrices use if the processor has them at run
// time.
#pragma once

#include <cstdint>
#include <optional>

namespace sidecall::native {

// All of them find the same leaves and add the same numbers in the same order, so the bits of the
// answers are equal, except those of NaN.
// kAvx2 includes fused multiply-add.
enum class Vectors : uint8_t { kNone, kNeon, kAvx2, kAvx512 };

// Whether this processor has the instructions, and this library was compiled for them.
bool has_vectors(Vectors vectors);

// What models that are opened from now on use: the widest that this processor has.
Vectors chosen_vectors();

// For tests: chosen_vectors() returns this; without a value, the widest again. The library does not
// export it, so only programs that link the static library can call it.
void force_vectors(std::optional<Vectors> vectors);

}  // namespace sidecall::native
