// Under ThreadSanitizer, which sees nothing through two mappings of one file: lets both ends of a test share one mapping. Nothing elsewhere. Used by Mapping.
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
unsigned char* find(
    int fd,
    uint64_t bytes);  // counts one more holder; nullptr where the file is not mapped, or shorter
void add(int fd, unsigned char* data, uint64_t bytes);
bool release(const unsigned char* data) noexcept;  // true for the last holder, who must unmap
#else
constexpr bool kIsUsed = false;
inline unsigned char* find(int, uint64_t) { return nullptr; }
inline void add(int, unsigned char*, uint64_t) {}
inline bool release(const unsigned char*) noexcept { return true; }
#endif

}  // namespace sidecall::shm::mapping_registry
