// Memory of one tensor: aligned, grows, never shrinks. Used by engines.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "error.h"

namespace sidecall {

class Buffer {
 public:
  // At least so many bytes. Zeroed where they are new; what was there is gone then. Throws OUT_OF_MEMORY.
  void reserve(uint64_t bytes) {
    if (bytes <= capacity_ && data_) return;
    const uint64_t rounded = (bytes / kAlignment + 1) * kAlignment;
    void* fresh = std::aligned_alloc(kAlignment, rounded);
    if (fresh == nullptr) {
      throw Error(SIDECALL_OUT_OF_MEMORY, "expected room for a tensor of " + std::to_string(bytes) + " bytes, got none");
    }
    std::memset(fresh, 0, rounded);
    data_.reset(fresh);
    capacity_ = rounded;
  }
  void* data() const { return data_.get(); }

 private:
  static constexpr uint64_t kAlignment = 64;  // a cache line, and what ONNX Runtime's own allocator gives

  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> data_;
  uint64_t capacity_ = 0;
};

}  // namespace sidecall
