// Clients that violate the protocol: the server closes only their connection, while another client
// is served.
#include <catch2/catch_test_macros.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <thread>

#include "raw_client.h"
#include "server_host.h"

using host::Host;
using raw::Client;

namespace shm = sidecall::shm;

namespace {

size_t count_descriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

// Sends a message with descriptors through sendmsg, as any program can.
void send_with_descriptors(int socket, const void* data, size_t bytes,
                           const std::vector<int>& fds) {
  iovec part{const_cast<void*>(data), bytes};
  std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
  std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  CHECK(sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes));
}

struct Lie {
  const char* what;
  std::function<void(Client*)> tell;
};

shm::RequestFields fields(uint32_t slot, uint32_t flags) {
  shm::RequestFields result{};
  result.slot = slot;
  result.flags = flags;
  return result;
}

// Each violation is tried by a client of two slots that has had one valid answer.
const std::vector<Lie>& ring_lies() {
  static const std::vector<Lie> lies = {
      {"a slot out of range", [](Client* c) { c->publish(2, fields(2, 0)); }},
      {"a slot far out of range", [](Client* c) { c->publish(2, fields(UINT32_MAX, 0)); }},
      {"an unknown flag", [](Client* c) { c->publish(2, fields(0, 2)); }},
      {"a byte that must be zero",
       [](Client* c) {
         shm::RequestFields f = fields(0, 0);
         f.zero[35] = 1;
         c->publish(2, f);
       }},
      {"a sequence too high", [](Client* c) { c->publish_sequence(2, 3); }},
      {"a sequence far behind the expected one",
       [](Client* c) { c->publish_sequence(2, UINT64_MAX); }},
      {"a sequence that goes back to zero",
       [](Client* c) {
         c->publish(2);
         c->await(2);
         c->publish_sequence(3, 0);
       }},
      {"SAME_LAYOUT after a request that never ran",
       [](Client* c) {
         c->request_head().mark.store(2);
         c->publish(2);
         CHECK(c->await(2).status == SIDECALL_CANCELLED);
         c->publish(3, fields(0, shm::kSameLayout));
       }},
      {"SAME_LAYOUT in a fresh slot",
       [](Client* c) { c->publish(2, fields(1, shm::kSameLayout)); }},
      {"one slot twice in flight",
       [](Client* c) {
         c->request_entry(2).fields = fields(1, 0);
         c->request_entry(3).fields = fields(1, 0);
         c->write_numbers(1, 1, 1);
         c->request_entry(3).sequence.store(3);
         c->publish_sequence(2, 2);
       }},
  };
  return lies;
}

// Each lie changes one entry of a table that is otherwise valid.
struct TableLie {
  const char* what;
  std::function<void(shm::TensorEntry*)> tell;
};

const std::vector<TableLie>& table_lies() {
  static const std::vector<TableLie> lies = {
      {"another type", [](auto* e) { e->dtype = 11; }},
      {"no type", [](auto* e) { e->dtype = -1; }},
      {"another rank", [](auto* e) { e->rank = 1; }},
      {"a rank far above the maximum", [](auto* e) { e->rank = UINT32_MAX; }},
      {"an offset inside the table", [](auto* e) { e->offset = 0; }},
      {"an offset that is not a multiple of 64", [](auto* e) { e->offset += 8; }},
      {"an offset beyond the slot", [](auto* e) { e->offset = 1 << 20; }},
      {"an offset that wraps", [](auto* e) { e->offset = UINT64_MAX - 63; }},
      {"an end beyond the slot",
       [](auto* e) { e->offset = 4096 - 64, e->dims[0] = 5, e->bytes = 80; }},
      {"too few bytes", [](auto* e) { e->bytes -= 4; }},
      {"too many bytes", [](auto* e) { e->bytes += 4; }},
      {"no bytes", [](auto* e) { e->bytes = 0; }},
      {"rows below zero", [](auto* e) { e->dims[0] = -1; }},
      {"the largest possible number of rows", [](auto* e) { e->dims[0] = INT64_MAX; }},
      {"rows whose bytes wrap", [](auto* e) { e->dims[0] = INT64_C(1) << 60, e->bytes = 0; }},
      {"another fixed dimension", [](auto* e) { e->dims[1] = 5, e->bytes = 40; }},
      {"a dimension beyond the rank", [](auto* e) { e->dims[2] = 1; }},
      {"the last dimension", [](auto* e) { e->dims[15] = 1; }},
      {"a byte that must be zero", [](auto* e) { e->zero[7] = 1; }},
  };
  return lies;
}

}  // namespace

TEST_CASE("an invalid ring entry closes only the connection of its client") {
  Host server;
  Client honest(server.path);
  uint64_t k = 0;
  int64_t violations = 0;
  for (const Lie& lie : ring_lies()) {
    INFO(lie.what);
    Client liar(server.path, 2);
    REQUIRE(liar.echo(1, 1.0F));
    lie.tell(&liar);
    CHECK(raw::is_closed(&liar.socket));
    CHECK(host::eventually([&] { return server.number("violations") == violations + 1; }));
    ++violations;
    ++k;
    CHECK(honest.echo(k, static_cast<float>(k)));
  }
  CHECK(server.has_logged("connection.violation"));
  CHECK(host::eventually([&] { return server.number("connections") == 1; }));
}

