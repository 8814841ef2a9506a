// What replaces engines/oip/ and serving/network.cpp in the libsidecall that file_only.py
// compares with: there is no network route.
#include "core/error.h"
#include "engines/oip/describe.h"
#include "engines/oip/engine.h"
#include "serving/network.h"

namespace sidecall {

bool is_network(const std::string&) noexcept { return false; }

std::shared_ptr<const Model> open_network(const std::string&, const sidecall_model_options&) {
  throw Error(SIDECALL_UNSUPPORTED, "this library has no network route");
}

std::string describe_network(const std::string&, int64_t) {
  throw Error(SIDECALL_UNSUPPORTED, "this library has no network route");
}

const sidecall_net_server_api& net_serving_library() {
  throw Error(SIDECALL_UNSUPPORTED, "this library has no network route");
}

NetworkServer::NetworkServer(const char*, std::shared_ptr<const Model> model, Execution execution,
                             const sidecall_server_options&, std::shared_ptr<ServerLog> log)
    : api_(net_serving_library()),
      model_(std::move(model)),
      log_(std::move(log)),
      execution_(std::move(execution)),
      generation_(0) {}
NetworkServer::~NetworkServer() = default;
std::string NetworkServer::status() const { return ""; }
std::string network_status() { return ""; }
void NetworkServer::start() {}
bool NetworkServer::drain(int64_t) { return true; }
int NetworkServer::ended_fd() const noexcept { return -1; }

}  // namespace sidecall
