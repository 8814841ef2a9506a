// A completion queue for tests, and calls for it.
#pragma once

#include <poll.h>

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "server/function_server.h"

namespace support {

using Completions = std::vector<sidecall_completion>;

class Queue {
 public:
  explicit Queue(int32_t capacity = 16384, int32_t max_started = 128) {
    sidecall_queue_options options;
    sidecall_queue_options_init(&options);
    options.capacity = capacity;
    options.max_started = max_started;
    if (sidecall_queue_open(&options, &queue_, error()) != SIDECALL_OK)
      throw std::runtime_error(last().message);
  }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  ~Queue() { close(); }
  void close() { sidecall_queue_close(std::exchange(queue_, nullptr)); }
  sidecall_queue* get() const { return queue_; }

  std::string try_submit(sidecall_call* call, int64_t timeout_ns, uint64_t tag,
                         uint64_t* run = nullptr) {
    return status(sidecall_queue_submit(queue_, call, timeout_ns, tag, run, error()));
  }
  uint64_t submit(sidecall_call* call, uint64_t tag = 0,
                  int64_t timeout_ns = 20000 * kMillisecond) {
    uint64_t run = 0;
    const std::string outcome = try_submit(call, timeout_ns, tag, &run);
    if (outcome != "OK") throw std::runtime_error(last().message);
    return run;
  }
  Completions take(int64_t wait_ns, uint64_t run = 0, int64_t capacity = 64) {
    Completions taken(static_cast<size_t>(capacity));
    int64_t count = 0;
    const sidecall_status failed = sidecall_queue_take(
        queue_, run, taken.data(), sizeof(sidecall_completion), capacity, wait_ns, &count, error());
    if (failed != SIDECALL_OK) throw std::runtime_error(last().message);
    taken.resize(static_cast<size_t>(count));
    return taken;
  }
  sidecall_completion take_one(uint64_t run = 0) {
    const Completions taken = take(20000 * kMillisecond, run, 1);
    if (taken.empty()) throw std::runtime_error("no completion");
    return taken[0];
  }
  int64_t arm() {
    int64_t look_ns = 0;
    if (sidecall_queue_arm(queue_, &look_ns, error()) != SIDECALL_OK)
      throw std::runtime_error(last().message);
    return look_ns;
  }
  int handle() {
    intptr_t handle = -1;
    if (sidecall_queue_handle(queue_, &handle, error()) != SIDECALL_OK)
      throw std::runtime_error(last().message);
    return static_cast<int>(handle);
  }

 private:
  sidecall_queue* queue_ = nullptr;
};

inline bool is_readable(int fd, int timeout_ms) {
  pollfd one{fd, POLLIN, 0};
  return poll(&one, 1, timeout_ms) == 1;
}

inline double* doubles(const sidecall::View& view) { return static_cast<double*>(view.get().data); }

// A server that doubles its input once the gate is open, and calls of one number.
struct Served {
  Gate gate;
  std::atomic<int> num_runs{0};
  FunctionServer server{fresh_address(), kDouble, [this](sidecall_request* request) {
                          gate.pass();
                          ++num_runs;
                          return double_it(request);
                        }};
  sidecall::Model model{server.address()};

  explicit Served(bool is_open = true) {
    if (is_open) gate.open();
  }
  ~Served() { gate.open(); }
  // Only a thread that takes lets a run connect.
  void await_caller(Queue* queue) {
    while (!gate.has_caller()) {
      if (!queue->take(kMillisecond).empty()) throw std::runtime_error("a completion");
    }
  }
  sidecall::Call call(double x) {
    sidecall::Call made(model);
    *doubles(made.input(0)) = x;
    return made;
  }
};

// A call of a local model that runs for about `milliseconds`.
inline sidecall::Call slow_call(const sidecall::Model& model, int64_t milliseconds) {
  sidecall::Call call(model);
  give_rounds(call, 160 * milliseconds, 10000);
  return call;
}

}  // namespace support
