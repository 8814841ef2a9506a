// See handshakes.h.
#include "handshakes.h"

#include <sidecall/sidecall.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <exception>
#include <functional>
#include <utility>

#include "net/common/error.h"

namespace sidecall::net {

Handshakes::Handshakes(Poller* poller, Workers* workers)
    : workers_(workers), fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_.get() < 0) throw Error(SIDECALL_OUT_OF_MEMORY, "server: no descriptors are left");
  poller->add(fd_.get(), EPOLLIN, this);
}

Handshakes::~Handshakes() { stop(); }

void Handshakes::begin(Handshaking* connection, ByteStream* stream) {
  std::function<void()> task = [this, connection, stream] {
    ByteStream::Result result = ByteStream::Result::kClosed;
    try {
      if (!should_stop_.load(std::memory_order_relaxed)) result = stream->handshake();
    } catch (const std::exception&) {
      // No memory is left.
    }
    connection->result_ = result;
    put(connection);
  };
  {
    const std::lock_guard lock(mutex_);
    ++num_elsewhere_;
  }
  try {
    workers_->submit(std::move(task));
  } catch (...) {
    const std::lock_guard lock(mutex_);
    --num_elsewhere_;
    throw;
  }
}

void Handshakes::put(Handshaking* connection) noexcept {
  const std::lock_guard lock(mutex_);
  connection->next_ = std::exchange(done_, connection);
  --num_elsewhere_;
  eventfd_write(fd_.get(), 1);
  changed_.notify_all();
}

void Handshakes::on_events(uint32_t) {
  eventfd_t count = 0;
  eventfd_read(fd_.get(), &count);
  Handshaking* next = nullptr;
  {
    const std::lock_guard lock(mutex_);
    next = std::exchange(done_, nullptr);
  }
  while (next != nullptr) {
    Handshaking* const connection = std::exchange(next, next->next_);
    connection->on_handshake(connection->result_);
  }
}

void Handshakes::stop() noexcept {
  should_stop_.store(true, std::memory_order_relaxed);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return num_elsewhere_ == 0; });
}

}  // namespace sidecall::net
