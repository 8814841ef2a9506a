// Calls over the channel from the server's side: layouts, strings, wake-ups, deadlines and several
// slots.
#include <catch2/catch_test_macros.hpp>

#include <stdexcept>
#include <thread>

#include "raw_client.h"
#include "server_host.h"

using host::Host;
using raw::Client;

namespace shm = sidecall::shm;

namespace {

shm::ServerOptions with_threads(uint32_t threads) {
  shm::ServerOptions options;
  options.threads = threads;
  return options;
}

// Runs until the client no longer waits.
void wait_until_stopped(const shm::Request& request, shm::Response&) {
  while (request.is_wanted()) usleep(200);
  throw shm::Error(request.stop_status(), "stopped");
}

// s string[2], b bool[2]
void write_texts(Client* client, const std::vector<int64_t>& offsets, const std::string& bytes) {
  const uint64_t at = shm::table_bytes(2);
  shm::TensorEntry texts{};
  texts.dtype = host::kText;
  texts.rank = 1;
  texts.offset = at;
  texts.bytes = offsets.size() * 8 + bytes.size();
  texts.dims[0] = static_cast<int64_t>(offsets.size()) - 1;
  shm::TensorEntry flags{};
  flags.dtype = host::kBool;
  flags.rank = 1;
  flags.offset = at + 512;
  flags.bytes = offsets.size() - 1;
  flags.dims[0] = texts.dims[0];
  client->entry(0, 0) = texts;
  client->entry(0, 1) = flags;
  std::memcpy(client->request_slot() + at, offsets.data(), offsets.size() * 8);
  std::memcpy(client->request_slot() + at + offsets.size() * 8, bytes.data(), bytes.size());
  for (size_t i = 0; i < flags.bytes; ++i)
    client->request_slot()[flags.offset + i] = i == 0 ? 0 : 255;
}

}  // namespace

TEST_CASE("a request is answered, and so is another one with the same layout") {
  Host server;
  Client client(server.path);
  client.write_numbers(3, 1.0F);
  client.publish(1);
  const shm::ResponseFields first = client.await(1);
  CHECK(first.status == 0);
  CHECK(first.flags == 0);
  CHECK(first.run_ns > 0);
  CHECK(client.output().dtype == host::kFloat);
  CHECK(client.output().rank == 2);
  CHECK(client.output().dims[0] == 3);
  CHECK(client.output().bytes == 48);
  CHECK(client.value(0) == 1.0F);
  CHECK(client.value(11) == 12.0F);

  client.write_numbers(3, 50.0F);
  client.entry().dtype = 77;  // not read, because of SAME_LAYOUT
  client.publish(2, 0, shm::kSameLayout);
  const shm::ResponseFields second = client.await(2);
  CHECK(second.status == 0);
  CHECK(second.flags == shm::kResponseSameLayout);
  CHECK(client.value(11) == 61.0F);
  CHECK(client.response_head().mark.load() == 2);

  client.write_numbers(1, 5.0F);
  client.publish(3);
  CHECK(client.await(3).flags == 0);
  CHECK(client.output().dims[0] == 1);
  CHECK(server.handler.sessions == 1);
}

TEST_CASE("requests with no rows and with as many rows as fit are answered") {
  Host server;
  Client client(server.path);
  client.write_numbers(0, 0);
  client.publish(1);
  CHECK(client.await(1).status == 0);
  CHECK(client.output().bytes == 0);
  const auto most = static_cast<int64_t>((client.welcome.request_bytes - shm::table_bytes(1)) / 16);
  client.write_numbers(most, 1);
  client.publish(2);
  CHECK(client.await(2).status == 0);
  CHECK(client.value(static_cast<size_t>(most) * 4 - 1) == static_cast<float>(most * 4));
}

TEST_CASE("many calls of many clients on a few engine threads are all answered") {
  Host server(host::numbers(), host::echo, with_threads(3));
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      Client client(server.path);
      for (uint64_t k = 1; k <= 500; ++k)
        right += client.echo(k, static_cast<float>(t * 1000) + static_cast<float>(k)) ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == 4000);
  CHECK(host::eventually([&] { return server.number("connections") == 0; }));
  CHECK(server.number("calls") == 4000);
  CHECK(server.number("errors") == 0);
  CHECK(server.number("violations") == 0);
  CHECK(server.number("bytes_mapped") == 0);
}

