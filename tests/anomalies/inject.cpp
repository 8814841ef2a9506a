// Decides which calls fail, and keeps the counts, call sites and blocks of memory; see inject.h.
// The functions that stand in front of the C library's are in inject_functions.cpp.
#include "inject.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>

#include "inject_functions.h"

namespace inject {
namespace {

// Nothing in this file may allocate, because malloc() calls it.

constexpr int kMaxErrors = 8;
constexpr int kMaxFrames = 10;
constexpr size_t kMaxSites = 1 << 14;
constexpr long kMaxCalls = 1 << 14;
constexpr size_t kMaxBlocks = 1 << 20;
constexpr size_t kMaxModules = 256;

struct Function {
  const char* name;
  int errors[kMaxErrors];
};

const Function kFunctions[] = {
#define FUNCTION(name, ...) {#name, {__VA_ARGS__}},
#include "errors.inc"
#undef FUNCTION
};

struct Site {
  std::atomic<uint64_t> key;  // 0: free; otherwise the function and the address in its module
  std::atomic<uint32_t> errors;
  std::atomic<bool> is_usual;  // a run without failures reaches it
  char module[32];
};

// Shared with forked children, so that the parent process knows which call sites a child reached
// before it crashed.
struct Shared {
  std::atomic<bool> is_counting;
  std::atomic<int> function;
  std::atomic<long> first, last;
  std::atomic<long> site;  // if not 0, only calls from the site of this number - 1 fail
  std::atomic<int> error;
  std::atomic<long> failed;
  std::atomic<long> counts[kNumFunctions];
  std::atomic<uint16_t> site_of_call[kNumFunctions][kMaxCalls];  // 1 + index in `sites`; 0: none
  Site sites[kMaxSites];
};

struct Stack {
  uintptr_t frames[kMaxFrames];
  int depth = 0;
};

struct Block {
  void* memory;
  size_t bytes;
  uint64_t number;
  Stack stack;
};

template <typename T>
T* map_zeros(size_t count, int sharing) {
  void* const memory = mmap_unchecked(count * sizeof(T), sharing);
  if (memory == MAP_FAILED) abort();
  return static_cast<T*>(memory);
}

Shared& shared() {
  static Shared* const memory = [] {
    const char* const path = getenv("SIDECALL_INJECT_STATE");
    if (path == nullptr) return map_zeros<Shared>(1, MAP_SHARED);
    void* const file = map_file_unchecked(path, sizeof(Shared));
    if (file == MAP_FAILED) abort();
    return static_cast<Shared*>(file);
  }();
  return *memory;
}

class Spinlock {
 public:
  void lock() {
    while (taken_.test_and_set(std::memory_order_acquire)) {
    }
  }
  void unlock() { taken_.clear(std::memory_order_release); }

