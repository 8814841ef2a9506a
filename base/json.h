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
using Pool = rapidjson::MemoryPoolAllocator<Memory>;
using Document = rapidjson::GenericDocument<Encoding, Pool, Memory>;
using Value = rapidjson::GenericValue<Encoding, Pool>;
using Buffer = rapidjson::GenericStringBuffer<Encoding, Memory>;
using Writer = rapidjson::Writer<Buffer, Encoding, Encoding, Memory>;
using Reader = rapidjson::GenericReader<Encoding, Encoding, Memory>;

}  // namespace sidecall::json
