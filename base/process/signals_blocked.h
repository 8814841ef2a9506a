// Blocks all signals for this thread while the object lives. Threads that this thread starts
// meanwhile inherit the mask and keep it, so the signal handlers of the host program never run on
// those threads. Used wherever the library starts a thread or a process.
#pragma once

#include <pthread.h>
#include <signal.h>

namespace sidecall {

class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace sidecall