TEST_CASE("a ring of the client wakes a sleeping server, and the server rings a sleeping client") {
  Host server;
  Client client(server.path);
  for (uint64_t k = 1; k <= 20; ++k) {
    const uint64_t slept = client.response_head().sleeping.load();
    REQUIRE(host::eventually([&] { return k < 3 || client.response_head().sleeping.load() > 0; }));
    usleep(2000);  // longer than the server polls
    // As section 5 of shm/PROTOCOL.md requires: announce, check again, wait for the socket.
    client.request_head().sleeping.store(k);
    client.write_numbers(1, static_cast<float>(k));
    client.publish(k);
    char byte = 0;
    const shm::Received ring = client.socket.receive(&byte, 1, shm::Deadline::after(10000000000));
    CHECK(ring.kind == shm::Received::kMessage);
    CHECK(byte == shm::kRing);
    CHECK(client.is_answered(k));
    CHECK(client.response_head().sleeping.load() >= slept);
  }
}

TEST_CASE("a client without atomics is rung after every response") {
  Host server;
  Client client(server.path, 1, 4096, 4096, shm::kAlwaysRing);
  for (uint64_t k = 1; k <= 300; ++k) {
    client.write_numbers(1, static_cast<float>(k));
    client.request_entry(k).fields = shm::RequestFields{};
    client.request_entry(k).sequence.store(k);
    client.socket.ring();
    char byte = 0;
    CHECK(client.socket.receive(&byte, 1, shm::Deadline::after(10000000000)).bytes == 1);
    CHECK(client.is_answered(k));
    CHECK(client.value(0) == static_cast<float>(k));
  }
}

TEST_CASE("strings are checked copies, and bools are 0 or 1") {
  Host server(host::texts(), [](const shm::Request& request, shm::Response& response) {
    const shm::InputView& text = request.input(0);
    if (text.elements != 2 || text.offsets[0] != 0 ||
        text.offsets[2] != static_cast<int64_t>(text.bytes))
      throw std::runtime_error("offsets");
    host::echo(request, response);
  });
  Client client(server.path);
  write_texts(&client, {0, 3, 8},
              "abcd\xc3\xa9"
              "fg");
  client.publish(1);
  CHECK(client.await(1).status == 0);
  const shm::TensorEntry texts = client.output(0, 0);
  CHECK(texts.bytes == 3 * 8 + 8);
  CHECK(std::memcmp(client.response_slot() + texts.offset + 24,
                    "abcd\xc3\xa9"
                    "fg",
                    8) == 0);
  CHECK(client.response_slot()[client.output(0, 1).offset + 1] == 1);

  // The same table, other contents.
  write_texts(&client, {0, 0, 8}, "hijklmno");
  client.publish(2, 0, shm::kSameLayout);
  CHECK(client.await(2).flags == shm::kResponseSameLayout);
  CHECK(std::memcmp(client.response_slot() + texts.offset + 24, "hijklmno", 8) == 0);
}

TEST_CASE("inputs are read in place only where the service says so") {
  for (const bool in_place : {false, true}) {
    shm::Service service = host::numbers();
    service.in_place = {in_place};
    std::atomic<Client*> its_client{nullptr};
    Host server(std::move(service), [&](const shm::Request& request, shm::Response& response) {
      const auto* values = static_cast<const volatile float*>(request.input(0).data);
      its_client.load()->write_numbers(1, 9.0F);  // changes the input while the handler runs
      const float seen = values[0];
      *static_cast<float*>(response.place(0, request.input(0).dims, 2)) = seen;
    });
    Client client(server.path);
    its_client = &client;
    client.write_numbers(1, 1.0F);
    client.publish(1);
    CHECK(client.await(1).status == 0);
    CHECK(client.value(0) == (in_place ? 9.0F : 1.0F));
  }
}

