// No signal reaches this thread meanwhile, nor ever a thread that it starts then: the host program's handlers are not for our threads. Used by
// control.cpp, supervisor.cpp and child.cpp.
#pragma once

#include <pthread.h>
#include <signal.h>

namespace sidecall::shm {

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

}  // namespace sidecall::shm
