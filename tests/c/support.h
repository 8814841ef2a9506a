// Shared helpers of the C ABI tests: an error to pass, statuses as text, inputs of the test models.
#pragma once

#include <sidecall/server.h>
#include <unistd.h>
#include <sidecall/sidecall.hpp>

#include <chrono>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "paths.h"

namespace support {

// A fresh error for each call: write `status(f(..., error()))`, then read `last()`.
inline sidecall_error& last() {
  static thread_local sidecall_error error;
  return error;
}

inline sidecall_error* error() {
  sidecall_error_init(&last());
  return &last();
}

// The name of a status, so that a failed check prints the name instead of a number.
inline std::string status(sidecall_status status) { return sidecall_status_name(status); }

// Whether a run uses the memory of the call.
inline bool is_busy(const sidecall::Call& call) {
  sidecall_view view = SIDECALL_VIEW_INIT;
  return sidecall_call_output(call.get(), 0, &view, nullptr) == SIDECALL_BUSY;
}

// The status that sidecall_call_describe_mismatch writes into the error.
inline sidecall_status mismatch(sidecall_call* call, int32_t input, const char* got) {
  sidecall_call_describe_mismatch(call, input, got, error());
  return last().status;
}

// With SIDECALL_TEST_ROUTE=shm, http or grpc, models are opened through servers in this process:
// the same tests run over another route. "" in process.
inline std::string route() {
  const char* const name = std::getenv("SIDECALL_TEST_ROUTE");
  return name == nullptr ? "" : name;
}

// The protocol of the network has no names for dimensions, so the client cannot compute the shapes
// of outputs from those of the inputs.
inline bool has_dim_names() { return route() != "http" && route() != "grpc"; }

// Serves one model until the process exits, over shared memory if no route is given. Returns the
// URI of the model.
inline std::string serve(const std::string& name) {
  static std::map<std::string, std::string> served;
  // The servers end with the process. The list keeps them reachable for LeakSanitizer.
  static auto* const servers = new std::vector<sidecall_server*>;
  std::string& uri = served[name];
  if (!uri.empty()) return uri;
  const sidecall::Model model(test_paths::model(name));
  const std::string scheme = route().empty() ? "shm" : route();
  const bool is_shm = scheme == "shm";
  const std::string address = scheme + (is_shm ? ":" : "+unix:") + "/tmp/sidecall-tests-" +
                              std::to_string(getpid()) + "-" + std::to_string(served.size()) +
                              ".sock";
  sidecall_server* server = nullptr;
  sidecall_error failure = SIDECALL_ERROR_INIT;
  if (sidecall_server_open((address + (is_shm ? "" : "?name=model")).c_str(), model.get(), nullptr,
                           &server, &failure) != SIDECALL_OK)
    throw std::runtime_error(failure.message);
  servers->push_back(server);
  return uri = address + (is_shm ? "" : "/model");
}

inline sidecall::Model open(const std::string& name) {
  return sidecall::Model(route().empty() ? test_paths::model(name) : serve(name));
}

// Whether the condition becomes true within five seconds.
template <typename Condition>
bool eventually(Condition holds) {
  for (int i = 0; i < 5000; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

// Sets the input of add.onnx, [N,2] float32.
inline void give_x(sidecall::Call& call, const std::vector<float>& x) {
  const int64_t dims[] = {static_cast<int64_t>(x.size() / 2), 2};
  call.copy_input(0, sidecall::View::of<float>({x.data(), x.size()}, {dims, 2}));
}

// Prepares slow.onnx for `rounds` rounds over `width` elements; one round takes about 6 us at 10000
// elements.
inline void give_rounds(sidecall::Call& call, int64_t rounds, int64_t width) {
  const std::vector<float> x(static_cast<size_t>(width), 0.5F);
  call.copy_input(0, sidecall::View::of<float>({x.data(), x.size()}, {&width, 1}));
  call.copy_input(1, sidecall::View::of<int64_t>({&rounds, 1}, {}));
}

// Sets an environment variable for one scope.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

constexpr int64_t kMillisecond = 1000000;

}  // namespace support