TEST_CASE("only a request with SAME_LAYOUT counts as the same layout, and addresses stay equal") {
  struct Seen {
    bool same;
    const void* in;
    const void* out;
  };
  std::vector<Seen> seen;
  std::atomic<int> calls{0};
  Host server(host::numbers(), [&](const shm::Request& request, shm::Response& response) {
    const shm::InputView& x = request.input(0);
    seen.push_back({request.is_same_layout(), x.data, response.place(0, x.dims, x.rank)});
    if (++calls == 2) throw std::runtime_error("the second fails");
  });
  Client client(server.path);
  client.write_numbers(2, 1);
  for (uint64_t k = 1; k <= 4; ++k) {
    client.publish(k, 0, k == 2 || k == 4 ? uint32_t{shm::kSameLayout} : 0);
    CHECK(client.await(k).status == (k == 2 ? SIDECALL_INTERNAL : 0));
  }
  REQUIRE(seen.size() == 4);
  CHECK_FALSE(seen[0].same);
  CHECK(seen[1].same);
  CHECK_FALSE(seen[2].same);  // the same table, but it was read again
  CHECK(seen[3].same);
  for (const Seen& one : seen) CHECK((one.in == seen[0].in && one.out == seen[0].out));
}

TEST_CASE("a deadline ends a call before the model starts and while it runs") {
  std::atomic<bool> waits{true};
  Host server(host::numbers(), [&](const shm::Request& request, shm::Response& response) {
    if (waits) return wait_until_stopped(request, response);
    host::echo(request, response);
  });
  Client client(server.path);
  client.write_numbers(1, 1);
  client.publish(1, 0, 0, 1);  // one nanosecond
  CHECK(client.await(1).status == SIDECALL_TIMEOUT);
  CHECK(server.handler.sessions == 0);

  client.publish(2, 0, 0, 20000000);
  CHECK(client.await(2).status == SIDECALL_TIMEOUT);
  waits = false;
  CHECK(client.echo(3, 1.0F));

  waits = true;
  client.publish(4, 0, 0, UINT64_MAX);  // beyond the range of the clock
  client.request_head().mark.store(4);
  CHECK(client.await(4).status == SIDECALL_CANCELLED);
}

TEST_CASE("a request without a timeout has that of the server, which clients learn") {
  shm::ServerOptions options;
  options.timeout_ns = 20000000;
  Host server(host::numbers(), wait_until_stopped, options);
  Client client(server.path);
  CHECK(client.welcome.timeout_ns == 20000000);
  client.write_numbers(1, 1);
  client.publish(1);
  CHECK(client.await(1).status == SIDECALL_TIMEOUT);
}

TEST_CASE("a run that exceeds its limit is marked, and is answered unless the process is killed") {
  shm::ServerOptions options;
  options.max_run_ns = 20000000;
  std::atomic<bool> ends{false};
  Host server(
      host::numbers(),
      [&](const shm::Request& request, shm::Response& response) {
        while (!ends) usleep(100);
        host::echo(request, response);
      },
      options);
  Client client(server.path);
  client.write_numbers(1, 1);
  client.publish(1);
  REQUIRE(host::eventually([&] { return client.response_head().overran.load() == 1; }));
  ends = true;
  CHECK(client.await(1).status == SIDECALL_OK);
  client.write_numbers(2, 1);
  client.publish(2);
  CHECK(client.await(2).status == SIDECALL_OK);
  CHECK(client.value(0) == 1);
  CHECK(client.value(7) == 8);
}

TEST_CASE("a server is not ready while requests wait and all its threads are busy for long") {
  shm::ServerOptions options;
  options.unready_after_ns = 50000000;
  std::atomic<bool> ends{false};
  Host server(
      host::numbers(),
      [&](const shm::Request& request, shm::Response& response) {
        while (!ends) usleep(100);
        host::echo(request, response);
      },
      options);
  const auto is_ready = [&] {
    return server.server.status().find("\"ready\":true") != std::string::npos;
  };
  Client one(server.path), other(server.path);
  one.write_numbers(1, 1);
  one.publish(1);
  usleep(150000);
  CHECK(is_ready());  // nothing waits
  other.write_numbers(1, 1);
  other.publish(1);
  CHECK(host::eventually([&] { return !is_ready(); }));
  ends = true;
  CHECK(other.await(1).status == SIDECALL_OK);
  CHECK(host::eventually(is_ready));
}

