// An object that each process makes for itself. A child of fork() has a copy of its parent's
// object, but not the parent's threads. If one of these threads held a mutex of the object, the
// copy of the mutex stays locked for ever, and the data that it guards may be half changed. So the
// child makes another object.
#pragma once

#include <atomic>
#include <cstdint>

#include "fork_generation.h"

namespace sidecall {

// Returns the T of this process, and makes it if there is none yet. T is constructed from the fork
// generation and stores it in `generation`. *current points to the object; at first it is null.
template <typename T>
T& own_object(std::atomic<T*>* current) {
  T* object = current->load(std::memory_order_acquire);
  const uint64_t generation = fork_generation();
  while (object == nullptr || object->generation != generation) {
    auto* fresh = new T(generation);
    if (current->compare_exchange_strong(object, fresh, std::memory_order_acq_rel)) return *fresh;
    delete fresh;
  }
  return *object;
}

// The only T of this process. It is never destroyed, because other threads may use it until the
// process ends.
template <typename T>
T& per_process() {
  static std::atomic<T*> current{nullptr};
  return own_object(&current);
}

// A T for each process, as a member of another object.
template <typename T>
class PerProcess {
 public:
  PerProcess() = default;
  PerProcess(const PerProcess&) = delete;
  PerProcess& operator=(const PerProcess&) = delete;
  // The object of a parent process is not destroyed, because its mutex may be locked.
  ~PerProcess() {
    T* object = current_.load(std::memory_order_acquire);
    if (object != nullptr && object->generation == fork_generation()) delete object;
  }

  T& get() { return own_object(&current_); }

 private:
  std::atomic<T*> current_{nullptr};
};

}  // namespace sidecall
