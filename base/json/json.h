// RapidJSON with an allocator that throws std::bad_alloc when no memory is left. RapidJSON's own
// allocator then returns a null pointer, and RapidJSON accesses memory through it.
#pragma once

#include <rapidjson/document.h>
#include <rapidjson/reader.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <cstddef>
#include <cstdlib>
#include <new>

namespace sidecall::json {

// Meets RapidJSON's concept of an allocator.
class Memory {
 public:
  static constexpr bool kNeedFree = true;
  // NOLINTBEGIN(readability-identifier-naming): RapidJSON calls these names.
  void* Malloc(size_t bytes) { return bytes == 0 ? nullptr : checked(std::malloc(bytes)); }
  void* Realloc(void* old, size_t /*old_bytes*/, size_t bytes) {
    if (bytes != 0) return checked(std::realloc(old, bytes));
    std::free(old);
    return nullptr;
  }
  static void Free(void* memory) { std::free(memory); }
  // NOLINTEND(readability-identifier-naming)

 private:
  static void* checked(void* memory) {
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
  }
};

using Encoding = rapidjson::UTF8<>;

// Where a document keeps its values. When more than 64 KiB are freed at once, the C library looks
// for memory to give back to the system, which would slow the opening of each small model. A chunk
// of RapidJSON's own size is a little larger than that.
class Pool : public rapidjson::MemoryPoolAllocator<Memory> {
 public:
  Pool() : MemoryPoolAllocator(kChunkBytes) {}

 private:
  static constexpr size_t kChunkBytes = size_t{32} * 1024;
};

using Document = rapidjson::GenericDocument<Encoding, Pool, Memory>;
using Value = rapidjson::GenericValue<Encoding, Pool>;
using Buffer = rapidjson::GenericStringBuffer<Encoding, Memory>;
using Writer = rapidjson::Writer<Buffer, Encoding, Encoding, Memory>;
using Reader = rapidjson::GenericReader<Encoding, Encoding, Memory>;

}  // namespace sidecall::json
