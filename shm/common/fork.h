// What a fork does to the channel: the child's descriptors are closed and its mappings become private, before fork() returns there. Used by
// every holder of either, and by handles that answer FORKED.
#pragma once

#include <atomic>
#include <cstdint>

namespace sidecall::shm {

// Something that must let go in a child. Linked into one list per process, so that an owner needs no heap and may move.
class ForkAware {
 public:
  ForkAware(const ForkAware&) = delete;
  ForkAware& operator=(const ForkAware&) = delete;

 protected:
  ForkAware() = default;
  ~ForkAware() { unwatch(); }
  void
  watch() noexcept;  // from now on in_child() is called in a forked child; doing it twice is fine
  void unwatch() noexcept;

  // Runs in the child with only that thread alive: system calls and plain stores only, no locks, no heap.
  virtual void in_child() noexcept = 0;

 private:
  friend struct ForkList;
  ForkAware* previous_ = nullptr;
  ForkAware* next_ = nullptr;
  bool is_watched_ = false;
};

// How often this process was forked off since the library was loaded; only the handler of a fresh child changes it. A handle remembers it when it
// is made.
inline std::atomic<uint64_t> fork_generation{0};

// Relaxed: the generation changes only while its process has one thread, and threads started later see it.
class ForkMark {
 public:
  bool is_forked() const noexcept {
    return generation_ != fork_generation.load(std::memory_order_relaxed);
  }

 private:
  uint64_t generation_ = fork_generation.load(std::memory_order_relaxed);
};

}  // namespace sidecall::shm