 private:
  std::atomic_flag taken_ = ATOMIC_FLAG_INIT;
};

// ---- Which module the code at an address belongs to ----

enum class Owner : uint8_t { kUnknown, kSidecall, kSystem, kOther };

bool starts_with(const char* text, const char* start) {
  return strncmp(text, start, strlen(start)) == 0;
}

const char* name_of(const link_map* module) {
  if (module->l_name[0] == '\0') return program_invocation_short_name;
  const char* const slash = strrchr(module->l_name, '/');
  return slash == nullptr ? module->l_name : slash + 1;
}

Owner owner_of(const link_map* module) {
  const char* const name = name_of(module);
  for (const char* each : {"libsidecall-inject", "libstdc++", "libc.so", "libgcc_s"})
    if (starts_with(name, each)) return Owner::kSystem;
  for (const char* each : {"libsidecall", "sidecall.node"})
    if (starts_with(name, each)) return Owner::kSidecall;
  return strcmp(name, "sidecall") == 0 ? Owner::kSidecall : Owner::kOther;
}

struct Place {
  const link_map* module = nullptr;
  uintptr_t offset = 0;
  Owner owner = Owner::kOther;
};

Place place_of(uintptr_t address) {
  struct Known {
    std::atomic<const link_map*> module;
    std::atomic<Owner> owner;
  };
  static Known known[kMaxModules];
  dl_find_object found;
  if (_dl_find_object(reinterpret_cast<void*>(address), &found) != 0) return {};
  Place place{found.dlfo_link_map, address - found.dlfo_link_map->l_addr, Owner::kUnknown};
  Known& entry = known[(reinterpret_cast<uintptr_t>(place.module) >> 6) % kMaxModules];
  if (entry.module.load(std::memory_order_acquire) == place.module)
    place.owner = entry.owner.load(std::memory_order_relaxed);
  if (place.owner == Owner::kUnknown) {
    place.owner = owner_of(place.module);
    if (entry.module.load(std::memory_order_relaxed) == nullptr) {
      entry.owner.store(place.owner, std::memory_order_relaxed);
      entry.module.store(place.module, std::memory_order_release);
    }
  }
  return place;
}

// Collects frames, beginning with the innermost one outside of the C and C++ libraries. Collects
// none if that frame is not sidecall's.
_Unwind_Reason_Code visit_frame(_Unwind_Context* context, void* argument) {
  Stack& stack = *static_cast<Stack*>(argument);
  const uintptr_t address = _Unwind_GetIP(context);
  if (address == 0) return _URC_END_OF_STACK;
  if (stack.depth == 0) {
    const Owner owner = place_of(address).owner;
    if (owner == Owner::kSystem) return _URC_NO_REASON;
    if (owner != Owner::kSidecall) return _URC_END_OF_STACK;
  }
  stack.frames[stack.depth++] = address;
  return stack.depth < kMaxFrames ? _URC_NO_REASON : _URC_END_OF_STACK;
}

thread_local int t_depth __attribute__((tls_model("initial-exec"))) = 0;

struct Inside {
  Inside() { ++t_depth; }
  ~Inside() { --t_depth; }
};

// Returns whether sidecall's code made this call. If so, fills `stack`.
bool is_ours(void* caller, Stack* stack) {
  switch (place_of(reinterpret_cast<uintptr_t>(caller)).owner) {
    case Owner::kSidecall:
    case Owner::kSystem:
      _Unwind_Backtrace(visit_frame, stack);
      return stack->depth > 0;
    default:
      return false;
  }
}

// ---- Call sites ----

int index_of_error(int function, int error) {
  for (int i = 0; i < kMaxErrors && kFunctions[function].errors[i] != 0; ++i)
    if (kFunctions[function].errors[i] == error) return i;
  return 0;
}

Site* site_of(int function, uintptr_t address) {
  const Place place = place_of(address);
  const uint64_t key = (static_cast<uint64_t>(function + 1) << 48) | place.offset;
  uint64_t at = key * 0x9E3779B97F4A7C15U >> 40;
  for (size_t tried = 0; tried < kMaxSites; ++tried) {
    Site& site = shared().sites[at++ % kMaxSites];
    uint64_t present = site.key.load(std::memory_order_acquire);
    if (present == 0) {
      if (site.key.compare_exchange_strong(present, key)) {
        strncpy(site.module, name_of(place.module), sizeof site.module - 1);
        return &site;
      }
    }
    if (present == key) return &site;
  }
  abort();
}

// ---- Blocks of memory ----

// A hash table with linear probing.
Block* const g_blocks = map_zeros<Block>(kMaxBlocks, MAP_PRIVATE);
Spinlock g_blocks_lock;
size_t g_num_blocks = 0;
uint64_t g_last_block = 0;

size_t slot_of(const void* memory) {
  return (reinterpret_cast<uintptr_t>(memory) * 0x9E3779B97F4A7C15U >> 40) % kMaxBlocks;
}

// No call fails before main(): no code can handle an error in the constructor of a global object.
std::atomic<bool> g_is_in_main{false};

}  // namespace

void reach_main() { g_is_in_main.store(true); }

int error_of_call(int function, void* caller) {
  if (t_depth > 0 || !g_is_in_main.load(std::memory_order_relaxed) ||
      !shared().is_counting.load(std::memory_order_relaxed))
    return 0;
  const Inside inside;
  const int saved = errno;
  Stack stack;
  const bool ours = is_ours(caller, &stack);
  errno = saved;
  if (!ours) return 0;
  Shared& state = shared();
  Site* const site = site_of(function, stack.frames[0]);
  const int planned = state.function.load();
  if (planned < 0) site->is_usual.store(true);
  const long n = state.counts[function].fetch_add(1) + 1;
  if (n <= kMaxCalls)
    state.site_of_call[function][n - 1].store(static_cast<uint16_t>(site - state.sites + 1));
  if (planned != function) return 0;
  if (const long wanted = state.site.load(); wanted != 0) {
    if (site - state.sites != wanted - 1 || state.failed.load() > 0) return 0;
  } else if (n < state.first.load() || n > state.last.load()) {
    return 0;
  }
  const int error = state.error.load();
  state.failed.fetch_add(1);
  site->errors.fetch_or(1U << index_of_error(function, error));
  return error;
}

void note_block(void* memory, size_t bytes, void* caller) {
  if (memory == nullptr || g_blocks == nullptr || t_depth > 0) return;
  const Inside inside;
  const int saved = errno;
  Stack stack;
  if (is_ours(caller, &stack)) {
    const std::lock_guard<Spinlock> lock(g_blocks_lock);
    if (++g_num_blocks > kMaxBlocks / 2) abort();
    size_t at = slot_of(memory);
    while (g_blocks[at].memory != nullptr) at = (at + 1) % kMaxBlocks;
    g_blocks[at] = {memory, bytes, ++g_last_block, stack};
  }
  errno = saved;
}

void forget_block(void* memory) {
  if (memory == nullptr || g_blocks == nullptr) return;
  const std::lock_guard<Spinlock> lock(g_blocks_lock);
  size_t at = slot_of(memory);
  while (g_blocks[at].memory != nullptr && g_blocks[at].memory != memory)
    at = (at + 1) % kMaxBlocks;
  if (g_blocks[at].memory == nullptr) return;
  --g_num_blocks;
  // Moves later blocks of the same chain into the gap, so that they are still found.
  for (size_t next = (at + 1) % kMaxBlocks; g_blocks[next].memory != nullptr;
       next = (next + 1) % kMaxBlocks) {
    const size_t home = slot_of(g_blocks[next].memory);
    const size_t from_home = (next - home + kMaxBlocks) % kMaxBlocks;
    const size_t from_gap = (next - at + kMaxBlocks) % kMaxBlocks;
    if (from_home < from_gap) continue;
    g_blocks[at] = g_blocks[next];
    at = next;
  }
  g_blocks[at].memory = nullptr;
}

}  // namespace inject

