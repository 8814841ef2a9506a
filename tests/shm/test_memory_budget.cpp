// The limit of the memory that clients make a server hold: how one worker counts, how several
// workers share one limit, and which memory counts.
#include <catch2/catch_test_macros.hpp>

#include <unistd.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "raw_client.h"
#include "server_host.h"
#include "shm/server/accepting/admission.h"
#include "shm/server/connections/memory_budget.h"
#include "shm/supervisor/supervisor.h"

using host::Host;
using raw::Client;

namespace shm = sidecall::shm;

namespace {

constexpr uint64_t kMiB = UINT64_C(1) << 20;

int32_t take(shm::MemoryBudget* budget, uint32_t user, uint64_t bytes) {
  try {
    budget->take(user, bytes);
    return 0;
  } catch (const shm::Error& error) {
    return error.status;
  }
}

shm::Fd copy_of(int fd) { return shm::Fd(dup(fd)); }

// Answers with as many rows of y float32[?,4] as the first element of x says.
void grow(const shm::Request& request, shm::Response& response) {
  const auto rows = static_cast<int64_t>(*static_cast<const float*>(request.input(0).data));
  const int64_t dims[] = {rows, 4};
  response.place(0, dims, 2);
}

int32_t call(Client* client, uint64_t k, float first) {
  client->write_numbers(1, first);
  client->publish(k);
  return client->await(k).status;
}

shm::ServerOptions with_memory(uint64_t bytes, uint64_t of_user = 0) {
  shm::ServerOptions options;
  options.max_memory = bytes;
  options.max_memory_per_user = of_user;
  return options;
}

}  // namespace

TEST_CASE(
    "a budget grants bytes up to its limit, and bytes that are given back can be taken again") {
  shm::MemoryBudget budget(100, 100);
  CHECK(take(&budget, 1, 60) == 0);
  CHECK(take(&budget, 2, 41) == SIDECALL_OUT_OF_MEMORY);
  CHECK(budget.held() == 60);
  CHECK(take(&budget, 2, 40) == 0);
  CHECK(take(&budget, 2, 1) == SIDECALL_OUT_OF_MEMORY);
  CHECK(take(&budget, 2, 0) == 0);
  budget.give_back(1, 60);
  CHECK(take(&budget, 2, 60) == 0);
  CHECK(budget.held() == 100);
  CHECK(take(&budget, 2, UINT64_C(1) << 46) == SIDECALL_OUT_OF_MEMORY);
}

TEST_CASE("a user who exceeds the limit for one user is refused, and other users are not") {
  shm::MemoryBudget budget(100, 50);
  CHECK(take(&budget, 1, 50) == 0);
  CHECK(take(&budget, 1, 1) == SIDECALL_OUT_OF_MEMORY);
  CHECK(take(&budget, 2, 50) == 0);
  try {
    budget.take(1, 1);
  } catch (const shm::Error& error) {
    CHECK(error.message ==
          "max_memory_per_user_bytes: expected at most 50 bytes for the clients of one user, got "
          "more");
  }
  try {
    budget.take(3, 1);
  } catch (const shm::Error& error) {
    CHECK(error.message ==
          "max_memory_bytes: expected at most 100 bytes for all clients together, got more");
  }
}

TEST_CASE("workers share one limit, and the bytes of a worker that ended are free again") {
  shm::MemoryRows rows;
  shm::MemoryBudget first(100, 60), second(100, 60);
  shm::MemoryRows::Row row = rows.assign();
  first.join(copy_of(rows.file()), std::move(row.life), row.number);
  {
    shm::MemoryBudget ended(100, 60);
    row = rows.assign();
    ended.join(copy_of(rows.file()), std::move(row.life), row.number);
    row = rows.assign();
    second.join(copy_of(rows.file()), std::move(row.life), row.number);
    CHECK(take(&ended, 1, 50) == 0);
    CHECK(take(&first, 1, 11) == SIDECALL_OUT_OF_MEMORY);  // 61 bytes of one user
    CHECK(first.is_shared());
    CHECK(take(&first, 2, 30) == 0);
    CHECK(take(&second, 3, 21) == SIDECALL_OUT_OF_MEMORY);  // 101 bytes in all
    CHECK(take(&second, 3, 20) == 0);
    CHECK(second.held() == 100);
    CHECK(second.held_here() == 20);
    rows.clear_ended();
    CHECK(second.held() == 100);  // `ended` still exists
  }
  rows.clear_ended();
  CHECK(second.held() == 50);
  CHECK(take(&second, 3, 40) == 0);
}

TEST_CASE(
    "a budget refuses to join a file that is not from a supervisor, or a row beyond its end") {
  shm::MemoryBudget budget(100, 100);
  shm::MemoryRows rows;
  const shm::Fd other = shm::make_sealed_file("other");
  CHECK_THROWS_AS(budget.join(other, shm::Fd(), 0), shm::Error);
  CHECK_THROWS_AS(budget.join(copy_of(rows.file()), shm::Fd(), shm::kMaxMemoryRows), shm::Error);
  CHECK(take(&budget, 1, 100) == 0);
}

