// Lets both ends of a test share one mapping of a file. Only for ThreadSanitizer, which cannot
// relate accesses through two mappings of one file; does nothing in other builds. Used by Mapping.
#pragma once

#include <cstdint>

#if defined(__SANITIZE_THREAD__)
#define SIDECALL_ONE_MAPPING 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SIDECALL_ONE_MAPPING 1
#endif
#endif

namespace sidecall::shm::mapping_registry {

#ifdef SIDECALL_ONE_MAPPING
constexpr bool kIsUsed = true;
// Adds one holder to the mapping. Returns nullptr if the file is not mapped, or if its mapping is
// shorter than `bytes`.
unsigned char* find(int fd, uint64_t bytes);
void add(int fd, unsigned char* data, uint64_t bytes);
// Whether both ends may share this mapping.
bool contains(const unsigned char* data) noexcept;
// Returns true for the last holder, which must then unmap.
bool release(const unsigned char* data) noexcept;
#else
constexpr bool kIsUsed = false;
inline unsigned char* find(int, uint64_t) { return nullptr; }
inline void add(int, unsigned char*, uint64_t) {}
inline bool contains(const unsigned char*) noexcept { return false; }
inline bool release(const unsigned char*) noexcept { return true; }
#endif

}  // namespace sidecall::shm::mapping_registry
