// A client of the channel that does exactly what a test says, protocol violations included. Used by
// the tests of the server.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "server_host.h"
#include "shm/common/layout.h"
#include "shm/common/segment.h"
#include "shm/common/socket.h"

namespace raw {

namespace shm = sidecall::shm;

inline shm::Socket connect(const std::string& path) {
  int error = 0;
  shm::Socket socket(shm::connect_to(path, &error));
  if (!socket) throw std::runtime_error("connect: " + std::string(std::strerror(error)));
  return socket;
}

inline shm::Hello hello(uint32_t kind, uint32_t slots = 0, uint64_t request_bytes = 0,
                        uint64_t response_bytes = 0) {
  shm::Hello message{};
  std::memcpy(message.magic, shm::kMagic, sizeof(shm::kMagic));
  message.version_min = message.version_max = shm::kVersion;
  message.kind = kind;
  message.slots = slots;
  message.request_bytes = request_bytes;
  message.response_bytes = response_bytes;
  return message;
}

// The server's answer: a message, or only the end of the connection.
struct Answer {
  bool is_end = false;
  std::string bytes;
  std::vector<shm::Fd> fds;

  uint32_t kind() const {
    uint32_t value = 0;
    if (bytes.size() >= 16) std::memcpy(&value, bytes.data() + 12, sizeof(value));
    return value;
  }
  template <typename Message>
  Message as() const {
    Message message{};
    if (bytes.size() < sizeof(message)) throw std::runtime_error("a message that is too short");
    std::memcpy(&message, bytes.data(), sizeof(message));
    return message;
  }
  int32_t refusal() const { return kind() == shm::kRefused ? as<shm::Refused>().status : 0; }
  std::string text() const { return bytes.substr(sizeof(shm::Refused)); }
};

inline Answer receive(shm::Socket* socket) {
  char buffer[4096];
  shm::Received received =
      socket->receive(buffer, sizeof(buffer), shm::Deadline::after(10000000000));
  if (received.kind == shm::Received::kNothing) throw std::runtime_error("no answer");
  Answer answer;
  answer.is_end = received.kind == shm::Received::kEnd;
  answer.bytes.assign(buffer, received.bytes);
  for (size_t i = 0; i < received.num_fds; ++i) answer.fds.push_back(std::move(received.fds[i]));
  return answer;
}

inline Answer ask(shm::Socket* socket, const void* message, size_t bytes) {
  socket->send(message, bytes);
  return receive(socket);
}
inline Answer ask(const std::string& path, const shm::Hello& message) {
  shm::Socket socket = connect(path);
  return ask(&socket, &message, sizeof(message));
}

// Whether the server has hung up or does so soon. Wake-up messages are read and dropped.
inline bool is_closed(shm::Socket* socket) {
  for (int i = 0; i < 100000; ++i) {
    if (receive(socket).is_end) return true;
  }
  return false;
}

class Client {
 public:
  explicit Client(const std::string& path, uint32_t slots = 1, uint64_t request_bytes = 4096,
                  uint64_t response_bytes = 4096, uint32_t flags = 0)
      : Client(connect(path), slots, request_bytes, response_bytes, flags) {}

  Client(shm::Socket connected, uint32_t slots, uint64_t request_bytes, uint64_t response_bytes,
         uint32_t flags)
      : socket(std::move(connected)) {
    shm::Hello message = hello(shm::kConnect, slots, request_bytes, response_bytes);
    message.flags = flags;
    const Answer answer = ask(&socket, &message, sizeof(message));
    if (answer.kind() != shm::kWelcome || answer.fds.size() < 2)
      throw std::runtime_error("not welcome: " + std::to_string(answer.refusal()));
    welcome = answer.as<shm::Welcome>();
    request = shm::Mapping::of(answer.fds[0].get(),
                               shm::segment_bytes(welcome.slots, welcome.request_bytes), true);
    response = shm::Mapping::of(answer.fds[1].get(),
                                shm::segment_bytes(welcome.slots, welcome.response_bytes), false);
  }