TEST_CASE("all rows can be assigned, and one more is refused") {
  shm::MemoryRows rows;
  std::vector<shm::MemoryRows::Row> assigned;
  for (uint32_t i = 0; i < shm::kMaxMemoryRows; ++i) assigned.push_back(rows.assign());
  CHECK_THROWS_AS(rows.assign(), shm::Error);
  assigned.pop_back();
  CHECK(rows.assign().number == shm::kMaxMemoryRows - 1);
}

TEST_CASE("threads that take and give back at the same time never exceed the limit") {
  shm::MemoryBudget budget(1000, 1000);
  std::atomic<uint64_t> held{0}, most{0};
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20000; ++i) {
        const uint64_t bytes = 100 + 50 * t;
        if (take(&budget, t, bytes) != 0) continue;
        const uint64_t now = held.fetch_add(bytes) + bytes;
        uint64_t known = most.load();
        while (known < now && !most.compare_exchange_weak(known, now)) continue;
        held.fetch_sub(bytes);
        budget.give_back(t, bytes);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(most.load() <= 1000);
  CHECK(budget.held() == 0);
}

TEST_CASE("a reservation gives back what it holds when it ends, moves or shrinks") {
  shm::MemoryBudget budget(100, 100);
  {
    shm::Reservation one(&budget, 1);
    one.grow_to(40);
    one.grow_to(30);
    CHECK(budget.held() == 40);
    CHECK_THROWS_AS(one.grow_by(61), shm::Error);
    CHECK(one.bytes() == 40);
    shm::Reservation two = std::move(one);
    CHECK(one.bytes() == 0);
    shm::Reservation three(&budget, 1);
    three.grow_to(60);
    two.absorb(std::move(three));
    CHECK(two.bytes() == 100);
    two.shrink_to(10);
    CHECK(budget.held() == 10);
    two = shm::Reservation(&budget, 1);
    CHECK(budget.held() == 0);
    two.grow_to(5);
  }
  CHECK(budget.held() == 0);
}

TEST_CASE(
    "answers that a client has not received count, and only the calls of that client are refused") {
  Host server(host::numbers(), grow, with_memory(4 * kMiB));
  Client hoarder(server.path), other(server.path);
  // Each answer has one MiB and is assembled in private memory, so it needs two MiB for a moment.
  uint64_t k = 0;
  while (call(&hoarder, ++k, 65536.0F) == 0) REQUIRE(k < 10);
  CHECK(k >= 3);
  const shm::ErrorRecord failure = hoarder.failure();
  CHECK(failure.status == SIDECALL_OUT_OF_MEMORY);
  CHECK(std::string(failure.message) ==
        "max_memory_bytes: expected at most 4194304 bytes for all clients together, got more");
  CHECK(server.number("memory_bytes") <= static_cast<int64_t>(4 * kMiB));
  CHECK(call(&other, 1, 1.0F) == 0);
  CHECK(call(&hoarder, ++k, 1.0F) == 0);

  for (uint64_t i = 1; i < k - 1; ++i) CHECK(raw::receive(&hoarder.socket).fds.size() == 1);
  CHECK(host::eventually([&] { return server.number("memory_bytes") < int64_t{kMiB}; }));
  CHECK(call(&other, 2, 65536.0F) == 0);
}

TEST_CASE("private copies of inputs count for as long as the connection lives") {
  shm::ServerOptions options = with_memory(6 * kMiB);
  const auto ignore = [](const shm::Request&, shm::Response& response) {
    const int64_t dims[] = {0, 4};
    response.place(0, dims, 2);
  };
  Host server(host::numbers(), ignore, options);
  {
    Client first(server.path, 1, 2 * kMiB), second(server.path, 1, 2 * kMiB);
    CHECK(server.number("memory_bytes") > static_cast<int64_t>(4 * kMiB));
    first.write_numbers(65536, 0);  // one MiB
    first.publish(1);
    CHECK(first.await(1).status == 0);
    second.write_numbers(65536, 0);
    second.publish(1);
    CHECK(second.await(1).status == SIDECALL_OUT_OF_MEMORY);
    CHECK(call(&second, 2, 1.0F) == 0);  // the connection is still usable
  }
  CHECK(host::eventually([&] { return server.number("memory_bytes") == 0; }));
}

