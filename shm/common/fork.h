// What a fork does to the channel: before fork() returns in the child, its descriptors are
// closed and its mappings become private. Used by every owner of a descriptor or a mapping, and by
// handles whose functions fail with FORKED in a child.
#pragma once

#include <cstdint>

#include "base/process/fork_aware.h"
#include "base/process/fork_generation.h"

namespace sidecall::shm {

using sidecall::ForkAware;

class ForkMark {
 public:
  bool is_forked() const noexcept { return generation_ != fork_generation(); }

 private:
  uint64_t generation_ = fork_generation();
};

}  // namespace sidecall::shm
