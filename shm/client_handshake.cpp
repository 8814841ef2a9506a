// HELLO and what may answer it.
#include "client_handshake.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "error.h"
#include "fault.h"
#include "table.h"

namespace sidecall::shm {
namespace {

// A server may round up what it grants, but not choose how much of our address space and memory it takes.
bool is_fair_grant(uint64_t granted, uint64_t wanted) {
  return granted >= std::max(wanted, kPage) && granted % kPage == 0 && granted / 2 <= wanted + (UINT64_C(1) << 19);
}

template <typename Message>
Message message_as(const char* buffer) {
  Message message;
  std::memcpy(&message, buffer, sizeof message);
  return message;
}

Hello hello_for(const Wish& wish) {
  Hello hello{};
  std::memcpy(hello.magic, kMagic, sizeof kMagic);
  hello.version_min = hello.version_max = kVersion;
  hello.kind = wish.kind;
  hello.slots = wish.slots;
  hello.request_bytes = wish.request_bytes;
  hello.response_bytes = wish.response_bytes;
  return hello;
}

bool may_come_later(int32_t status) { return status == SIDECALL_BUSY || status == SIDECALL_UNREACHABLE; }

Error refusal(const std::string& label, const char* buffer, size_t bytes) {
  const auto refused = message_as<Refused>(buffer);
  const std::string text(buffer + sizeof refused, bytes - sizeof refused);
  const bool is_status = refused.status == SIDECALL_PROTOCOL || refused.status == SIDECALL_DENIED ||
                         refused.status == SIDECALL_OUT_OF_RANGE || refused.status == SIDECALL_OUT_OF_MEMORY ||
                         may_come_later(refused.status);
  if (refused.text_bytes != text.size() || text.size() > kMaxRefusal || refused.zero != 0 || !is_status || !is_utf8(text) ||
      std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }))
    violation("its refusal of the connection is malformed");
  return Error(refused.status, "'" + label + "': refused by the server: " + text);
}

bool is_model_id(const char (&id)[64]) {
  const bool is_none = std::all_of(id, id + sizeof id, [](char c) { return c == '\0'; });
  return is_none || std::all_of(id, id + sizeof id, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

void check_welcome(const Welcome& welcome, const Wish& wish) {
  if (welcome.version != kVersion || welcome.zero0 != 0 || welcome.slots != wish.slots || !is_model_id(welcome.model_id))
    violation("its welcome is malformed");
  const bool is_granted = wish.kind == kConnect
                              ? is_fair_grant(welcome.request_bytes, wish.request_bytes) &&
                                    is_fair_grant(welcome.response_bytes, wish.response_bytes) && welcome.manifest_bytes == 0
                              : welcome.request_bytes == 0 && welcome.response_bytes == 0;
  if (!is_granted) violation("it granted something else than was asked for");
}

// A descriptor that is no pidfd would be read as a death, or never. Of a process in another PID namespace the kernel says EINVAL.
void check_pidfd(int fd) {
  if (syscall(SYS_pidfd_send_signal, fd, 0, nullptr, 0) != 0 && errno != EPERM && errno != ESRCH && errno != EINVAL)
    violation("expected a pidfd, got another descriptor");
}

void take_descriptors(Received* received, const Wish& wish, Connection* connection) {
  size_t next = 0;
  const auto take = [&](Fd* into) {
    if (next >= received->num_fds) violation("descriptors are missing");
    *into = std::move(received->fds[next++]);
  };
  if (wish.kind == kStatus) {
    take(&connection->status);
  } else if (wish.kind == kOpen) {
    take(&connection->manifest);
  } else {
    take(&connection->request);
    take(&connection->response);
  }
  if (wish.kind != kStatus && (connection->welcome.flags & kHasPidfd) != 0) {
    take(&connection->pidfd);
    check_pidfd(connection->pidfd.get());
  }
  if (next != received->num_fds) violation("it sent a descriptor that nobody asked for");
}

// Throws the Error of a refusal, PROTOCOL, OUT_OF_MEMORY.
void read_answer(const std::string& label, const char* buffer, Received* received, const Wish& wish, Connection* connection) {
  if (received->lacks_descriptors) no_descriptor_left("'" + label + "': what the server sent cannot be received");
  if (received->is_cut || received->bytes < sizeof(Refused) || std::memcmp(buffer, kMagic, sizeof kMagic) != 0)
    violation("it did not answer the handshake as a sidecall server");
  const auto start = message_as<Refused>(buffer);
  if (start.kind == kRefused) {
    if (received->num_fds != 0) violation("it sent a descriptor that nobody asked for");
    throw refusal(label, buffer, received->bytes);
  }
  if (start.kind == kWelcome && received->bytes == sizeof(Welcome) && wish.kind != kStatus) {
    connection->welcome = message_as<Welcome>(buffer);
    check_welcome(connection->welcome, wish);
  } else if (start.kind == kStatusAnswer && received->bytes == sizeof(FileMessage) && wish.kind == kStatus) {
    const auto message = message_as<FileMessage>(buffer);
    if (message.version != kVersion || message.zero != 0 || message.second != 0) violation("its status is malformed");
    connection->status_bytes = message.first;
  } else {
    violation("it did not answer the handshake with what was asked for");
  }
  take_descriptors(received, wish, connection);
}

// One attempt. Throws as shake_hands; `is_hang_up` tells an UNREACHABLE by a server that was there.
Connection try_once(Endpoint& endpoint, const Wish& wish, Deadline patience, Deadline deadline, bool* is_hang_up) {
  Connection connection;
  connection.socket = endpoint.connect(patience, deadline);
  const Hello hello = hello_for(wish);
  char buffer[sizeof(Refused) + kMaxRefusal + 1];
  connection.socket.send(&hello, sizeof hello);  // may fail where the server has refused already, and closed
  fault_point("client.hello");
  Received received = connection.socket.receive(buffer, sizeof buffer, deadline);
  if (received.kind == Received::kNothing)
    throw Error(SIDECALL_TIMEOUT, "'" + endpoint.label() + "': the server did not answer the handshake in time" + endpoint.obituary());
  *is_hang_up = received.kind != Received::kMessage;
  if (*is_hang_up)
    throw Error(SIDECALL_UNREACHABLE, "'" + endpoint.label() + "': the server hung up during the handshake" + endpoint.obituary());
  read_answer(endpoint.label(), buffer, &received, wish, &connection);
  fault_point("client.welcomed");
  return connection;
}

}  // namespace

Connection shake_hands(Endpoint& endpoint, const Wish& wish, Deadline patience, Deadline deadline) {
  int64_t pause = 2 * 1000 * 1000;
  int num_hang_ups = 0;
  while (true) {
    bool is_hang_up = false;
    try {
      return try_once(endpoint, wish, patience, deadline, &is_hang_up);
    } catch (const Error& error) {
      if (is_hang_up) ++num_hang_ups;
      const bool again = error.status == SIDECALL_UNREACHABLE && endpoint.has_successor(is_hang_up ? num_hang_ups : 0);
      if (!may_come_later(error.status) || deadline.passed()) throw;
      if (again) continue;
      if (patience.passed() || !endpoint.is_worth_waiting()) throw;
    }
    sleep_until(Deadline::earlier(Deadline::after(pause), Deadline::earlier(patience, deadline)));
    pause = std::min<int64_t>(pause * 2, 50 * 1000 * 1000);
  }
}

std::string model_id_of(const Welcome& welcome) {
  return welcome.model_id[0] == '\0' ? std::string() : std::string(welcome.model_id, sizeof welcome.model_id);
}

}  // namespace sidecall::shm
