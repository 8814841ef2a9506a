// Watches one file descriptor on the event loop; used by call.cpp for runs that were started.
#pragma once

#include <functional>

struct uv_loop_s;
struct uv_handle_s;

namespace sidecall_node {

// Always armed, but keeps the loop alive only while it is held: arming anew for each run would cost two system calls.
class Poll {
 public:
  // nullptr where libuv refuses. `on_ready` is called on the loop whenever `fd` is readable.
  static Poll* open(uv_loop_s* loop, int fd, std::function<void()> on_ready);

  void hold();
  void release();

  // While nobody waits for `fd`: what is readable then would be told again and again.
  void pause();
  void resume();  // nothing where it is not paused

  // Nothing is called afterwards but `on_closed`, from the loop; frees the object. The descriptor must stay open until this returns.
  void close(std::function<void()> on_closed);

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
