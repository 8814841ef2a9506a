// One object per process for services that own threads: deadlines and workers. A child of fork()
// has a copy of its parent's object, but not the threads. If one of the threads held a mutex, the
// copy of the mutex stays locked for ever. So the child makes another object.
#pragma once

#include <atomic>
#include <cstdint>

#include "platform.h"

namespace sidecall {

// T is constructed from the process id and stores it in `process`. The object is never destroyed,
// because its threads may run until the process ends.
template <typename T>
T& per_process() {
  static std::atomic<T*> current{nullptr};
  T* object = current.load(std::memory_order_acquire);
  const int32_t process = platform::process_id();
  while (object == nullptr || object->process != process) {
    auto* fresh = new T(process);
    if (current.compare_exchange_strong(object, fresh, std::memory_order_acq_rel)) return *fresh;
    delete fresh;
  }
  return *object;
}

}  // namespace sidecall
