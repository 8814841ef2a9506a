// External ArrayBuffers and their stand-ins; see memory.h.
#include "memory.h"

#include <cstdlib>
#include <cstring>
#include <utility>

namespace sidecall_node {
namespace {

constexpr size_t kAlignment = 64;  // a cache line, and what ONNX Runtime's own allocator gives

}  // namespace

std::shared_ptr<Memory> Memory::allocate(Napi::Env env, uint64_t bytes) {
  // calloc, because it takes large blocks from the system as they are: zeroed, and not touched before somebody writes.
  void* block = bytes < SIZE_MAX - kAlignment ? std::calloc(1, bytes + kAlignment) : nullptr;
  if (block == nullptr) throw Napi::RangeError::New(env, "no room for a tensor of " + std::to_string(bytes) + " bytes");
  return std::shared_ptr<Memory>(new Memory(block, bytes));
}

Memory::Memory(void* block, size_t bytes) : block_(block), bytes_(bytes) {
  const auto address = reinterpret_cast<uintptr_t>(block);
  data_ = static_cast<char*>(block) + (kAlignment - address % kAlignment);
}

Memory::~Memory() { std::free(block_); }

Napi::ArrayBuffer Window::open(Environment& environment, uint64_t bytes) {
  const Napi::Env env = environment.env;
  mirror_.Reset();
  memory_ = Memory::allocate(env, bytes);
  if (!environment.copies && bytes > 0) {
    auto* owner = new std::shared_ptr<Memory>(memory_);
    const auto finalize = [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<Memory>*>(hint); };
    napi_value buffer = nullptr;
    const napi_status status = napi_create_external_arraybuffer(env, memory_->data(), bytes, finalize, owner, &buffer);
    if (status == napi_ok) return Napi::ArrayBuffer(env, buffer);
    delete owner;
    if (status != napi_no_external_buffers_allowed) throw Napi::Error::New(env);
    environment.copies = true;
  }
  const Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, bytes);
  if (bytes > 0) mirror_ = Napi::Reference<Napi::ArrayBuffer>::New(buffer, 1);
  return buffer;
}

void Window::close() {
  memory_.reset();
  mirror_.Reset();
}

void Window::copy(bool in) const {
  if (mirror_.IsEmpty()) return;
  Napi::ArrayBuffer buffer = mirror_.Value();
  if (buffer.ByteLength() != memory_->bytes()) return;
  std::memcpy(in ? memory_->data() : buffer.Data(), in ? buffer.Data() : memory_->data(), memory_->bytes());
}

}  // namespace sidecall_node
