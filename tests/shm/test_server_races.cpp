// Clients that write while the server reads: values that change between check and use, or random
// bytes over a whole segment. Not built for ThreadSanitizer, which rightly reports a race.
#include <catch2/catch_test_macros.hpp>

#include <random>
#include <thread>

#include "raw_client.h"
#include "server_host.h"

using host::Host;
using raw::Client;

namespace shm = sidecall::shm;

TEST_CASE("fields that change between check and use are used as they were checked") {
  Host server(host::numbers(), [](const shm::Request& request, shm::Response& response) {
    const shm::InputView& x = request.input(0);
    if (x.bytes != static_cast<uint64_t>(x.elements) * 4 || x.dims[0] * 4 != x.elements ||
        x.elements > 8)
      throw std::runtime_error("torn");
    host::echo(request, response);
  });
  for (int round = 0; round < 30; ++round) {
    Client liar(server.path);
    std::atomic<bool> stops{false};
    std::thread flipping([&] {
      auto* words = reinterpret_cast<volatile uint64_t*>(liar.request_slot());
      for (uint64_t i = 0; !stops; ++i) {
        words[1] = i % 2 == 0 ? 192 : UINT64_MAX - 63;
        words[2] = i % 3 == 0 ? 32 : UINT64_C(1) << 40;
        words[3] = i % 5 == 0 ? 2 : UINT64_C(1) << 60;
      }
    });
    liar.write_numbers(2, 1.0F);
    try {
      for (uint64_t k = 1; k <= 200; ++k) {
        liar.publish(k);
        const int32_t status = liar.await(k).status;
        CHECK(status == 0);
      }
    } catch (const std::runtime_error&) {  // the server closed the connection
    }
    stops = true;
    flipping.join();
  }
  CHECK(Client(server.path).echo(1, 1.0F));
  CHECK(server.number("errors") == 0);
}

TEST_CASE("random bytes in a whole segment do not affect other clients") {
  Host server(host::texts(), host::echo);
  Host other;
  std::mt19937_64 random(7);
  Client honest(other.path);
  uint64_t calls = 0;
  for (int round = 0; round < 200; ++round) {
    Client liar(round % 2 == 0 ? server.path : other.path, 4);
    auto* words = reinterpret_cast<uint64_t*>(liar.request.data());
    for (size_t i = 0; i < liar.request.bytes() / 8; ++i) words[i] = random() >> (random() % 64);
    liar.publish_sequence(1, round % 3 == 0 ? random() : 1);
    CHECK(honest.echo(++calls, 1.0F));
  }
  CHECK(host::eventually(
      [&] { return server.number("connections") == 0 && other.number("connections") == 1; }));
  CHECK(honest.echo(++calls, 1.0F));
}
