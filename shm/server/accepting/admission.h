// Decides which users may connect, and what the sender of a HELLO is granted. Used by the server's
// control thread and by the supervisor of several workers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "shm/common/error.h"
#include "shm/common/layout.h"
#include "shm/common/socket.h"

namespace sidecall::shm {

// Decides by the credentials that the kernel reports. Admits this user, root, `allowed_uids`, and
// users whose primary group is `group` (-1 for none). Never admits the overflow uid, which stands
// for any user that has no uid in this namespace.
class Admission {
 public:
  Admission(std::vector<uint32_t> allowed_uids, int64_t group);
  bool admits(const PeerCredentials& peer) const noexcept;

 private:
  std::vector<uint32_t> allowed_uids_;
  int64_t group_;
  uint32_t own_uid_;
  uint32_t overflow_uid_;
};

// What a connection may request. A granted slot has at least least_* bytes: enough for the tables
// of the signature, and in a response slot for the error record.
struct Limits {
  uint32_t max_slots = kMaxSlots;
  uint64_t max_request_bytes = 0, max_response_bytes = 0;
  uint64_t least_request_bytes = 0, least_response_bytes = 0;
};

struct Grant {
  HelloKind kind = kOpen;
  bool always_ring = false;
  uint32_t slots = 0;
  uint64_t request_bytes = 0, response_bytes = 0;
  uint64_t memory() const noexcept {
    return kind == kConnect
               ? segment_bytes(slots, request_bytes) + segment_bytes(slots, response_bytes)
               : 0;
  }
};

// What a connection takes besides the memory that is granted to it and the state of its slots: its
// own state here, and its socket in the kernel.
constexpr uint64_t kConnectionBytes = 8192;

// Whether a first message is a HELLO of any protocol version, so that REFUSED is a valid answer.
// After any other message the connection is closed without an answer.
bool is_hello(const void* data, size_t bytes) noexcept;

// Whether a first message asks for the status.
bool asks_for_status(const std::string& hello) noexcept;

// Checks a HELLO and returns what the client is granted. Throws PROTOCOL (no common version, or a
// HELLO that PROTOCOL.md forbids), OUT_OF_RANGE.
Grant parse_hello(const void* data, size_t bytes, const Limits& limits);

// Builds the message REFUSED, ready to send.
std::string refusal(int32_t status, const std::string& text);

// Sends REFUSED. Reads the client's message first: when a socket is closed with unread data, the
// peer loses data that was sent to it.
void refuse(Socket* socket, int32_t status, const std::string& text);

}  // namespace sidecall::shm
