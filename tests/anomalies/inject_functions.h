// What inject.cpp and inject_functions.cpp share.
#pragma once

#include <cstddef>

namespace inject {

constexpr int kShort = -1;  // see errors.inc

enum : int {
#define FUNCTION(name, ...) k_##name,
#include "errors.inc"
#undef FUNCTION
  kNumFunctions
};

// From now on calls fail: main() has begun.
void reach_main();

// The error with which this call must fail; 0: the call goes on. `caller` is the return address.
int error_of_call(int function, void* caller);

// Notes a block if sidecall's code allocated it; forgets a block that was noted.
void note_block(void* memory, size_t bytes, void* caller);
void forget_block(void* memory);

// Maps new memory, filled with zeros, or a file. Never fails by plan. MAP_FAILED on failure.
void* mmap_unchecked(size_t bytes, int sharing);
void* map_file_unchecked(const char* path, size_t bytes);

}  // namespace inject
