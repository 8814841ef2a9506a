// The exported interface of the server; see net/api/serving.h.
#include "net/api/serving.h"

#include <sidecall/sidecall.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>

#include "net/common/api_guard.h"
#include "server.h"

using sidecall::net::api_guard;
using sidecall::net::Clock;
using sidecall::net::Server;

struct sidecall_net_server {
  std::unique_ptr<Server> server;
};

namespace {

int32_t open_server(const char* at, const sidecall_net_service* service,
                    const sidecall_net_server_options* options, sidecall_net_server** out,
                    sidecall_net_error* err) {
  return api_guard(err, [&] {
    auto server = std::make_unique<sidecall_net_server>();
    server->server =
        std::make_unique<Server>(sidecall::net::read_server_address(at), *service, *options);
    *out = server.release();
  });
}

int32_t start(sidecall_net_server* server, sidecall_net_error* err) {
  return api_guard(err, [&] { server->server->start(); });
}

int32_t drain(sidecall_net_server* server, int64_t deadline) {
  return server->server->drain(Clock::time_point(std::chrono::nanoseconds(deadline))) ? 1 : 0;
}

int32_t ended_fd(const sidecall_net_server* server) { return server->server->ended_fd(); }

char* status(const sidecall_net_server* server) {
  try {
    return ::strdup(server->server->status().c_str());
  } catch (const std::exception&) {
    return nullptr;
  }
}

void close_server(sidecall_net_server* server) { delete server; }

}  // namespace

const sidecall_net_server_api* sidecall_net_serving(void) {
  static const sidecall_net_server_api api = {
      SIDECALL_NET_VERSION, open_server, start, drain, ended_fd, status, close_server};
  return &api;
}
