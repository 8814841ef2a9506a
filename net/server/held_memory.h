// Counts what requests and answers take, in the memory of all clients of a server.
#pragma once

#include <cstdint>

#include "metrics.h"

namespace sidecall::net {

class HeldMemory {
 public:
  HeldMemory(Metrics* metrics, uint64_t most) : metrics_(metrics), most_(most) {}
  ~HeldMemory() { set(0); }
  HeldMemory(const HeldMemory&) = delete;
  HeldMemory& operator=(const HeldMemory&) = delete;
  // Returns false if all together would then hold more than they may; the amount is counted
  // nevertheless.
  bool set(uint64_t bytes) noexcept {
    const uint64_t before =
        metrics_->memory.fetch_add(bytes - bytes_, std::memory_order_relaxed);  // may wrap around
    const uint64_t now = before + (bytes - bytes_);
    const bool grows = bytes > bytes_;
    bytes_ = bytes;
    return !grows || now <= most_;
  }
  bool add(uint64_t bytes) noexcept { return set(bytes_ + bytes); }
  uint64_t bytes() const noexcept { return bytes_; }
  void remove(uint64_t bytes) noexcept { set(bytes_ - bytes); }

 private:
  Metrics* const metrics_;
  const uint64_t most_;
  uint64_t bytes_ = 0;
};

}  // namespace sidecall::net
