// What inject.cpp and inject_functions.cpp share.
#pragma once

#include <cstddef>

namespace inject {

constexpr int kShort = -1;  // SIDECALL_INJECT_SHORT; see errors.inc

enum : int {
#define FUNCTION(name, ...) k_##name,
#include "errors.inc"
#undef FUNCTION
  kNumFunctions
};

// Says that main() has begun. Before that no call fails.
void reach_main();

// The error with which this call must fail; 0: the call goes on. `caller` is the return address.
int error_of_call(int function, void* caller);

// note_block() notes a block if sidecall's code allocated it. forget_block() is called for every
// block that is freed, and forgets it if it was noted.
void note_block(void* memory, size_t bytes, void* caller);
void forget_block(void* memory);

// Map new memory, filled with zeros, or a file. The plan does not apply to these calls. Return
// MAP_FAILED on failure.
void* mmap_unchecked(size_t bytes, int sharing);
void* map_file_unchecked(const char* path, size_t bytes);

}  // namespace inject
