// Calls epoll; see poller.h.
#include "poller.h"

#include <sys/epoll.h>

#include <cerrno>

#include "shm/common/error.h"

namespace sidecall::shm {

namespace {

// In the data of an event the source is in the upper bits, and the number in the lower bits.
constexpr unsigned kSourceShift = 56;

epoll_event make_event(uint32_t events, Source source, uint64_t number) noexcept {
  epoll_event event{};
  event.events = events;
  event.data.u64 = static_cast<uint64_t>(source) << kSourceShift | number;
  return event;
}

}  // namespace

Poller::Poller() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) system_failure(SIDECALL_OUT_OF_MEMORY, "cannot create a server", errno);
}

void Poller::watch(int fd, uint32_t events, Source source, uint64_t number) {
  epoll_event event = make_event(events, source, number);
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0)
    system_failure(SIDECALL_OUT_OF_MEMORY, "cannot watch a socket", errno);
}

void Poller::change(int fd, uint32_t events, Source source, uint64_t number) noexcept {
  epoll_event event = make_event(events, source, number);
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Poller::unwatch(int fd) noexcept {
  if (fd >= 0) epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

int Poller::wait(Event (&events)[kMaxEvents], int timeout_ms) noexcept {
  epoll_event found[kMaxEvents];
  const int count = epoll_wait(epoll_.get(), found, kMaxEvents, timeout_ms);
  for (int i = 0; i < count; ++i) {
    const uint64_t data = found[i].data.u64;
    events[i] = {static_cast<Source>(data >> kSourceShift),
                 data & ((UINT64_C(1) << kSourceShift) - 1)};
  }
  return count;
}

}  // namespace sidecall::shm