using inject::kFunctions;

extern "C" {

const char* sidecall_inject_name(int function) {
  return function >= 0 && function < inject::kNumFunctions ? kFunctions[function].name : nullptr;
}

const int* sidecall_inject_errors(int function) { return kFunctions[function].errors; }

void sidecall_inject_plan(int function, long n, int error, long count) {
  inject::Shared& state = inject::shared();
  state.function.store(-1);
  for (int i = 0; i < inject::kNumFunctions; ++i) {
    const long calls = std::min(state.counts[i].exchange(0), inject::kMaxCalls);
    for (long j = 0; j < calls; ++j) state.site_of_call[i][j].store(0);
  }
  state.failed.store(0);
  state.site.store(0);
  state.first.store(n);
  state.last.store(n + count - 1);
  state.error.store(error);
  if (n > 0) state.function.store(function);
}

void sidecall_inject_plan_site(int number, int error) {
  inject::Shared& state = inject::shared();
  sidecall_inject_plan(0, 0, error, 0);
  state.site.store(number + 1);
  state.function.store(static_cast<int>(state.sites[number].key.load() >> 48) - 1);
}

long sidecall_inject_count(int function) { return inject::shared().counts[function].load(); }
long sidecall_inject_failed() { return inject::shared().failed.load(); }
const char* sidecall_inject_planned() {
  return sidecall_inject_name(inject::shared().function.load());
}
size_t sidecall_inject_state_bytes() { return sizeof(inject::Shared); }
void sidecall_inject_start() { inject::shared().is_counting.store(true); }
void sidecall_inject_stop() { inject::shared().is_counting.store(false); }

size_t sidecall_inject_sites(sidecall_inject_site* sites, size_t space) {
  size_t count = 0;
  for (const inject::Site& site : inject::shared().sites) {
    const uint64_t key = site.key.load();
    if (key == 0) continue;
    if (count < space) {
      sidecall_inject_site& out = sites[count];
      out.number = static_cast<int>(&site - inject::shared().sites);
      memcpy(out.module, site.module, sizeof out.module);
      out.offset = key & ((uint64_t{1} << 48) - 1);
      out.function = static_cast<int>(key >> 48) - 1;
      out.errors = site.errors.load();
      out.is_usual = site.is_usual.load() ? 1 : 0;
    }
    ++count;
  }
  return count;
}

int sidecall_inject_site_of_call(int function, long n) {
  if (n < 1 || n > inject::kMaxCalls) return -1;
  return inject::shared().site_of_call[function][n - 1].load() - 1;
}

size_t sidecall_inject_live_blocks() {
  const std::lock_guard<inject::Spinlock> lock(inject::g_blocks_lock);
  return inject::g_num_blocks;
}

uint64_t sidecall_inject_last_block() {
  const std::lock_guard<inject::Spinlock> lock(inject::g_blocks_lock);
  return inject::g_last_block;
}

size_t sidecall_inject_list_blocks(uint64_t since, char* text, size_t space) {
  const inject::Inside inside;
  const std::lock_guard<inject::Spinlock> lock(inject::g_blocks_lock);
  size_t used = 0;
  const auto add = [&](int length) {
    used = std::min(used + static_cast<size_t>(length), space - 1);
  };
  for (size_t at = 0; at < inject::kMaxBlocks; ++at) {
    const inject::Block& block = inject::g_blocks[at];
    if (block.memory == nullptr || block.number <= since) continue;
    add(snprintf(text + used, space - used, "%zu", block.bytes));
    for (int i = 0; i < block.stack.depth; ++i) {
      const inject::Place place = inject::place_of(block.stack.frames[i]);
      add(snprintf(text + used, space - used, " %s+0x%lx",
                   place.module == nullptr ? "?" : inject::name_of(place.module),
                   static_cast<unsigned long>(place.offset)));
    }
    add(snprintf(text + used, space - used, "\n"));
  }
  return used;
}

}  // extern "C"
