// What the tests of the C ABI share: an error to pass on, statuses as text, inputs of the models they use.
#pragma once

#include <sidecall/sidecall.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "paths.h"

namespace support {

// An error that is fresh for each call: `status(f(..., error()))`, then look at `last()`.
inline sidecall_error& last() {
  static thread_local sidecall_error error;
  return error;
}

inline sidecall_error* error() {
  sidecall_error_init(&last());
  return &last();
}

// The name of a status, and its message when that was no success: what a failed check prints.
inline std::string status(sidecall_status status) { return sidecall_status_name(status); }

inline sidecall::Model open(const std::string& name) { return sidecall::Model(test_paths::model(name)); }

// Sets the input of add.onnx, [N,2] float32.
inline void give_x(sidecall::Call& call, const std::vector<float>& x) {
  const int64_t dims[] = {static_cast<int64_t>(x.size() / 2), 2};
  call.copy_input(0, sidecall::View::of<float>({x.data(), x.size()}, {dims, 2}));
}

// Readies slow.onnx for `rounds` rounds over `width` elements; about 6 us a round at 10000 elements.
inline void give_rounds(sidecall::Call& call, int64_t rounds, int64_t width) {
  const std::vector<float> x(static_cast<size_t>(width), 0.5F);
  call.copy_input(0, sidecall::View::of<float>({x.data(), x.size()}, {&width, 1}));
  call.copy_input(1, sidecall::View::of<int64_t>({&rounds, 1}, {}));
}

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

constexpr int64_t kMillisecond = 1000000;

}  // namespace support
