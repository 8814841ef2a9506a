// The Python classes of servers, supervisors and watchdogs, and Python functions that a server
// calls. Used by server.cpp, server_function.cpp and module.cpp.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <sidecall/server.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "model.h"

namespace sidecall_python {

// sidecall_server_options together with the memory that they point to.
class ServerOptions {
 public:
  // The keys of `values` are the fields of sidecall_server_options. `log` is None or the tuple
  // (descriptor, as JSON, least level).
  ServerOptions(const py::dict& values, const py::object& log);
  ServerOptions(const ServerOptions&) = delete;
  ServerOptions& operator=(const ServerOptions&) = delete;
  const sidecall_server_options* get() const noexcept { return &options_; }

 private:
  sidecall_server_options options_;
  sidecall_log_lines log_;
  std::vector<uint32_t> allow_uids_;
};

// A Python function that takes one array for each input, which is a copy, and returns one array for
// each output.
class ServedFunction {
 public:
  // `on_error` is called with each exception of the function that is not one of sidecall's own.
  ServedFunction(py::object function, py::object on_error)
      : function_(std::move(function)), on_error_(std::move(on_error)) {}

  static sidecall_status handle(void* context, sidecall_request* request);

 private:
  void answer(sidecall_request* request);
  void learn(const sidecall_request* request);
  py::object input(sidecall_request* request, size_t index);
  void give(sidecall_request* request, size_t index, PyObject* value);
  sidecall_status fail(sidecall_request* request, py::error_already_set& error);

  py::object function_;
  py::object on_error_;
  bool is_ready_ = false;  // the specs below are filled
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
};

class Server {
 public:
  Server(std::unique_ptr<ServerOptions> options, std::unique_ptr<ServedFunction> function)
      : options_(std::move(options)), function_(std::move(function)) {}
  Server() = default;
  ~Server() { close(); }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  Server& operator=(Server&&) = default;

  static py::object of_model(const std::optional<std::string>& at, const Model& model,
                             const py::dict& options, const py::object& log);
  static py::object of_function(const std::optional<std::string>& at,
                                const std::optional<std::string>& signature,
                                const std::optional<std::string>& contract, py::object function,
                                py::object on_error, int32_t verify, const py::dict& options,
                                const py::object& log);

  // Opens a server for HTTP or gRPC in front of another one, as `open` says.
  using OpenFrontend = std::function<sidecall_status(const char* at, const sidecall_server_options*,
                                                     sidecall_server**, sidecall_error*)>;
  static py::object open_frontend_of(const std::string& at, const py::dict& options,
                                     const py::object& log, OpenFrontend open);
  py::object open_frontend(const std::string& at, const py::dict& options, const py::object& log);

  py::str status() const;
  int fd() const;
  bool drain(int64_t timeout_ns);
  void close();

 private:
  // Shared, because one thread may wait in the server without the GIL while another thread closes
  // it. The last thread that releases its reference closes the server.
  std::shared_ptr<sidecall_server> handle() const;

  std::unique_ptr<ServerOptions> options_;
  std::unique_ptr<ServedFunction> function_;
  std::shared_ptr<sidecall_server> server_;
};

class Supervisor {
 public:
  Supervisor(const std::optional<std::string>& at, const py::dict& options, const py::object& log);
  Supervisor() = default;
  ~Supervisor() { close(); }
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;
  Supervisor& operator=(Supervisor&&) = default;

  int add(int32_t worker);
  void remove(int32_t worker);
  int32_t num_ready() const;
  int32_t hung() const;
  // The number of the worker, and what sidecall_supervisor_long_runs fills.
  std::tuple<int32_t, int64_t, int32_t, int64_t> long_runs() const;
  bool was_ready(int32_t worker) const;
  bool listen(int64_t wait_ns);
  py::object open_frontend(const std::string& at, const py::dict& options, const py::object& log);
  py::str status();
  void close();

 private:
  std::shared_ptr<sidecall_supervisor> handle() const;  // shared for the same reason as a Server's

  std::unique_ptr<ServerOptions> options_;
  std::shared_ptr<sidecall_supervisor> supervisor_;
};

class Watchdog {
 public:
  Watchdog(int32_t fd, int64_t after_ns, int32_t exit_code);
  ~Watchdog() { close(); }
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  void close() { sidecall_watchdog_close(std::exchange(watchdog_, nullptr)); }

 private:
  sidecall_watchdog* watchdog_ = nullptr;
};

void add_server(py::module_& module);

}  // namespace sidecall_python
