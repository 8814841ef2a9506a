// One object per process for what has threads of its own: deadlines and workers. A child of fork() has the memory of its
// parent's but not its threads, and perhaps a lock that one of them held: it gets another.
#pragma once

#include <atomic>
#include <cstdint>

#include "platform.h"

namespace sidecall {

// T is made from the process id and has it as `process`. Never destroyed: its threads may run until the process ends.
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
