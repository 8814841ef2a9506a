// bench-shm-iceoryx-server spin|sleep SERVICE: the echo of server.c over iceoryx's
// request-response. It polls or waits on a WaitSet, until it is killed.
#include <cstring>
#include <iceoryx_posh/popo/server.hpp>
#include <iceoryx_posh/popo/wait_set.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>

#include "iceoryx.hpp"
#include "peer.h"

namespace {

using Server = iox::popo::Server<Row, Answer>;

bool answer_one(Server* server) {
  bool answered = false;
  server->take().and_then([&](const auto& request) {
    server->loan(request)
        .and_then([&](auto& response) {
          response->values[0] = request->values[0];
          response->values[1] = request->values[PEER_ROW - 2];
          response->values[2] = request->values[PEER_ROW - 1];
          response.send().or_else([](auto&) { peer_fail("iceoryx: cannot send a response"); });
          answered = true;
        })
        .or_else([](auto&) { peer_fail("iceoryx: cannot loan a response"); });
  });
  return answered;
}

}  // namespace

int main(int argc, char** argv) {
  const bool sleeps = argc == 3 && std::strcmp(argv[1], "sleep") == 0;
  if (argc != 3) peer_fail("expected bench-shm-iceoryx-server spin|sleep SERVICE");
  const auto name =
      iox::RuntimeName_t(iox::cxx::TruncateToCapacity, std::string("bench-server-") + argv[2]);
  keep_quiet();
  iox::runtime::PoshRuntime::initRuntime(name);
  Server server(service_of(argv[2]));
  iox::popo::WaitSet<> waits;
  if (sleeps)
    waits.attachState(server, iox::popo::ServerState::HAS_REQUEST).or_else([](auto) {
      peer_fail("iceoryx: cannot attach");
    });
  puts("ready");
  fflush(stdout);
  for (;;) {
    if (sleeps) waits.wait();
    while (answer_one(&server)) continue;
  }
}
