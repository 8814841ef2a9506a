// Implements Poll with a uv_poll handle of libuv; see poll.h.
#include "poll.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "uv.h"

namespace sidecall_node {

Poll* Poll::open(uv_loop_s* loop, int fd, std::function<void()> on_ready,
                 std::function<void()> on_closed) {
  const char* name = uv_handle_type_name(kUvPoll);
  if (name == nullptr || std::strcmp(name, "poll") != 0) return nullptr;
  auto* poll = new Poll;
  poll->on_ready_ = std::move(on_ready);
  poll->on_closed_ = std::move(on_closed);
  auto* handle = static_cast<uv_handle_s*>(std::calloc(1, uv_handle_size(kUvPoll)));
  if (handle == nullptr || uv_poll_init(loop, handle, fd) != 0) {
    std::free(handle);
    delete poll;
    return nullptr;
  }
  poll->handle_ = handle;
  uv_handle_set_data(handle, poll);
  poll->arm();
  uv_unref(handle);
  return poll;
}

// uv_poll_start cannot fail here: uv_poll_init succeeded and the descriptor is open.
void Poll::arm() {
  uv_poll_start(handle_, kUvReadable, [](uv_handle_s* self, int, int) {
    static_cast<Poll*>(uv_handle_get_data(self))->on_ready_();
  });
}

void Poll::pause() {
  if (!is_paused_) uv_poll_stop(handle_);
  is_paused_ = true;
}

void Poll::resume() {
  if (is_paused_) arm();
  is_paused_ = false;
}

void Poll::hold() { uv_ref(handle_); }

void Poll::release() { uv_unref(handle_); }

void Poll::close() noexcept {
  uv_close(handle_, [](uv_handle_s* handle) {
    auto* self = static_cast<Poll*>(uv_handle_get_data(handle));
    const std::function<void()> done = std::move(self->on_closed_);
    delete self;
    std::free(handle);
    done();
  });
}

}  // namespace sidecall_node
