// Checks the credentials of a peer and the bytes of a HELLO; see admission.h.
#include "admission.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/text/utf8.h"

namespace sidecall::shm {

namespace {

uint32_t read_overflow_uid() noexcept {
  unsigned uid = 65534;
  if (std::FILE* file = std::fopen("/proc/sys/kernel/overflowuid", "re")) {
    if (std::fscanf(file, "%u", &uid) != 1) uid = 65534;
    std::fclose(file);
  }
  return uid;
}

[[noreturn]] void malformed(const std::string& what) {
  throw Error(SIDECALL_PROTOCOL, "HELLO: " + what);
}

uint64_t grant_bytes(const char* what, uint64_t wanted, uint64_t least, uint64_t most) {
  if (wanted > most) {
    throw Error(SIDECALL_OUT_OF_RANGE, std::string(what) + " slot: expected at most " +
                                           std::to_string(most) + " bytes, got " +
                                           std::to_string(wanted));
  }
  return align_up(std::max({wanted, least, kPage}), kPage);
}

}  // namespace

Admission::Admission(std::vector<uint32_t> allowed_uids, int64_t group)
    : allowed_uids_(std::move(allowed_uids)),
      group_(group),
      own_uid_(geteuid()),
      overflow_uid_(read_overflow_uid()) {}

bool Admission::admits(const PeerCredentials& peer) const noexcept {
  if (peer.uid == overflow_uid_) return false;
  if (peer.uid == own_uid_ || peer.uid == 0) return true;
  if (group_ >= 0 && int64_t{peer.gid} == group_) return true;
  return std::find(allowed_uids_.begin(), allowed_uids_.end(), peer.uid) != allowed_uids_.end();
}

bool is_hello(const void* data, size_t bytes) noexcept {
  return bytes >= 16 && std::memcmp(data, kMagic, sizeof(kMagic)) == 0;
}

bool asks_for_status(const std::string& hello) noexcept {
  Hello parsed{};
  if (hello.size() != sizeof(parsed)) return false;
  std::memcpy(&parsed, hello.data(), sizeof(parsed));
  return parsed.kind == kStatus;
}

Grant parse_hello(const void* data, size_t bytes, const Limits& limits) {
  if (!is_hello(data, bytes)) malformed("expected the magic word");
  Hello hello{};
  std::memcpy(&hello, data, std::min(bytes, sizeof(hello)));
  if (hello.version_min > kVersion || hello.version_max < kVersion) {
    throw Error(SIDECALL_PROTOCOL, "protocol version: expected " + std::to_string(kVersion) +
                                       ", got " + std::to_string(hello.version_min) + " to " +
                                       std::to_string(hello.version_max));
  }
  if (bytes != sizeof(hello))
    malformed("expected " + std::to_string(sizeof(hello)) + " bytes, got " + std::to_string(bytes));
  if (hello.kind != kOpen && hello.kind != kConnect && hello.kind != kStatus)
    malformed("unknown kind " + std::to_string(hello.kind));
  if ((hello.flags & ~uint32_t{kAlwaysRing}) != 0)
    malformed("unknown flags " + std::to_string(hello.flags));
  if (std::any_of(std::begin(hello.zero), std::end(hello.zero),
                  [](uint8_t byte) { return byte != 0; }))
    malformed("expected zeros in its reserved bytes");

  Grant grant;
  grant.kind = static_cast<HelloKind>(hello.kind);
  grant.always_ring = (hello.flags & kAlwaysRing) != 0;
  if (grant.kind != kConnect) {
    if (hello.slots != 0 || hello.request_bytes != 0 || hello.response_bytes != 0)
      malformed("expected 0 slots and 0 bytes for OPEN and STATUS, got other values");
    return grant;
  }
  if (hello.slots == 0 || (hello.slots & (hello.slots - 1)) != 0) {
    malformed("slots: expected a power of two, got " + std::to_string(hello.slots));
  }
  if (hello.slots > limits.max_slots) {
    throw Error(SIDECALL_OUT_OF_RANGE, "slots: expected at most " +
                                           std::to_string(limits.max_slots) + ", got " +
                                           std::to_string(hello.slots));
  }
  grant.slots = hello.slots;
  grant.request_bytes = grant_bytes("request", hello.request_bytes, limits.least_request_bytes,
                                    limits.max_request_bytes);
  grant.response_bytes = grant_bytes("response", hello.response_bytes, limits.least_response_bytes,
                                     limits.max_response_bytes);
  return grant;
}

std::string refusal(int32_t status, const std::string& text) {
  const size_t length = cut_length(text, kMaxRefusal);
  Refused refused{};
  std::memcpy(refused.magic, kMagic, sizeof(kMagic));
  refused.version_min = refused.version_max = kVersion;
  refused.kind = kRefused;
  refused.status = status;
  refused.text_bytes = static_cast<uint32_t>(length);
  std::string message(reinterpret_cast<const char*>(&refused), sizeof(refused));
  return message.append(text, 0, length);
}

void refuse(Socket* socket, int32_t status, const std::string& text) {
  char unread[sizeof(Hello)];
  socket->receive(unread, sizeof(unread));
  const std::string message = refusal(status, text);
  socket->send(message.data(), message.size());
}

}  // namespace sidecall::shm
