// Memory for a struct as a caller with another header version sees it. Used by test_structs.cpp.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

namespace support {

constexpr size_t kPage = 4096;
constexpr unsigned char kUnset = 0xa5;

// A struct of `size` bytes in front of an inaccessible page. If alignment leaves a gap before the
// page, the gap holds a canary, which AddressSanitizer guards too.
template <typename Struct>
class Foreign {
 public:
  explicit Foreign(size_t size)
      : size_(size), gap_((alignof(Struct) - size % alignof(Struct)) % alignof(Struct)) {
    void* pages =
        mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(static_cast<char*>(pages) + kPage, kPage, PROT_NONE) != 0)
      throw std::runtime_error("no memory");
    pages_ = static_cast<unsigned char*>(pages);
    std::memset(pages_, kUnset, kPage);
    ASAN_POISON_MEMORY_REGION(bytes() + size_, gap_);
  }
  Foreign(const Foreign&) = delete;
  Foreign& operator=(const Foreign&) = delete;
  ~Foreign() {
    ASAN_UNPOISON_MEMORY_REGION(bytes() + size_, gap_);
    munmap(pages_, 2 * kPage);
  }

  unsigned char* bytes() { return pages_ + kPage - gap_ - size_; }
  Struct* get() { return reinterpret_cast<Struct*>(bytes()); }
  void set_size(size_t size) {
    const auto number = static_cast<uint32_t>(size);
    std::memcpy(bytes(), &number, sizeof number);
  }

  // Copies as much of `whole` as fits.
  void fill(const Struct& whole) {
    std::memcpy(bytes(), &whole, std::min(size_, sizeof whole));
    if (size_ > sizeof whole) std::memset(bytes() + sizeof whole, 0, size_ - sizeof whole);
    set_size(size_);
  }

  bool has(size_t offset, size_t bytes) const { return offset + bytes <= size_; }
  bool is_intact() {
    ASAN_UNPOISON_MEMORY_REGION(bytes() + size_, gap_);
    bool intact = true;
    for (size_t i = 0; i < gap_; ++i) intact = intact && bytes()[size_ + i] == kUnset;
    ASAN_POISON_MEMORY_REGION(bytes() + size_, gap_);
    return intact;
  }
  bool is_unset(size_t from, size_t to) {
    for (size_t i = from; i < to; ++i)
      if (bytes()[i] != kUnset) return false;
    return true;
  }

 private:
  const size_t size_, gap_;
  unsigned char* pages_ = nullptr;
};

}  // namespace support
