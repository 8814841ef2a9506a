// Memory of tensors that JavaScript sees and the engine reads and writes in place; used by call.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "environment.h"

namespace sidecall_node {

// A zeroed buffer of V8's own. Throws OUT_OF_MEMORY, where Node-API would end the process.
Napi::ArrayBuffer make_buffer(Environment& environment, uint64_t bytes);

// Lives until both the call and the last view of it are gone.
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

// One tensor's memory, and the ArrayBuffer through which JavaScript sees it. Where external ArrayBuffers are refused, that is a
// mirror: a buffer of its own, made equal around each run.
class Window {
 public:
  // Makes new memory and returns its buffer. Views of the earlier memory stay valid; runs no longer use it.
  Napi::ArrayBuffer open(Environment& environment, uint64_t bytes);
  // Returns the memory, which has to live until the engine lets go.
  std::shared_ptr<Memory> close();

  bool is_open() const { return memory_ != nullptr; }
  void* data() const { return memory_->data(); }
  size_t bytes() const { return memory_->bytes(); }

  // Nothing happens without a mirror, or when it was detached.
  void copy_in() const { copy(true); }
  void copy_out() const { copy(false); }

 private:
  void copy(bool in) const;

  std::shared_ptr<Memory> memory_;
  Napi::Reference<Napi::ArrayBuffer> mirror_;
};

}  // namespace sidecall_node