TEST_CASE(
    "an invalid table closes only the connection of its client and never reaches the handler") {
  std::atomic<int> calls{0};
  Host server(host::numbers(), [&](const shm::Request& request, shm::Response& response) {
    ++calls;
    host::echo(request, response);
  });
  for (const TableLie& lie : table_lies()) {
    INFO(lie.what);
    Client liar(server.path);
    liar.write_numbers(2, 1.0F);
    lie.tell(&liar.entry());
    liar.publish(1);
    CHECK(raw::is_closed(&liar.socket));
  }
  CHECK(calls == 0);
  CHECK(Client(server.path).echo(1, 1.0F));
}

TEST_CASE("inputs with different numbers of rows reach the handler, which refuses them") {
  shm::Service service = host::numbers();
  service.inputs.push_back({"z", host::kFloat, {-1}});
  Host server(std::move(service), [](const shm::Request& request, shm::Response& response) {
    if (request.input(0).dims[0] != request.input(1).dims[0])
      throw shm::Error(SIDECALL_SHAPE_MISMATCH, "rows");
    response.place(0, request.input(0).dims, 2);
  });
  Client client(server.path);
  shm::TensorEntry x{}, z{};
  x.dtype = z.dtype = host::kFloat;
  x.rank = 2;
  x.dims[0] = 1, x.dims[1] = 4, x.bytes = 16, x.offset = shm::table_bytes(2);
  z.rank = 1;
  z.dims[0] = 2, z.bytes = 8, z.offset = x.offset + 64;
  client.entry(0, 0) = x;
  client.entry(0, 1) = z;
  client.publish(1);
  CHECK(client.await(1).status == SIDECALL_SHAPE_MISMATCH);
}

TEST_CASE("strings with invalid offsets or bytes close the connection") {
  const struct {
    const char* what;
    std::vector<int64_t> offsets;
    std::string bytes;
  } cases[] = {
      {"a first offset that is not zero", {1, 2, 4}, "abcd"},
      {"offsets that fall", {0, 3, 2}, "ab"},
      {"offsets below zero", {0, -1, 4}, "abcd"},
      {"offsets far below zero", {0, INT64_MIN, 4}, "abcd"},
      {"an end beyond the bytes", {0, 2, 5}, "abcd"},
      {"an end before the bytes", {0, 2, 3}, "abcd"},
      {"an end that wraps", {0, 2, INT64_MAX}, "abcd"},
      {"bytes that are no UTF-8",
       {0, 2, 4},
       "ab\xff"
       "d"},
      {"a character cut in two", {0, 3, 4}, "ab\xc3\xa9"},
      {"a NUL", {0, 2, 4}, std::string("ab\0d", 4)},
  };
  Host server(host::texts());
  for (const auto& one : cases) {
    INFO(one.what);
    Client liar(server.path);
    shm::TensorEntry texts{}, flags{};
    texts.dtype = host::kText;
    texts.rank = flags.rank = 1;
    texts.dims[0] = flags.dims[0] = 2;
    texts.offset = shm::table_bytes(2);
    texts.bytes = 24 + one.bytes.size();
    flags.dtype = host::kBool;
    flags.offset = texts.offset + 512;
    flags.bytes = 2;
    liar.entry(0, 0) = texts;
    liar.entry(0, 1) = flags;
    std::memcpy(liar.request_slot() + texts.offset, one.offsets.data(), 24);
    std::memcpy(liar.request_slot() + texts.offset + 24, one.bytes.data(), one.bytes.size());
    liar.publish(1);
    CHECK(raw::is_closed(&liar.socket));
  }
  CHECK(server.handler.sessions == 0);
}

TEST_CASE("a message that no client may send closes the connection and its descriptors") {
  Host server;
  Client honest(server.path);
  REQUIRE(honest.echo(1, 1.0F));
  const size_t before = count_descriptors();
  for (int which = 0; which < 5; ++which) {
    INFO("message " << which);
    Client liar(server.path);
    liar.echo(1, 1.0F);
    const char text[] = "\1\1\1\1";
    const uint8_t other = 0x03;
    const std::vector<int> one(1, STDERR_FILENO), many(200, STDERR_FILENO);
    if (which == 0) liar.socket.send(text, 2);
    if (which == 1) liar.socket.send(&other, 1);
    if (which == 2) send_with_descriptors(liar.socket.fd(), &shm::kRing, 1, one);
    if (which == 3) send_with_descriptors(liar.socket.fd(), &shm::kRing, 1, many);
    if (which == 4) liar.socket.send(std::string(4096, '\1').data(), 4096);
    CHECK(raw::is_closed(&liar.socket));
  }
  CHECK(host::eventually([&] { return count_descriptors() == before; }));
  CHECK(server.number("violations") == 5);
  CHECK(honest.echo(2, 2.0F));
}

TEST_CASE("a flood of wake-ups without a request is a violation and does not block other clients") {
  Host server;
  Client honest(server.path);
  Client flood(server.path);
  std::thread ringing([&] {
    for (int i = 0; i < 2000000 && flood.socket.ring(); ++i) {
    }
  });
  uint64_t k = 0;
  while (server.number("violations") == 0) REQUIRE(honest.echo(++k, 1.0F));
  ringing.join();
  CHECK(raw::is_closed(&flood.socket));
  CHECK(honest.echo(++k, 1.0F));
}
