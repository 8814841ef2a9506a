// Who may connect, and what a HELLO is granted. Used by the server's control thread and by the supervisor of several workers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "shm/common/error.h"
#include "shm/common/layout.h"
#include "shm/common/socket.h"

namespace sidecall::shm {

// By the kernel's word: this user, root, `allowed_uids`, and those whose primary group is `group` (-1 for none); never the overflow
// uid, which stands for any user that this namespace has no name for.
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

// What a connection may have. The least are what the tables of the signature take.
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

// Whether a first message is a HELLO of any version: what can be answered with REFUSED. Anything else is only closed.
bool is_hello(const void* data, size_t bytes) noexcept;

// Throws PROTOCOL (no common version, or not as PROTOCOL.md has it), OUT_OF_RANGE.
Grant judge_hello(const void* data, size_t bytes, const Limits& limits);

// REFUSED, ready to send.
std::string refusal(int32_t status, const std::string& text);

// Sends it. What the client has sent is taken first: a socket that is closed with something unread takes from the client what it was sent.
void refuse(Socket* socket, int32_t status, const std::string& text);

}  // namespace sidecall::shm
