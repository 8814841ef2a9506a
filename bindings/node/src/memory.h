// Memory of tensors that JavaScript sees and the engine reads and writes in place; used by
// call.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "environment.h"

namespace sidecall_node {

// Makes a zeroed buffer in memory of V8. Throws OUT_OF_MEMORY, where Node-API would abort the
// process.
Napi::ArrayBuffer make_buffer(Environment& environment, uint64_t bytes);

// A block of memory that lives until both the call and the last view of it are destroyed.
class Memory {
 public:
  // Aligned and zeroed. Throws OUT_OF_MEMORY.
  static std::shared_ptr<Memory> allocate(Environment& environment, uint64_t bytes);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  Memory(void* block, size_t bytes);
  void* block_;
  void* data_;
  size_t bytes_;
};

// The memory of one tensor, and the ArrayBuffer through which JavaScript sees it. If external
// ArrayBuffers are not allowed, that buffer is a mirror: a separate buffer, which is copied to the
// memory before each run and back after it.
class Window {
 public:
  // Makes new memory and returns its buffer. Views of the earlier memory stay valid; runs no longer
  // use it.
  Napi::ArrayBuffer open(Environment& environment, uint64_t bytes);
  // Returns the memory, which must live until the engine no longer uses it.
  std::shared_ptr<Memory> close();

  bool is_open() const { return memory_ != nullptr; }
  void* data() const { return memory_->data(); }
  size_t bytes() const { return memory_->bytes(); }

  // Copy between the mirror and the memory. Do nothing if there is no mirror, or if it is detached.
  void copy_in() const { copy(true); }
  void copy_out() const { copy(false); }

 private:
  void copy(bool in) const;

  std::shared_ptr<Memory> memory_;
  Napi::Reference<Napi::ArrayBuffer> mirror_;
};

}  // namespace sidecall_node
