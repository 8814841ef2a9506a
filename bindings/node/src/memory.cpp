// External ArrayBuffers, and the mirrors that replace them where they are not allowed; see
// memory.h.
#include "memory.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace sidecall_node {
namespace {

constexpr size_t kAlignment = 64;  // a cache line; the same as in ONNX Runtime's own allocator
constexpr uint64_t kSmall = 1024 * 1024;

Napi::Error no_room(Environment& environment, uint64_t bytes) {
  sidecall_error error = Environment::empty_error();
  std::snprintf(error.message, sizeof error.message,
                "expected memory for a tensor of %llu bytes, got none",
                static_cast<unsigned long long>(bytes));
  return Napi::Error(environment.env, environment.make_error(SIDECALL_OUT_OF_MEMORY, &error));
}

}  // namespace

// A large buffer is made with the JavaScript constructor, because that throws an exception if there
// is no memory.
Napi::ArrayBuffer make_buffer(Environment& environment, uint64_t bytes) {
  const Napi::Env env = environment.env;
  if (bytes < kSmall) return Napi::ArrayBuffer::New(env, bytes);
  try {
    const Napi::Value made = env.Global()
                                 .Get("ArrayBuffer")
                                 .As<Napi::Function>()
                                 .New({Napi::Number::New(env, static_cast<double>(bytes))});
    if (made.IsArrayBuffer() && made.As<Napi::ArrayBuffer>().ByteLength() == bytes)
      return made.As<Napi::ArrayBuffer>();
  } catch (const Napi::Error&) {  // a RangeError: V8 could not allocate the buffer
  }
  throw no_room(environment, bytes);
}

std::shared_ptr<Memory> Memory::allocate(Environment& environment, uint64_t bytes) {
  // Use calloc: it gets large blocks from the system already zeroed, so their pages are not touched
  // before the first write.
  void* block = bytes < SIZE_MAX - kAlignment ? std::calloc(1, bytes + kAlignment) : nullptr;
  if (block == nullptr) throw no_room(environment, bytes);
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
  memory_ = Memory::allocate(environment, bytes);
  if (!environment.copies && bytes > 0) {
    auto* owner = new std::shared_ptr<Memory>(memory_);
    const auto finalize = [](napi_env, void*, void* hint) {
      delete static_cast<std::shared_ptr<Memory>*>(hint);
    };
    napi_value buffer = nullptr;
    const napi_status status =
        napi_create_external_arraybuffer(env, memory_->data(), bytes, finalize, owner, &buffer);
    if (status == napi_ok) return Napi::ArrayBuffer(env, buffer);
    // Node cannot make a buffer of that length, or the environment is ending. `owner` now belongs
    // to the finalizer, which may or may not have been called, so do not delete it here.
    if (status != napi_no_external_buffers_allowed) {
      if (env.IsExceptionPending()) env.GetAndClearPendingException();
      throw no_room(environment, bytes);
    }
    delete owner;
    environment.copies = true;
  }
  const Napi::ArrayBuffer buffer = make_buffer(environment, bytes);
  if (bytes > 0) mirror_ = Napi::Reference<Napi::ArrayBuffer>::New(buffer, 1);
  return buffer;
}

std::shared_ptr<Memory> Window::close() {
  mirror_.Reset();
  return std::move(memory_);
}

void Window::copy(bool in) const {
  if (mirror_.IsEmpty()) return;
  Napi::ArrayBuffer buffer = mirror_.Value();
  if (buffer.ByteLength() != memory_->bytes()) return;
  std::memcpy(in ? memory_->data() : buffer.Data(), in ? buffer.Data() : memory_->data(),
              memory_->bytes());
}

}  // namespace sidecall_node
