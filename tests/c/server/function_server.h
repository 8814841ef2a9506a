// Serves a C++ function, for tests of models in other processes. The test decides what the server
// answers, and when.
#pragma once

#include <sidecall/server.h>
#include <unistd.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support.h"

namespace support {

using Answer = std::function<sidecall_status(sidecall_request*)>;

// A socket address that no other test uses.
inline std::string fresh_address() {
  static int last = 0;
  return "shm:/tmp/sidecall-route-" + std::to_string(getpid()) + "-" + std::to_string(++last) +
         ".sock";
}

class FunctionServer {
 public:
  // `tensors` is the signature as JSON. It may be "" if there is a contract, from which the server
  // then derives the signature.
  FunctionServer(std::string address, const std::string& tensors, Answer answer,
                 const std::string& contract = "", int32_t verify = SIDECALL_VERIFY_ERROR)
      : address_(std::move(address)), answer_(std::move(answer)) {
    sidecall_service service;
    sidecall_service_init(&service);
    if (!tensors.empty())
      service.signature = tensors.data(), service.signature_length = tensors.size();
    if (!contract.empty())
      service.contract = contract.data(), service.contract_length = contract.size();
    service.handler = [](void* self, sidecall_request* request) {
      return static_cast<FunctionServer*>(self)->answer_(request);
    };
    service.context = this;
    if (sidecall_server_open_service(address_.c_str(), &service, verify, nullptr, &server_,
                                     error()) != SIDECALL_OK)
      throw std::runtime_error(last().message);
  }
  FunctionServer(const FunctionServer&) = delete;
  FunctionServer& operator=(const FunctionServer&) = delete;
  ~FunctionServer() { close(); }
  void close() { sidecall_server_close(std::exchange(server_, nullptr)); }

  const std::string& address() const { return address_; }

 private:
  const std::string address_;
  const Answer answer_;
  sidecall_server* server_ = nullptr;
};

// Blocks the threads that call pass() until the gate is opened.
class Gate {
 public:
  ~Gate() { open(); }
  void open() {
    const std::lock_guard lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }
  void close() {
    const std::lock_guard lock(mutex_);
    is_open_ = false;
  }
  void pass() {
    std::unique_lock lock(mutex_);
    ++num_waiting_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return is_open_; });
    --num_waiting_;
  }
  bool has_caller() {
    const std::lock_guard lock(mutex_);
    return num_waiting_ > 0;
  }
  void await_caller() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return num_waiting_ > 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_open_ = false;
  int num_waiting_ = 0;
};

inline sidecall_view input_of(sidecall_request* request, int32_t index) {
  sidecall_view view = SIDECALL_VIEW_INIT;
  if (sidecall_request_input(request, index, &view, nullptr) != SIDECALL_OK)
    throw std::runtime_error("no such input");
  return view;
}

inline double* output_of(sidecall_request* request, int32_t index,
                         const std::vector<int64_t>& dims) {
  sidecall_view view = SIDECALL_VIEW_INIT;
  const sidecall_status status = sidecall_request_output(
      request, index, dims.data(), static_cast<int32_t>(dims.size()), &view, nullptr);
  return status == SIDECALL_OK ? static_cast<double*>(view.data) : nullptr;
}

// y = 2 x, for any number of float64 elements.
inline const char* const kDouble =
    R"({"inputs": [{"name": "x", "dtype": "float64", "dims": [-1, -1], "dim_names": ["N", "K"]}],
        "outputs": [{"name": "y", "dtype": "float64", "dims": [-1, -1], "dim_names": ["N", "K"]}]})";

inline sidecall_status double_it(sidecall_request* request) {
  const sidecall_view x = input_of(request, 0);
  double* y = output_of(request, 0, {x.dims[0], x.dims[1]});
  if (y == nullptr) return SIDECALL_INTERNAL;
  for (int64_t i = 0; i < x.dims[0] * x.dims[1]; ++i)
    y[i] = 2 * static_cast<const double*>(x.data)[i];
  return SIDECALL_OK;
}

}  // namespace support