TEST_CASE("a deadline or a cancel interrupts a handler that only reacts to interrupt()") {
  for (const bool cancels : {false, true}) {
    std::atomic<int>* interrupts = nullptr;
    std::atomic<bool> runs{false};
    Host server(host::numbers(), [&](const shm::Request& request, shm::Response&) {
      runs = true;
      while (*interrupts == 0) usleep(100);
      throw shm::Error(request.stop_status(), "stopped");
    });
    interrupts = &server.handler.interrupts;
    usleep(150000);  // until the control thread sleeps indefinitely
    Client client(server.path);
    client.write_numbers(1, 1);
    client.publish(1, 0, 0, cancels ? 0 : 10000000);
    if (cancels) {
      REQUIRE(host::eventually([&] { return runs.load(); }));
      client.request_head().mark.store(1);
    }
    CHECK(client.await(1).status == (cancels ? SIDECALL_CANCELLED : SIDECALL_TIMEOUT));
  }
}

TEST_CASE("a handler that missed an interrupt is interrupted again") {
  std::atomic<int>* interrupts = nullptr;
  std::atomic<bool> waits{true};
  Host server(host::numbers(), [&](const shm::Request& request, shm::Response& response) {
    if (!waits) return host::echo(request, response);
    CHECK(host::eventually([&] { return *interrupts >= 3; }));
    throw shm::Error(request.stop_status(), "stopped");
  });
  interrupts = &server.handler.interrupts;
  Client client(server.path);
  client.write_numbers(1, 1);
  client.publish(1, 0, 0, 10000000);
  CHECK(client.await(1).status == SIDECALL_TIMEOUT);
  waits = false;
  CHECK(client.echo(2, 1.0F));
  CHECK(server.handler.interrupts >= 3);
}

TEST_CASE("a client that disconnects before its handler starts does not keep the handler running") {
  std::atomic<bool> opens{false}, stopped{false};
  Host server(host::numbers(), [&](const shm::Request& request, shm::Response&) {
    stopped = host::eventually([&] { return request.stop_status() != 0; });
    CHECK(request.stop_status() == SIDECALL_PEER_DIED);
    throw shm::Error(request.stop_status(), "stopped");
  });
  server.handler.while_opening = [&] {
    opens = true;
    usleep(100000);  // in the meantime the server notices that the client is gone
  };
  {
    Client client(server.path);
    client.write_numbers(1, 1);
    client.publish(1);
    REQUIRE(host::eventually([&] { return opens.load(); }));
  }
  CHECK(host::eventually([&] { return server.number("connections") == 0; }));
  CHECK(stopped);
}

TEST_CASE("requests in several slots are served in the order of their sequence numbers") {
  std::vector<float> order;
  Host server(host::numbers(), [&](const shm::Request& request, shm::Response& response) {
    order.push_back(*static_cast<const float*>(request.input(0).data));
    host::echo(request, response);
  });
  Client client(server.path, 4);
  uint64_t k = 0;
  for (int round = 0; round < 5; ++round) {
    for (uint32_t i = 0; i < 4; ++i) client.write_numbers(1, static_cast<float>(k + i), 3 - i);
    for (uint32_t i = 0; i < 4; ++i) client.request_entry(k + i + 1).fields = {3 - i, 0, 0, 0, {}};
    for (uint32_t i = 0; i < 4; ++i) client.publish_sequence(k + i + 1, k + i + 1);
    for (uint32_t i = 0; i < 4; ++i) {
      CHECK(client.await(k + i + 1).status == 0);
      CHECK(client.value(0, 3 - i) == static_cast<float>(k + i));
    }
    k += 4;
  }
  REQUIRE(order.size() == 20);
  for (size_t i = 0; i < order.size(); ++i) CHECK(order[i] == static_cast<float>(i));
  CHECK(server.handler.sessions == 4);
}
