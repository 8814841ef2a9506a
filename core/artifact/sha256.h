// SHA-256 (FIPS 180-4), for model ids. Implemented here because Debian packages no implementation
// that is header-only or a position-independent static library.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "sha256_blocks.h"

namespace sidecall {

class Sha256 {
 public:
  // Tests give the inner loop; all of them compute the same.
  explicit Sha256(Sha256Blocks add_blocks = sha256_blocks()) : add_blocks_(add_blocks) {}

  void update(std::string_view bytes);
  std::string hex();  // finishes the hash; may be called only once

 private:
  const Sha256Blocks add_blocks_;
  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> block_{};
  uint64_t length_ = 0;
};

}  // namespace sidecall