TEST_CASE("strings count with all their copies") {
  Host server(host::texts(), host::echo, with_memory(kMiB));
  Client client(server.path, 1, 256 * 1024);
  // 20 000 empty strings take 160 kB in the request, and 64 bytes each in the server.
  constexpr int64_t kCount = 20000;
  shm::TensorEntry text{}, flags{};
  text.dtype = host::kText;
  text.rank = flags.rank = 1;
  text.dims[0] = kCount;
  text.offset = shm::table_bytes(2);
  text.bytes = shm::string_bytes(kCount, 0);
  flags.dtype = host::kBool;
  flags.dims[0] = 0;
  flags.offset = shm::align_up(text.offset + text.bytes, shm::kLine);
  client.entry(0, 0) = text;
  client.entry(0, 1) = flags;
  client.publish(1);
  CHECK(client.await(1).status == SIDECALL_OUT_OF_MEMORY);
  CHECK(std::string(client.failure().message).find("max_memory_bytes") == 0);
}

TEST_CASE("a connection that does not fit waits for the memory of a client that has disconnected") {
  Host server(host::numbers(), host::echo, with_memory(100 * kMiB));
  const shm::Hello hello = raw::hello(shm::kConnect, 1, 60 * kMiB, 4096);
  for (int i = 0; i < 20; ++i) {
    Client(server.path, 1, 60 * kMiB);
    CHECK(host::eventually([&] { return raw::ask(server.path, hello).kind() == shm::kWelcome; }));
  }
  Client living(server.path, 1, 60 * kMiB);
  CHECK(raw::ask(server.path, hello).refusal() == SIDECALL_OUT_OF_MEMORY);
}

TEST_CASE("a server whose memory is used up still answers OPEN and STATUS") {
  Host server(host::numbers(), host::echo, with_memory(kMiB));
  std::vector<std::unique_ptr<Client>> clients;
  try {
    for (int i = 0; i < 1000; ++i) clients.push_back(std::make_unique<Client>(server.path));
  } catch (const std::runtime_error&) {
  }
  CHECK(clients.size() < 1000);
  CHECK(raw::ask(server.path, raw::hello(shm::kConnect, 1, 0, 0)).refusal() ==
        SIDECALL_OUT_OF_MEMORY);
  CHECK(raw::ask(server.path, raw::hello(shm::kOpen)).kind() == shm::kWelcome);
  CHECK(raw::ask(server.path, raw::hello(shm::kStatus)).kind() == shm::kStatusAnswer);
  CHECK(clients.front()->echo(1, 1.0F));
}

TEST_CASE("the longest string of each element counts, because the engine keeps its memory") {
  Host server(host::texts(), host::echo, with_memory(2 * kMiB));
  Client client(server.path, 1, 256 * 1024, 256 * 1024);
  constexpr int64_t kCount = 20;
  constexpr uint64_t kLong = 100000;
  // In each request another element has 100 000 characters.
  int32_t status = 0;
  uint64_t k = 0;
  while (status == 0 && k < kCount) {
    std::string text(kLong, 'x');
    std::vector<int64_t> offsets(kCount + 1, 0);
    for (size_t i = 0; i <= kCount; ++i) offsets[i] = i > k ? static_cast<int64_t>(kLong) : 0;
    shm::TensorEntry strings{}, flags{};
    strings.dtype = host::kText;
    strings.rank = flags.rank = 1;
    strings.dims[0] = kCount;
    strings.offset = shm::table_bytes(2);
    strings.bytes = shm::string_bytes(kCount, kLong);
    flags.dtype = host::kBool;
    flags.offset = shm::align_up(strings.offset + strings.bytes, shm::kLine);
    client.entry(0, 0) = strings;
    client.entry(0, 1) = flags;
    shm::write_strings(client.request_slot() + strings.offset, offsets.data(), kCount, text);
    client.publish(++k);
    status = client.await(k).status;
  }
  CHECK(status == SIDECALL_OUT_OF_MEMORY);
  CHECK(k < kCount);
  CHECK(server.number("memory_bytes") <= static_cast<int64_t>(2 * kMiB));
  client.publish(++k);  // the session was closed, so its strings are free
  CHECK(client.await(k).status == 0);
}

TEST_CASE("two workers of a supervisor keep one limit") {
  Host first(host::numbers(), host::echo, with_memory(4 * kMiB));
  auto second = std::make_unique<Host>(host::numbers(), host::echo, with_memory(4 * kMiB));
  const std::string path = first.folder / "supervisor.sock";
  shm::Supervisor supervisor(path, {});
  first.server.control(supervisor.add(1).release(), 1000000000);
  second->server.control(supervisor.add(2).release(), 1000000000);
  REQUIRE(host::eventually([&] { return supervisor.num_ready() == 2; }));
  REQUIRE(supervisor.listen(shm::Deadline::after(INT64_C(10000000000))));
  // This connection is at the first worker, and the next one goes to the second worker.
  const Client one(path, 1, 2 * kMiB);
  const shm::Hello hello = raw::hello(shm::kConnect, 1, 2 * kMiB, 0);
  CHECK(raw::ask(path, hello).refusal() == SIDECALL_OUT_OF_MEMORY);
  CHECK(Client(path, 1, kMiB).echo(1, 1.0F));
}
