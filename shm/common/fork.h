// What a fork does to the channel: before fork() returns in the child, the child's descriptors are
// closed and its mappings become private. Used by every owner of a descriptor or a mapping, and by
// handles whose functions fail with FORKED in a child.
#pragma once

#include <cstdint>

#include "base/fork_generation.h"

namespace sidecall::shm {

// An object that must release a resource in a forked child. The objects form one linked list per
// process, so an owner needs no heap allocation and may be moved.
class ForkAware {
 public:
  ForkAware(const ForkAware&) = delete;
  ForkAware& operator=(const ForkAware&) = delete;

 protected:
  ForkAware() = default;
  ~ForkAware() { unwatch(); }
  // From now on in_child() is called in a forked child. Calling watch() twice is harmless.
  void watch() noexcept;
  void unwatch() noexcept;

  // Runs in the child, where the calling thread is the only one: only system calls and plain stores
  // are allowed, no locks and no heap.
  virtual void in_child() noexcept = 0;

 private:
  friend struct ForkList;
  ForkAware* previous_ = nullptr;
  ForkAware* next_ = nullptr;
  bool is_watched_ = false;
};

class ForkMark {
 public:
  bool is_forked() const noexcept { return generation_ != fork_generation(); }

 private:
  uint64_t generation_ = fork_generation();
};

}  // namespace sidecall::shm
