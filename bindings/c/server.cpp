// sidecall_server_*: checks pointers and forwards to serving/server.h.
#include "serving/server.h"

#include "core/abi/guard.h"
#include "core/abi/handles.h"
#include "core/abi/texts.h"
#include "engines/shm/errors.h"
#include "server_options.h"
#include "serving/options.h"
#include "shm/client/client.h"
#include "shm/client/endpoint.h"
#include "structs.h"
#include "supervisor.h"

using sidecall::Error;
using sidecall::guard;
using sidecall::require;
using sidecall::with_core_errors;

struct sidecall_server {
  std::unique_ptr<sidecall::Server> server;
};

namespace {

sidecall::Server& use(const sidecall_server* server) {
  require(server != nullptr, "server must not be NULL");
  return *server->server;
}

}  // namespace

extern "C" {

sidecall_status sidecall_server_open(const char* at, const sidecall_model* model,
                                     const sidecall_server_options* options,
                                     sidecall_server** out_server, sidecall_error* err) {
  if (out_server != nullptr) *out_server = nullptr;
  return guard(err, [&] {
    require(model != nullptr && out_server != nullptr, "model and out_server must not be NULL");
    const sidecall_server_options known = sidecall::checked_options(options);
    *out_server = new sidecall_server{
        sidecall::serve_model(at, model->model, known, sidecall::make_log(known))};
  });
}

sidecall_status sidecall_server_open_service(const char* at, const sidecall_service* service,
                                             int32_t verify, const sidecall_server_options* options,
                                             sidecall_server** out_server, sidecall_error* err) {
  if (out_server != nullptr) *out_server = nullptr;
  return guard(err, [&] {
    require(service != nullptr && out_server != nullptr, "service and out_server must not be NULL");
    const sidecall_service served = sidecall::read_struct(service, sidecall_service(), "service");
    require(served.handler != nullptr, "service.handler must not be NULL");
    if (verify < SIDECALL_VERIFY_ERROR || verify > SIDECALL_VERIFY_OFF)
      throw sidecall::Error(
          SIDECALL_INVALID_ARGUMENT,
          "verify: expected a SIDECALL_VERIFY_* value, got " + std::to_string(verify));
    const sidecall_server_options known = sidecall::checked_options(options);
    sidecall_model_options verification = sidecall::default_model_options();
    verification.verify = verify;
    *out_server = new sidecall_server{
        sidecall::serve_function(at, served, verification, known, sidecall::make_log(known))};
  });
}

sidecall_status sidecall_server_open_frontend(sidecall_server* backend, const char* at,
                                              const sidecall_server_options* options,
                                              sidecall_server** out_server, sidecall_error* err) {
  if (out_server != nullptr) *out_server = nullptr;
  return guard(err, [&] {
    require(backend != nullptr && at != nullptr && out_server != nullptr,
            "backend, at and out_server must not be NULL");
    const sidecall_server_options known = sidecall::checked_options(options);
    *out_server = new sidecall_server{sidecall::serve_frontend(at, &use(backend).backend(),
                                                               sidecall::default_model_options(),
                                                               known, sidecall::make_log(known))};
  });
}

sidecall_status sidecall_supervisor_open_frontend(sidecall_supervisor* supervisor, const char* at,
                                                  const sidecall_server_options* options,
                                                  sidecall_server** out_server,
                                                  sidecall_error* err) {
  if (out_server != nullptr) *out_server = nullptr;
  return guard(err, [&] {
    require(supervisor != nullptr && at != nullptr && out_server != nullptr,
            "supervisor, at and out_server must not be NULL");
    const sidecall_server_options known = sidecall::checked_options(options);
    *out_server = new sidecall_server{sidecall::serve_frontend(
        at, &sidecall::backend_of(*supervisor), sidecall::default_model_options(), known,
        sidecall::make_log(known))};
  });
}

sidecall_status sidecall_server_start(sidecall_server* server, sidecall_error* err) {
  return guard(err, [&] { use(server).start(); });
}

sidecall_status sidecall_server_status(const sidecall_server* server, sidecall_text** out,
                                       sidecall_error* err) {
  if (out != nullptr) *out = nullptr;
  return guard(err, [&] {
    require(out != nullptr, "out must not be NULL");
    *out = sidecall::make_text(use(server).status());
  });
}

sidecall_status sidecall_server_query(const char* at, int64_t wait_ns, sidecall_text** out,
                                      sidecall_error* err) {
  if (out != nullptr) *out = nullptr;
  return guard(err, [&] {
    require(at != nullptr && out != nullptr, "at and out must not be NULL");
    require(wait_ns >= -1, "wait_ns: expected 0 or more, or -1, got less");
    constexpr int64_t kAnswerNs = INT64_C(2) * 1000 * 1000 * 1000;
    *out = with_core_errors([&] {
      using sidecall::shm::Deadline;
      const auto endpoint = sidecall::shm::make_socket_endpoint(sidecall::address_of(at));
      const Deadline patience = Deadline::after(wait_ns);
      const Deadline deadline =
          wait_ns < 0 ? Deadline::never() : Deadline::after(wait_ns + kAnswerNs);
      return sidecall::make_text(sidecall::shm::fetch_status(*endpoint, patience, deadline));
    });
  });
}

int32_t sidecall_server_fd(const sidecall_server* server) {
  return server == nullptr ? -1 : server->server->ended_fd();
}

sidecall_status sidecall_server_drain(sidecall_server* server, int64_t timeout_ns,
                                      sidecall_error* err) {
  return guard(err, [&] {
    require(timeout_ns >= -1, "timeout_ns: expected 0 or more, or -1, got less");
    if (!use(server).drain(timeout_ns))
      throw Error(SIDECALL_TIMEOUT, "drain: calls were still running when timeout_ns passed");
  });
}

void sidecall_server_close(sidecall_server* server) { delete server; }

}  // extern "C"
