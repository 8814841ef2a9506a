// Memory of one tensor: aligned, grows, never shrinks. Used by engines.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include "error.h"

namespace sidecall {

class Buffer {
 public:
  // At least so many bytes. Zeroed where they are new; what was there is gone then. Throws OUT_OF_MEMORY.
  void reserve(uint64_t bytes) {
    if (bytes <= capacity_ && data_ != nullptr) return;
    // calloc takes large blocks from the system as they are: zeroed, and not touched before somebody writes. A caller who binds memory of
    // its own never does.
    const uint64_t rounded = (bytes / kAlignment + 1) * kAlignment;
    void* fresh = rounded > bytes && rounded < SIZE_MAX - kAlignment
                      ? std::calloc(1, rounded + kAlignment)
                      : nullptr;
    if (fresh == nullptr) {
      throw Error(SIDECALL_OUT_OF_MEMORY,
                  "expected room for a tensor of " + std::to_string(bytes) + " bytes, got none");
    }
    block_.reset(fresh);
    data_ =
        static_cast<char*>(fresh) + (kAlignment - reinterpret_cast<uintptr_t>(fresh) % kAlignment);
    capacity_ = rounded;
  }
  void* data() const { return data_; }

 private:
  static constexpr uint64_t kAlignment =
      64;  // a cache line, and what ONNX Runtime's own allocator gives

  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> block_;
  void* data_ = nullptr;
  uint64_t capacity_ = 0;
};

}  // namespace sidecall
