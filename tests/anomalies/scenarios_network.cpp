// The scenarios of the network route; see scenarios_network.h. The calls of libcurl, nghttp2,
// Mbed TLS and llhttp fail like those of sidecall itself, because they are in the same library.
#include "scenarios_network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <utility>

#include "servers.h"
#include "steps.h"

namespace anomalies {
namespace {

// A port of this host on which nothing listens.
std::string free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof at;
  if (fd == -1 || bind(fd, reinterpret_cast<sockaddr*>(&at), length) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&at), &length) != 0)
    std::abort();
  close(fd);
  return std::to_string(ntohs(at.sin_port));
}

// Where a server listens, and where a client finds its model.
struct Place {
  std::string server, client;
};

Place place_at(const std::string& address) { return {address + "?name=m", address + "/m"}; }

// With TLS. The certificate in this folder signs itself, so it is its own authority too.
Place secure_place_at(const std::string& address, const std::string& folder) {
  const std::string cert = folder + "/cert.pem";
  return {address + "?name=m&cert=" + cert + "&key=" + folder + "/key.pem",
          address + "/m?ca=" + cert};
}

void make_certificate(const std::string& folder) {
  if (std::ifstream(folder + "/cert.pem")) return;
  const std::string command =
      "env -u LD_PRELOAD openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
      " -days 2 -subj /CN=m -addext subjectAltName=IP:127.0.0.1 -keyout " +
      folder + "/key.pem -out " + folder + "/cert.pem 2>" + folder + "/openssl.txt";
  if (std::system(command.c_str()) != 0)
    throw std::runtime_error("openssl makes no certificate: see " + folder + "/openssl.txt");
}

// What `before` makes stays until the process of the scenario ends.
struct World {
  Model penguins{nullptr, sidecall_model_close};
  std::unique_ptr<Peer> peer;
};

void serve_model(Steps& steps, const Place& place, const sidecall_model* model) {
  const Server server = open_server(steps, place.server, model, 2);
  if (steps.ok()) {
    const Model client = open_model(steps, place.client);
    if (steps.ok()) run_record(steps, client.get());
    if (steps.ok()) run_queued(steps, client.get());
  }
  if (steps.ok()) steps(sidecall_server_drain(server.get(), kTimeout, steps.error()));
}

void serve_function(Steps& steps, const Place& place) {
  const sidecall_service service = make_service();
  sidecall_server_options options;
  sidecall_server_options_init(&options);
  options.log = log_to_nowhere();
  sidecall_server* made = nullptr;
  const sidecall_status status = sidecall_server_open_service(
      place.server.c_str(), &service, SIDECALL_VERIFY_ERROR, &options, &made, steps.error());
  const Server server = own(steps, status, made, sidecall_server_close);
  if (steps.ok()) run_doubling(steps, place.client, 3);
  if (steps.ok()) run_doubling(steps, place.client, 20000);  // more than one buffer
}

void open_and_run(Steps& steps, const std::string& uri) {
  const Model model = open_model(steps, uri);
  if (steps.ok()) run_record(steps, model.get());
}

}  // namespace

std::vector<Scenario> make_network_scenarios(const std::string& models, const std::string& folder,
                                             const std::string& program) {
  const auto world = std::make_shared<World>();
  const auto require = [](const Steps& steps) {
    if (!steps.ok()) throw std::runtime_error(steps.outcome().text);
  };
  const auto nothing = [] {};
  const auto open_penguins = [=] {
    Steps steps;
    world->penguins = open_model(steps, models + "/penguins.onnx");
    require(steps);
  };
  const auto start_peer = [=](const Place& place) {
    return [=] { world->peer = std::make_unique<Peer>(program, models, place.server); };
  };
  const auto open_remote = [=](const Place& place) {
    return [=] {
      start_peer(place)();
      Steps steps;
      world->penguins = open_model(steps, place.client);
      require(steps);
    };
  };
  std::vector<Scenario> scenarios;
  const auto add = [&](std::string name, std::function<void()> before,
                       std::function<void(Steps&)> body, bool is_slow, bool fills_cache) {
    scenarios.push_back({std::move(name), std::move(before),
                         [body = std::move(body)] {
                           Steps steps;
                           body(steps);
                           return steps.outcome();
                         },
                         is_slow, fills_cache});
  };
  for (const std::string protocol : {"http", "grpc"}) {
    const bool is_http2 = protocol == "grpc";
    const Place tcp = place_at(protocol + "://127.0.0.1:" + free_port());
    const Place named = place_at(protocol + "://localhost:" + free_port());
    const Place at_socket = place_at(protocol + "+unix:" + folder + "/" + protocol + ".sock");
    add(
        protocol + "-serve-model", open_penguins,
        [=](Steps& steps) { serve_model(steps, tcp, world->penguins.get()); }, true, true);
    add(
        protocol + "-serve-function", nothing,
        [=](Steps& steps) { serve_function(steps, at_socket); }, true, true);
    add(
        protocol + "-connect", start_peer(named),
        [=](Steps& steps) { open_and_run(steps, named.client); }, true, is_http2);
    add(
        protocol + "-records", open_remote(tcp),
        [=](Steps& steps) { run_record(steps, world->penguins.get()); }, false, is_http2);
    const Place secure = secure_place_at(protocol + "s://127.0.0.1:" + free_port(), folder);
    add(
        protocol + "s-connect",
        [=] {
          make_certificate(folder);
          start_peer(secure)();
        },
        [=](Steps& steps) {
          world->peer->reopen();  // so that each run has a handshake
          open_and_run(steps, secure.client);
        },
        true, true);
    add(
        protocol + "-asynchronous-run", open_remote(tcp),
        [=](Steps& steps) { run_queued(steps, world->penguins.get()); }, false, true);
  }
  const Place secure = secure_place_at("https://127.0.0.1:" + free_port(), folder);
  add(
      "https-serve-function", [=] { make_certificate(folder); },
      [=](Steps& steps) { serve_function(steps, secure); }, true, true);
  return scenarios;
}

}  // namespace anomalies
