// Results that do not fit into their slot, as the server sends them.
#include <catch2/catch_test_macros.hpp>

#include "raw_client.h"
#include "server_host.h"

using host::Host;
using raw::Client;

namespace shm = sidecall::shm;

TEST_CASE("a result that does not fit into its slot is sent as a file") {
  Host server(host::numbers(), [](const shm::Request& request, shm::Response& response) {
    const int64_t rows = static_cast<int64_t>(*static_cast<const float*>(request.input(0).data));
    const int64_t dims[] = {rows, 4};
    auto* values = static_cast<float*>(response.place(0, dims, 2));
    for (int64_t i = 0; i < rows * 4; ++i) values[i] = static_cast<float>(i);
  });
  Client client(server.path);
  client.write_numbers(1, 1000.0F);
  for (uint64_t k = 1; k <= 3; ++k) {
    client.publish(k);
    const shm::ResponseFields fields = client.await(k);
    CHECK(fields.status == 0);
    CHECK(fields.flags == shm::kOneShot);
    CHECK(fields.one_shot_bytes == shm::table_bytes(1) + 16000);
    const raw::Answer answer = raw::receive(&client.socket);
    REQUIRE(answer.fds.size() == 1);
    const auto message = answer.as<shm::FileMessage>();
    CHECK(message.kind == shm::kOneShotFile);
    CHECK(message.first == k);
    CHECK(message.second == fields.one_shot_bytes);
    shm::check_file(answer.fds[0].get(), shm::Kind::kSealed, message.second);
    const std::string file = shm::read_sealed_file(answer.fds[0].get(), message.second, 1 << 20);
    shm::TensorEntry table{};
    std::memcpy(&table, file.data(), sizeof(table));
    CHECK(table.dims[0] == 1000);
    float last = 0;
    std::memcpy(&last, file.data() + table.offset + 15996, 4);
    CHECK(last == 3999.0F);
  }
  client.write_numbers(1, 2.0F);
  client.publish(4);
  CHECK(client.await(4).flags == 0);  // a new table
  CHECK(client.output().dims[0] == 2);
  CHECK(server.number("one_shots") == 3);
}

TEST_CASE(
    "results beyond the limit are refused, and so are new results until the client has received "
    "the earlier ones") {
  shm::ServerOptions options;
  options.max_one_shot = 100000;
  Host server(
      host::numbers(),
      [](const shm::Request& request, shm::Response& response) {
        const int64_t dims[] = {
            static_cast<int64_t>(*static_cast<const float*>(request.input(0).data)), 4};
        response.place(0, dims, 2);
      },
      options);
  Client client(server.path);
  client.write_numbers(1, 10000.0F);  // 160 kB
  client.publish(1);
  CHECK(client.await(1).status == SIDECALL_OUT_OF_MEMORY);
  client.write_numbers(1, 4000.0F);  // 64 kB
  client.publish(2);
  CHECK(client.await(2).status == 0);
  client.publish(3);
  CHECK(client.await(3).status == SIDECALL_OUT_OF_MEMORY);  // the first file is still in the socket
  CHECK(raw::receive(&client.socket).fds.size() == 1);
  client.publish(4);
  CHECK(client.await(4).status == 0);
}
