/* server.hpp: the functions of server.h as C++17 classes. server.h is the manual; the rules at the
 * top of sidecall.hpp hold here too.
 *
 *   sidecall::Server server("shm:fraud", sidecall::Model("fraud.onnx"));
 *   ...wait for SIGTERM...
 *   server.drain(5'000'000'000);
 *
 *   const char *signature =
 *       R"({"inputs": [{"name": "x", "dtype": "float64", "dims": [-1]}], "outputs": [...]})";
 *   sidecall::Server twice("shm:twice", {signature, "", [](sidecall::Request &request) { ... }});
 *
 * Since 0.1. */
#ifndef SIDECALL_SERVER_HPP
#define SIDECALL_SERVER_HPP

#include <sidecall/server.h>
#include <sidecall/sidecall.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace sidecall {
inline namespace cpp {

/* sidecall_server_options, filled with the defaults. Everything that it points to must live until
 * the server is open. */
struct ServerOptions : sidecall_server_options {
  ServerOptions() noexcept : sidecall_server_options() { sidecall_server_options_init(this); }
};

/* One request. It is valid only inside the handler. */
class Request {
 public:
  explicit Request(sidecall_request *request) noexcept : request_(request) {}

  /* sidecall_request_input */
  View input(int32_t input) {
    sidecall_view view = SIDECALL_VIEW_INIT;
    detail::check(
        [&](sidecall_error *err) { return sidecall_request_input(request_, input, &view, err); });
    return View(view);
  }

  /* sidecall_request_output */
  View output(int32_t output, Span<const int64_t> dims) {
    sidecall_view view = SIDECALL_VIEW_INIT;
    detail::check([&](sidecall_error *err) {
      return sidecall_request_output(request_, output, dims.data(),
                                     static_cast<int32_t>(dims.size()), &view, err);
    });
    return View(view);
  }

  /* sidecall_request_set_strings */
  void set_strings(int32_t output, Span<const int64_t> dims, std::string_view bytes,
                   Span<const int64_t> offsets) {
    detail::check([&](sidecall_error *err) {
      return sidecall_request_set_strings(request_, output, dims.data(),
                                          static_cast<int32_t>(dims.size()), bytes.data(),
                                          offsets.data(), err);
    });
  }

  /* sidecall_request_remaining */
  int64_t remaining() const noexcept { return sidecall_request_remaining(request_); }

  /* sidecall_request_log */
  void log(int32_t level, const char *event, const char *facts = nullptr) noexcept {
    sidecall_request_log(request_, level, event, facts);
  }

 private:
  sidecall_request *request_;
};

/* A function to serve. If it throws an Error, the client gets that error. If it throws another
 * exception, the client gets ENGINE with the text of the exception. */
struct Service {
  std::string signature; /* JSON, or "" to derive the tensors from the contract */
  std::string contract;  /* JSON, or "" */
  std::function<void(Request &)> handler;
  int32_t verify = SIDECALL_VERIFY_ERROR;
};

class Server {
 public:
  /* sidecall_server_open. An empty address stands for the control socket of SIDECALL_FD. */
  Server(const std::string &at, const Model &model,
         const ServerOptions &options = ServerOptions()) {
    detail::check([&](sidecall_error *err) {
      return sidecall_server_open(at.empty() ? nullptr : at.c_str(), model.get(), &options,
                                  &server_, err);
    });
  }

  /* sidecall_server_open_service */
  Server(const std::string &at, Service service, const ServerOptions &options = ServerOptions())
      : handler_(std::make_unique<Handler>(std::move(service.handler))) {
    sidecall_service given;
    sidecall_service_init(&given);
    given.signature = service.signature.empty() ? nullptr : service.signature.data();
    given.signature_length = service.signature.size();
    given.contract = service.contract.empty() ? nullptr : service.contract.data();
    given.contract_length = service.contract.size();
    given.handler = answer;
    given.context = handler_.get();
    detail::check([&](sidecall_error *err) {
      return sidecall_server_open_service(at.empty() ? nullptr : at.c_str(), &given, service.verify,
                                          &options, &server_, err);
    });
  }

  /* sidecall_server_open_frontend: serves over HTTP or gRPC what `backend` serves. */
  static Server open_frontend(const Server &backend, const std::string &at,
                              const ServerOptions &options = ServerOptions()) {
    Server frontend;
    detail::check([&](sidecall_error *err) {
      return sidecall_server_open_frontend(backend.get(), at.c_str(), &options, &frontend.server_,
                                           err);
    });
    return frontend;
  }

  Server(Server &&other) noexcept
      : server_(std::exchange(other.server_, nullptr)), handler_(std::move(other.handler_)) {}
  Server &operator=(Server &&other) noexcept {
    std::swap(server_, other.server_);
    std::swap(handler_, other.handler_);
    return *this;
  }
  Server(const Server &) = delete;
  Server &operator=(const Server &) = delete;
  ~Server() { sidecall_server_close(server_); } /* before the handler is destroyed */

  /* The counters of the server as JSON. */
  std::string status() const {
    detail::Text out;
    detail::check(
        [&](sidecall_error *err) { return sidecall_server_status(server_, out.out(), err); });
    return out.str();
  }

  /* A descriptor that becomes readable when nothing is left to serve. */
  int32_t fd() const noexcept { return sidecall_server_fd(server_); }

  /* sidecall_server_start */
  void start() {
    detail::check([&](sidecall_error *err) { return sidecall_server_start(server_, err); });
  }

  /* sidecall_server_drain */
  void drain(int64_t timeout_ns) {
    detail::check(
        [&](sidecall_error *err) { return sidecall_server_drain(server_, timeout_ns, err); });
  }

  sidecall_server *get() const noexcept { return server_; }

 private:
  using Handler = std::function<void(Request &)>;

  Server() = default;

  static sidecall_status answer(void *context, sidecall_request *given) noexcept {
    try {
      Request request(given);
      (*static_cast<Handler *>(context))(request);
      return SIDECALL_OK;
    } catch (const Error &error) {
      sidecall_request_fail(given, error.status(), error.row(), error.name(), error.expected(),
                            error.got(), error.what());
      return error.status();
    } catch (const std::exception &error) {
      sidecall_request_fail(given, SIDECALL_ENGINE, -1, nullptr, nullptr, nullptr, error.what());
    } catch (...) {
      sidecall_request_fail(given, SIDECALL_ENGINE, -1, nullptr, nullptr, nullptr,
                            "the served function failed");
    }
    return SIDECALL_ENGINE;
  }

  sidecall_server *server_ = nullptr;
  std::unique_ptr<Handler> handler_; /* on the heap, so that its address survives a move */
};

/* sidecall_watchdog_open. The destructor closes the watchdog. */
class Watchdog {
 public:
  Watchdog(int32_t fd, int64_t after_ns, int32_t exit_code) {
    detail::check([&](sidecall_error *err) {
      return sidecall_watchdog_open(fd, after_ns, exit_code, &watchdog_, err);
    });
  }
  Watchdog(const Watchdog &) = delete;
  Watchdog &operator=(const Watchdog &) = delete;
  ~Watchdog() { sidecall_watchdog_close(watchdog_); }

 private:
  sidecall_watchdog *watchdog_ = nullptr;
};

} /* namespace cpp */
} /* namespace sidecall */
#endif
