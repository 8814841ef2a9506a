// Watches one file descriptor on the event loop; used by call.cpp for runs that were started.
#pragma once

#include <functional>

struct uv_loop_s;
struct uv_handle_s;

namespace sidecall_node {

// Stays armed between runs, because arming it again for each run would cost two system calls. It
// keeps the loop alive only between hold() and release().
class Poll {
 public:
  // Returns nullptr if libuv reports an error. `on_ready` is called on the loop whenever `fd` is
  // readable, and `on_closed` once after close().
  static Poll* open(uv_loop_s* loop, int fd, std::function<void()> on_ready,
                    std::function<void()> on_closed);

  void hold();
  void release();

  // Stops watching `fd` while no run is under way: otherwise a readable `fd` would call `on_ready`
  // again and again.
  void pause();
  void resume();  // does nothing if it is not paused

  // Closes the handle and frees the object. Afterwards only `on_closed` is called, on the loop. The
  // descriptor must stay open until this function returns.
  void close() noexcept;

 private:
  Poll() = default;
  ~Poll() = default;

  void arm();

  uv_handle_s* handle_ = nullptr;
  bool is_paused_ = false;
  std::function<void()> on_ready_;
  std::function<void()> on_closed_;
};

}  // namespace sidecall_node
