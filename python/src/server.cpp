// Implements the Python classes Server, Supervisor and Watchdog over sidecall/server.h. The GIL is
// never held while the library waits.
#include "server.h"
#include "fast.h"
#include "gil.h"

namespace sidecall_python {

// Defined in server_function.cpp.
py::object remaining_seconds();
void log_event(int32_t level, const std::string& event, const std::string& facts);

namespace {

const char* c_str(const std::optional<std::string>& text) { return text ? text->c_str() : nullptr; }

py::str taken(sidecall_text* text) {
  const std::unique_ptr<sidecall_text, decltype(&sidecall_text_close)> owner(text,
                                                                             sidecall_text_close);
  return {text->data, text->length};
}

template <typename Number>
void read(const py::dict& values, const char* key, Number* out) {
  if (values.contains(key)) *out = values[key].cast<Number>();
}

py::str query(const std::string& at, int64_t wait_ns) {
  CallError error;
  sidecall_text* text = nullptr;
  sidecall_status status = SIDECALL_OK;
  {
    const WithoutGil scope;
    status = sidecall_server_query(at.c_str(), wait_ns, &text, error.get());
  }
  error.check(status);
  return taken(text);
}

void log_line(int32_t fd, bool as_json, int32_t level, const std::string& json) {
  sidecall_log_lines lines;
  sidecall_log_lines_init(&lines);
  lines.fd = fd;
  lines.as_json = as_json ? 1 : 0;
  lines.least_level = 0;
  sidecall_log_line(&lines, level, json.c_str());
}

}  // namespace

ServerOptions::ServerOptions(const py::dict& values, const py::object& log) {
  sidecall_log_lines_init(&log_);
  sidecall_server_options_init(&options_);
  read(values, "num_threads", &options_.num_threads);
  read(values, "copy_inputs", &options_.copy_inputs);
  read(values, "spin_us", &options_.spin_us);
  read(values, "allow_uids", &allow_uids_);
  read(values, "max_connections", &options_.max_connections);
  read(values, "group", &options_.group);
  read(values, "max_connections_per_user", &options_.max_connections_per_user);
  read(values, "max_request_bytes", &options_.max_request_bytes);
  read(values, "max_response_bytes", &options_.max_response_bytes);
  read(values, "max_memory_bytes", &options_.max_memory_bytes);
  read(values, "max_memory_per_user_bytes", &options_.max_memory_per_user_bytes);
  read(values, "drain_ns", &options_.drain_ns);
  read(values, "timeout_ns", &options_.timeout_ns);
  read(values, "max_run_ns", &options_.max_run_ns);
  read(values, "unready_after_ns", &options_.unready_after_ns);
  options_.allow_uids = allow_uids_.data();
  options_.num_allow_uids = static_cast<int32_t>(allow_uids_.size());
  if (log.is_none()) return;
  const auto [fd, as_json, level] = log.cast<std::tuple<int32_t, bool, int32_t>>();
  log_.fd = fd;
  log_.as_json = as_json ? 1 : 0;
  log_.least_level = level;
  options_.log = &log_;
}

py::object Server::of_model(const std::optional<std::string>& at, const Model& model,
                            const py::dict& options, const py::object& log) {
  auto server = std::make_unique<Server>(std::make_unique<ServerOptions>(options, log), nullptr);
  const ModelHandle handle = model.handle();
  CallError error;
  sidecall_status status = SIDECALL_OK;
  sidecall_server* opened = nullptr;
  {
    const WithoutGil scope;
    status = sidecall_server_open(c_str(at), handle.get(), server->options_->get(), &opened,
                                  error.get());
  }
  error.check(status);
  server->server_ = {opened, sidecall_server_close};
  return give_to_python(std::move(server));
}

py::object Server::of_function(const std::optional<std::string>& at,
                               const std::optional<std::string>& signature,
                               const std::optional<std::string>& contract, py::object function,
                               py::object on_error, int32_t verify, const py::dict& options,
                               const py::object& log) {
  auto server = std::make_unique<Server>(
      std::make_unique<ServerOptions>(options, log),
      std::make_unique<ServedFunction>(std::move(function), std::move(on_error)));
  sidecall_service service;
  sidecall_service_init(&service);
  service.signature = c_str(signature);
  service.signature_length = signature ? signature->size() : 0;
  service.contract = c_str(contract);
  service.contract_length = contract ? contract->size() : 0;
  service.handler = ServedFunction::handle;
  service.context = server->function_.get();
  CallError error;
  sidecall_status status = SIDECALL_OK;
  sidecall_server* opened = nullptr;
  {
    const WithoutGil scope;
    status = sidecall_server_open_service(c_str(at), &service, verify, server->options_->get(),
                                          &opened, error.get());
  }
  error.check(status);
  server->server_ = {opened, sidecall_server_close};
  return give_to_python(std::move(server));
}

py::object Server::open_frontend_of(const std::string& at, const py::dict& options,
                                    const py::object& log, OpenFrontend open) {
  auto server = std::make_unique<Server>(std::make_unique<ServerOptions>(options, log), nullptr);
  CallError error;
  sidecall_status status = SIDECALL_OK;
  sidecall_server* opened = nullptr;
  {
    const WithoutGil scope;
    status = open(at.c_str(), server->options_->get(), &opened, error.get());
    open = nullptr;  // closes the backend if another thread has closed its handle
  }
  error.check(status);
  server->server_ = {opened, sidecall_server_close};
  return give_to_python(std::move(server));
}

py::object Server::open_frontend(const std::string& at, const py::dict& options,
                                 const py::object& log) {
  return open_frontend_of(
      at, options, log,
      [backend = handle()](const char* where, const sidecall_server_options* known,
                           sidecall_server** out, sidecall_error* err) {
        return sidecall_server_open_frontend(backend.get(), where, known, out, err);
      });
}

py::object Supervisor::open_frontend(const std::string& at, const py::dict& options,
                                     const py::object& log) {
  return Server::open_frontend_of(
      at, options, log,
      [backend = handle()](const char* where, const sidecall_server_options* known,
                           sidecall_server** out, sidecall_error* err) {
        return sidecall_supervisor_open_frontend(backend.get(), where, known, out, err);
      });
}

std::shared_ptr<sidecall_server> Server::handle() const {
  if (server_ == nullptr) raise_status(SIDECALL_INVALID_ARGUMENT, "the server is closed");
  return server_;
}

py::str Server::status() const {
  CallError error;
  sidecall_text* text = nullptr;
  error.check(sidecall_server_status(handle().get(), &text, error.get()));
  return taken(text);
}

int Server::fd() const { return sidecall_server_fd(handle().get()); }

bool Server::drain(int64_t timeout_ns) {
  std::shared_ptr<sidecall_server> server = handle();
  CallError error;
  sidecall_status status = SIDECALL_OK;
  {
    const WithoutGil scope;
    status = sidecall_server_drain(server.get(), timeout_ns, error.get());
    // This may be the last reference. Closing the server then waits for handlers, which need the
    // GIL.
    server.reset();
  }
  if (status == SIDECALL_TIMEOUT) return false;
  error.check(status);
  return true;
}

void Server::close() {
  std::shared_ptr<sidecall_server> server = std::exchange(server_, nullptr);
  if (server == nullptr) return;
  const WithoutGil scope;  // running handlers need the GIL to return
  server.reset();
}

Supervisor::Supervisor(const std::optional<std::string>& at, const py::dict& options,
                       const py::object& log)
    : options_(std::make_unique<ServerOptions>(options, log)) {
  CallError error;
  sidecall_status status = SIDECALL_OK;
  sidecall_supervisor* opened = nullptr;
  {
    const WithoutGil scope;
    status = sidecall_supervisor_open(c_str(at), options_->get(), &opened, error.get());
  }
  error.check(status);
  supervisor_ = {opened, sidecall_supervisor_close};
}

std::shared_ptr<sidecall_supervisor> Supervisor::handle() const {
  if (supervisor_ == nullptr) raise_status(SIDECALL_INVALID_ARGUMENT, "the supervisor is closed");
  return supervisor_;
}

int Supervisor::add(int32_t worker) {
  CallError error;
  int32_t fd = -1;
  error.check(sidecall_supervisor_add(handle().get(), worker, &fd, error.get()));
  return fd;
}

void Supervisor::remove(int32_t worker) { sidecall_supervisor_remove(handle().get(), worker); }

int32_t Supervisor::num_ready() const { return sidecall_supervisor_num_ready(handle().get()); }

int32_t Supervisor::hung() const { return sidecall_supervisor_hung(handle().get()); }

std::tuple<int32_t, int64_t, int32_t, int64_t> Supervisor::long_runs() const {
  int64_t run_ns = 0, next_ns = 0;
  int32_t num_late = 0;
  const int32_t worker =
      sidecall_supervisor_long_runs(handle().get(), &run_ns, &num_late, &next_ns);
  return {worker, run_ns, num_late, next_ns};
}

bool Supervisor::was_ready(int32_t worker) const {
  return sidecall_supervisor_was_ready(handle().get(), worker) != 0;
}

bool Supervisor::listen(int64_t wait_ns) {
  std::shared_ptr<sidecall_supervisor> supervisor = handle();
  CallError error;
  sidecall_status status = SIDECALL_OK;
  {
    const WithoutGil scope;
    status = sidecall_supervisor_listen(supervisor.get(), wait_ns, error.get());
    supervisor.reset();
  }
  if (status == SIDECALL_TIMEOUT) return false;
  error.check(status);
  return true;
}

py::str Supervisor::status() {
  std::shared_ptr<sidecall_supervisor> supervisor = handle();
  CallError error;
  sidecall_text* text = nullptr;
  sidecall_status status = SIDECALL_OK;
  {
    const WithoutGil scope;
    status = sidecall_supervisor_status(supervisor.get(), &text, error.get());
    supervisor.reset();
  }
  error.check(status);
  return taken(text);
}

void Supervisor::close() {
  std::shared_ptr<sidecall_supervisor> supervisor = std::exchange(supervisor_, nullptr);
  if (supervisor == nullptr) return;
  const WithoutGil scope;
  supervisor.reset();
}

Watchdog::Watchdog(int32_t fd, int64_t after_ns, int32_t exit_code) {
  CallError error;
  error.check(sidecall_watchdog_open(fd, after_ns, exit_code, &watchdog_, error.get()));
}

void add_server(py::module_& module) {
  py::class_<Server>(module, "Server", plain_type(), py::is_final())
      .def("status", &Server::status)
      .def_property_readonly("fd", &Server::fd)
      .def("drain", &Server::drain, py::arg("timeout_ns"))
      .def("open_frontend", &Server::open_frontend, py::arg("at"), py::arg("options"),
           py::arg("log"))
      .def("close", &Server::close);
  py::class_<Supervisor>(module, "Supervisor", plain_type(), py::is_final())
      .def("add", &Supervisor::add, py::arg("worker"))
      .def("remove", &Supervisor::remove, py::arg("worker"))
      .def_property_readonly("num_ready", &Supervisor::num_ready)
      .def_property_readonly("hung", &Supervisor::hung)
      .def("long_runs", &Supervisor::long_runs)
      .def("was_ready", &Supervisor::was_ready, py::arg("worker"))
      .def("listen", &Supervisor::listen, py::arg("wait_ns"))
      .def("open_frontend", &Supervisor::open_frontend, py::arg("at"), py::arg("options"),
           py::arg("log"))
      .def("status", &Supervisor::status)
      .def("close", &Supervisor::close);
  module.def("serve_model", &Server::of_model, py::arg("at"), py::arg("model"), py::arg("options"),
             py::arg("log"));
  module.def("serve_function", &Server::of_function, py::arg("at"), py::arg("signature"),
             py::arg("contract"), py::arg("function"), py::arg("on_error"), py::arg("verify"),
             py::arg("options"), py::arg("log"));
  module.def(
      "supervise",
      [](const std::optional<std::string>& at, const py::dict& options, const py::object& log) {
        return give_to_python(std::make_unique<Supervisor>(at, options, log));
      },
      py::arg("at"), py::arg("options"), py::arg("log"));
  module.def("query", &query, py::arg("at"), py::arg("wait_ns"));
  module.def("remaining", &remaining_seconds);
  py::class_<Watchdog>(module, "Watchdog", plain_type(), py::is_final())
      .def(py::init<int32_t, int64_t, int32_t>(), py::arg("fd"), py::arg("after_ns"),
           py::arg("exit_code"))
      .def("close", &Watchdog::close);
  module.def("log_event", &log_event, py::arg("level"), py::arg("event"), py::arg("facts"));
  module.def(
      "log_flush",
      [](int64_t timeout_ns) {
        return without_gil([&] { return sidecall_log_flush(timeout_ns); });
      },
      py::arg("timeout_ns"));
  module.def("log_line", &log_line, py::arg("fd"), py::arg("as_json"), py::arg("level"),
             py::arg("json"));
}

}  // namespace sidecall_python
