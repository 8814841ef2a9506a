// Aligned memory for one tensor, which grows but never shrinks. Used by engines.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "error.h"

namespace sidecall {

class Buffer {
 public:
  // Makes room for at least `bytes` bytes. New memory is zeroed; growing discards the old content.
  // Throws OUT_OF_MEMORY.
  void reserve(uint64_t bytes) {
    if (bytes <= capacity_ && data_ != nullptr) return;
    // calloc gets a large block zeroed from the kernel, and its pages are not touched before the
    // first write. So a caller that binds memory of its own does not pay for this block.
    const uint64_t rounded = (bytes / kAlignment + 1) * kAlignment;
    void* fresh = rounded > bytes && rounded < SIZE_MAX - kAlignment
                      ? std::calloc(1, rounded + kAlignment)
                      : nullptr;
    if (fresh == nullptr) {
      throw Error(SIDECALL_OUT_OF_MEMORY,
                  "out of memory: cannot allocate a tensor of " + std::to_string(bytes) + " bytes");
    }
    block_.reset(fresh);
    data_ =
        static_cast<char*>(fresh) + (kAlignment - reinterpret_cast<uintptr_t>(fresh) % kAlignment);
    capacity_ = rounded;
  }
  void* data() const { return data_; }
  uint64_t capacity() const { return capacity_; }  // in bytes

 private:
  // A cache line. ONNX Runtime's own allocator aligns to the same size.
  static constexpr uint64_t kAlignment = 64;

  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> block_;
  void* data_ = nullptr;
  uint64_t capacity_ = 0;
};

}  // namespace sidecall
