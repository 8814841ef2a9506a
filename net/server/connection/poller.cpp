// Waits for events; see poller.h.
#include "poller.h"

#include <sidecall/sidecall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "net/common/error.h"

namespace sidecall::net {

Poller::Poller() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_ < 0) throw Error(SIDECALL_OUT_OF_MEMORY, "server: no descriptors are left");
}

Poller::~Poller() {
  destroy_retired();
  ::close(epoll_);
}

void Poller::add(int fd, uint32_t events, Watched* watched) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = watched;
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0)
    throw Error(SIDECALL_OUT_OF_MEMORY, "server: no more descriptors can be watched");
}

void Poller::change(int fd, uint32_t events, Watched* watched) noexcept {
  epoll_event event{};
  event.events = events;
  event.data.ptr = watched;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void Poller::remove(int fd) noexcept { epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr); }

void Poller::retire(std::unique_ptr<Watched> watched) noexcept {
  watched->is_retired_ = true;
  watched->next_retired_ = std::move(retired_);
  retired_ = std::move(watched);
}

void Poller::destroy_retired() noexcept {
  while (retired_ != nullptr) {
    std::unique_ptr<Watched> next = std::move(retired_->next_retired_);
    retired_ = std::move(next);
  }
}

int Poller::wait(epoll_event* events, int most, int timeout_ms) {
  if (polls_ && timeout_ms != 0 && spin_policy_.begin(0)) {
    int64_t now = 0;
    do {
      const int count = epoll_wait(epoll_, events, most, 0);
      if (count > 0) {
        spin_policy_.note(0);
        return count;
      }
    } while (spin_policy_.rest(&now));
    spin_policy_.note(INT64_MAX);
  }
  return epoll_wait(epoll_, events, most, timeout_ms);
}

void Poller::poll(int timeout_ms) {
  const int most_ms = worked_ == nullptr ? -1 : worked_->work();
  if (timeout_ms < 0 || (most_ms >= 0 && most_ms < timeout_ms)) timeout_ms = most_ms;
  std::array<epoll_event, 64> events;
  const int count = wait(events.data(), static_cast<int>(events.size()), timeout_ms);
  if (count > 0) {
    polls_ = count == 1 && events[0].data.ptr == latest_;
    latest_ = events[0].data.ptr;
  }
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    auto* const watched = static_cast<Watched*>(event.data.ptr);
    if (!watched->is_retired_) watched->on_events(event.events);
  }
  destroy_retired();
}

}  // namespace sidecall::net
