// The seeded hash; see hash.h. Multiply and fold, as in wyhash (Wang Yi,
// https://github.com/wangyi-fudan/wyhash), which is fast for short keys such as names. It is not a
// cryptographic hash, and hashes never leave the process.
#include "hash.h"

#include <atomic>
#include <cstdint>
#include <cstring>

#include "platform.h"

namespace sidecall {
namespace {

__extension__ using Product = unsigned __int128;

uint64_t fold(uint64_t a, uint64_t b) noexcept {
  const Product product = static_cast<Product>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

template <typename Number>
uint64_t read(const char* at) noexcept {
  Number number;
  std::memcpy(&number, at, sizeof number);
  return number;
}

struct Seeds {
  uint64_t first, second;
};

// Draws a number once. A local static object would not do: if another thread initialises it while
// this process forks, the child waits for ever.
uint64_t draw_once(std::atomic<uint64_t>* number) noexcept {
  uint64_t drawn = number->load(std::memory_order_relaxed);
  if (drawn != 0) return drawn;
  const uint64_t fresh = platform::random_number() | 1;
  return number->compare_exchange_strong(drawn, fresh, std::memory_order_relaxed) ? fresh : drawn;
}

Seeds seeds() noexcept {
  static std::atomic<uint64_t> first{0}, second{0};
  return {draw_once(&first), draw_once(&second)};
}

// Up to eight bytes as one number. Different texts of the same length give different numbers.
uint64_t read_short(const char* at, size_t length) noexcept {
  if (length >= 4) return read<uint32_t>(at) << 32 | read<uint32_t>(at + length - 4);
  uint64_t number = 0;
  for (size_t i = 0; i < length; ++i) number = number << 8 | static_cast<unsigned char>(at[i]);
  return number;
}

}  // namespace

size_t SeededHash::operator()(std::string_view text) const noexcept {
  const Seeds seed = seeds();
  const char* at = text.data();
  size_t left = text.size();
  uint64_t hash = fold(seed.first ^ left, seed.second);
  // Long texts in two chains, because each multiplication waits for the one before it.
  uint64_t other = seed.second;
  for (; left > 64; left -= 32, at += 32) {
    hash = fold(read<uint64_t>(at) ^ seed.first, read<uint64_t>(at + 8) ^ hash);
    other = fold(read<uint64_t>(at + 16) ^ seed.second, read<uint64_t>(at + 24) ^ other);
  }
  hash ^= other;
  for (; left > 16; left -= 16, at += 16)
    hash = fold(read<uint64_t>(at) ^ seed.first, read<uint64_t>(at + 8) ^ hash);
  const uint64_t low = left > 8 ? read<uint64_t>(at) : read_short(at, left);
  const uint64_t high = left > 8 ? read<uint64_t>(at + left - 8) : 0;
  return fold(fold(low ^ seed.first, high ^ hash), seed.second);
}

// 0 and -0 are equal, so they have the same hash.
size_t SeededHash::operator()(double number) const noexcept {
  uint64_t bits = 0;
  if (number != 0) std::memcpy(&bits, &number, sizeof bits);
  const Seeds seed = seeds();
  return fold(fold(bits ^ seed.first, seed.second), seed.first);
}

}  // namespace sidecall
