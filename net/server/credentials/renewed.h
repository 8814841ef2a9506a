// Contents of files that a server reads again when they change, and why the last attempt failed.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

namespace sidecall::net {

class Renewed {
 public:
  virtual ~Renewed() = default;
  Renewed(const Renewed&) = delete;
  Renewed& operator=(const Renewed&) = delete;

  // Called about once a second, by one thread. Reads the files if they have changed, and returns
  // whether it did. Throws Error if they cannot be used, at each call until they can.
  virtual bool renew() = 0;

  // Why the files cannot be used; "" if they can. Any thread may ask.
  std::string failure() const {
    const std::lock_guard lock(mutex_);
    return failure_;
  }
  uint64_t num_failures() const { return num_failures_.load(std::memory_order_relaxed); }

  // Returns whether the text differs from the previous one.
  bool note_failure(const std::string& text) {
    const std::lock_guard lock(mutex_);
    if (failure_ == text) return false;
    failure_ = text;
    if (!text.empty()) num_failures_.fetch_add(1, std::memory_order_relaxed);
    return true;
  }

 protected:
  Renewed() = default;

 private:
  mutable std::mutex mutex_;  // guards the text
  std::string failure_;
  std::atomic<uint64_t> num_failures_{0};
};

}  // namespace sidecall::net