  shm::Head& request_head() { return *reinterpret_cast<shm::Head*>(request.data()); }
  const shm::Head& response_head() const {
    return *reinterpret_cast<const shm::Head*>(response.data());
  }
  shm::RequestEntry& request_entry(uint64_t k) {
    return reinterpret_cast<shm::RequestEntry*>(request.data() +
                                                sizeof(shm::Head))[(k - 1) % welcome.slots];
  }
  const shm::ResponseEntry& response_entry(uint64_t k) const {
    return reinterpret_cast<const shm::ResponseEntry*>(response.data() +
                                                       sizeof(shm::Head))[(k - 1) % welcome.slots];
  }
  unsigned char* request_slot(uint32_t slot = 0) {
    return request.data() + shm::head_bytes(welcome.slots) + slot * welcome.request_bytes;
  }
  const unsigned char* response_slot(uint32_t slot = 0) const {
    return response.data() + shm::head_bytes(welcome.slots) + slot * welcome.response_bytes;
  }
  shm::TensorEntry& entry(uint32_t slot = 0, size_t index = 0) {
    return reinterpret_cast<shm::TensorEntry*>(request_slot(slot))[index];
  }

  // Writes the table and the elements of x float32[rows,4]: first, first + 1, ...
  void write_numbers(int64_t rows, float first, uint32_t slot = 0) {
    shm::TensorEntry table{};
    table.dtype = host::kFloat;
    table.rank = 2;
    table.offset = shm::table_bytes(1);
    table.bytes = static_cast<uint64_t>(rows) * 16;
    table.dims[0] = rows;
    table.dims[1] = 4;
    entry(slot) = table;
    auto* values = reinterpret_cast<float*>(request_slot(slot) + table.offset);
    for (int64_t i = 0; i < rows * 4; ++i) values[i] = first + static_cast<float>(i);
  }

  // Publishes as a client must: the sequence last, then a wake-up for a server that sleeps.
  void publish(uint64_t k, const shm::RequestFields& fields) {
    request_entry(k).fields = fields;
    publish_sequence(k, k);
  }
  void publish(uint64_t k, uint32_t slot = 0, uint32_t flags = 0, uint64_t timeout_ns = 0) {
    shm::RequestFields fields{};
    fields.slot = slot;
    fields.flags = flags;
    fields.timeout_ns = timeout_ns;
    publish(k, fields);
  }
  void publish_sequence(uint64_t at, uint64_t value) {
    shm::store_before_looking(&request_entry(at).sequence, value);
    const uint64_t sleeping = response_head().sleeping.load(std::memory_order_seq_cst);
    if (sleeping == rung_) return;
    rung_ = sleeping;
    socket.ring();
  }

  // Polls for the response. Throws if it does not arrive.
  shm::ResponseFields await(uint64_t k) {
    const shm::Deadline deadline = shm::Deadline::after(10000000000);
    while (response_entry(k).sequence.load(std::memory_order_acquire) != k) {
      if (deadline.passed() || socket.is_hung_up()) {
        if (response_entry(k).sequence.load(std::memory_order_acquire) == k) break;
        throw std::runtime_error(deadline.passed() ? "no response" : "hung up");
      }
      sched_yield();
    }
    return response_entry(k).fields;
  }
  bool is_answered(uint64_t k) const {
    return response_entry(k).sequence.load(std::memory_order_acquire) == k;
  }

  shm::TensorEntry output(uint32_t slot = 0, size_t index = 0) const {
    return reinterpret_cast<const shm::TensorEntry*>(response_slot(slot))[index];
  }
  float value(size_t index, uint32_t slot = 0) const {
    return reinterpret_cast<const float*>(response_slot(slot) + output(slot).offset)[index];
  }
  shm::ErrorRecord failure(uint32_t slot = 0) const {
    return *reinterpret_cast<const shm::ErrorRecord*>(response_slot(slot));
  }

  // Makes one valid call. Returns whether the answer is right.
  bool echo(uint64_t k, float first) {
    write_numbers(2, first);
    publish(k);
    return await(k).status == 0 && value(0) == first && value(7) == first + 7;
  }

  shm::Socket socket;
  shm::Welcome welcome{};
  shm::Mapping request, response;

 private:
  uint64_t rung_ = 0;
};

}  // namespace raw
