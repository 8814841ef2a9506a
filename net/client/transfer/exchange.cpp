// Hands the end of an exchange from the loop to its waiter; see exchange.h.
#include "exchange.h"

#include <unistd.h>

#include <algorithm>

namespace sidecall::net {
namespace {

void signal(int fd) noexcept {
  const uint64_t one = 1;
  // Fails only if the counter is full, and then the descriptor is readable already.
  const ssize_t written = write(fd, &one, sizeof one);
  static_cast<void>(written);
}

}  // namespace

const std::string& Reply::header(const std::string& name) const {
  // Never destroyed, because a thread may use it until the process ends.
  static const std::string& none = *new std::string();
  for (auto each = headers.rbegin(); each != headers.rend(); ++each) {
    if (each->first == name) return each->second;
  }
  return none;
}

void Exchange::tell() noexcept {
  if (fd_ >= 0) signal(fd_);
  if (on_event_ != nullptr) on_event_(context_);
  changed_.notify_all();
}

void Exchange::listen(void (*on_event)(void* context), void* context) {
  const std::lock_guard lock(mutex_);
  on_event_ = on_event;
  context_ = context;
}

void Exchange::end(Reply reply) {
  const std::lock_guard lock(mutex_);
  if (!is_discarded_) reply_ = std::move(reply);
  is_over_ = true;
  tell();
}

bool Exchange::wait(Clock::time_point until) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, until, [this] { return is_over_ || is_woken_; });
  return is_over_;
}

void Exchange::wake() {
  const std::lock_guard lock(mutex_);
  is_woken_ = true;
  tell();
}

bool Exchange::is_woken() {
  const std::lock_guard lock(mutex_);
  return is_woken_;
}

bool Exchange::is_over_or_woken() {
  const std::lock_guard lock(mutex_);
  return is_over_ || is_woken_;
}

bool Exchange::restart() {
  const std::lock_guard lock(mutex_);
  if (is_woken_) return false;
  is_over_ = false;
  return true;
}

void Exchange::notify(int fd) {
  const std::lock_guard lock(mutex_);
  fd_ = fd;
  if ((is_over_ || is_woken_) && fd_ >= 0) signal(fd_);
}

void Exchange::discard() {
  Reply dropped;
  const std::lock_guard lock(mutex_);
  is_discarded_ = true;
  std::swap(reply_, dropped);
}

int64_t left_ms(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  return std::max<int64_t>(left.count(), 1);
}

}  // namespace sidecall::net
