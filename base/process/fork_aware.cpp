// The list of objects that a forked child must release, and the fork handler that releases them.
#include "fork_aware.h"

#include <pthread.h>

#include <mutex>

namespace sidecall {

// The members are accessed under the lock, or by the only thread of a new child. The list is
// constant-initialised, so that it exists before and after all other static objects.
struct ForkList {
  static void link(ForkAware* item) {
    item->next_ = first;
    if (first) first->previous_ = item;
    first = item;
    item->is_watched_ = true;
  }

  static void unlink(ForkAware* item) {
    if (!item->is_watched_) return;
    (item->previous_ ? item->previous_->next_ : first) = item->next_;
    if (item->next_) item->next_->previous_ = item->previous_;
    item->previous_ = item->next_ = nullptr;
    item->is_watched_ = false;
  }

  // The lock is held across fork(), so that the child finds a consistent list.
  static void before() { lock.lock(); }
  static void in_parent() { lock.unlock(); }
  static void in_child() {
    for (ForkAware* item = first; item; item = item->next_) item->in_child();
    lock.unlock();
  }

  static std::mutex lock;
  static ForkAware* first;
};

std::mutex ForkList::lock;
ForkAware* ForkList::first = nullptr;

namespace {

// Registered when the library is loaded. A local static object would not do: if another thread
// initialises it while this process forks, the child waits for ever. Without memory for the
// handlers, a child keeps the descriptors and mappings of its parent.
[[maybe_unused]] const int registered =
    pthread_atfork(ForkList::before, ForkList::in_parent, ForkList::in_child);

}  // namespace

void ForkAware::watch() noexcept {
  const std::lock_guard guard(ForkList::lock);
  if (!is_watched_) ForkList::link(this);
}

void ForkAware::unwatch() noexcept {
  if (!is_watched_) return;
  const std::lock_guard guard(ForkList::lock);
  ForkList::unlink(this);
}

}  // namespace sidecall
