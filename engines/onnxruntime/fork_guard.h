// Makes fork() wait while another thread loads ONNX Runtime or creates a session. Both lock mutexes
// that all sessions share, and a child that was forked meanwhile would wait for them for ever.
#pragma once

namespace sidecall {

// While an object exists, fork() in another thread waits, but at most 10 s. fork() in this thread
// does not wait. Signal handlers must not fork.
class ForkGuard {
 public:
  ForkGuard() noexcept;
  ~ForkGuard();
  ForkGuard(const ForkGuard&) = delete;
  ForkGuard& operator=(const ForkGuard&) = delete;
};

}  // namespace sidecall
