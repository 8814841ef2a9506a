// Builds WELCOME and the file of the manifest; see introduction.h.
#include "introduction.h"

#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "shm/common/segment.h"

namespace sidecall::shm {

namespace {

Fd make_manifest(const Service& service) {
  const uint64_t sizes[2] = {service.signature.size(), service.contract.size()};
  return make_sealed_file({reinterpret_cast<const char*>(sizes), sizeof(sizes)}, service.signature,
                          service.contract);
}

uint64_t make_instance() {
  uint64_t instance = 0;
  if (getrandom(&instance, sizeof(instance), 0) != static_cast<ssize_t>(sizeof(instance)))
    instance = static_cast<uint64_t>(now_ns());
  return instance;
}

Welcome make_welcome(const Service& service, const Limits& limits, int64_t timeout_ns,
                     bool has_pidfd) {
  Welcome welcome{};
  std::memcpy(welcome.magic, kMagic, sizeof(kMagic));
  welcome.version = kVersion;
  welcome.kind = kWelcome;
  welcome.flags = (service.contract.empty() ? 0u : kHasContract) |
                  (service.is_verified ? kVerified : 0u) | (has_pidfd ? kHasPidfd : 0u);
  welcome.max_request_bytes = limits.max_request_bytes;
  welcome.max_response_bytes = limits.max_response_bytes;
  std::memcpy(welcome.signature_digest, service.signature_digest.data(),
              service.signature_digest.size());
  std::memcpy(welcome.model_id, service.model_id.data(), service.model_id.size());
  welcome.instance = make_instance();
  welcome.process = static_cast<uint32_t>(getpid());
  welcome.timeout_ns = static_cast<uint64_t>(timeout_ns);
  return welcome;
}

}  // namespace

Introduction::Introduction(const Service& service, const Limits& limits, int64_t timeout_ns)
    : own_pidfd_(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0))),
      manifest_(make_manifest(service)),
      manifest_bytes_(2 * sizeof(uint64_t) + service.signature.size() + service.contract.size()),
      welcome_(make_welcome(service, limits, timeout_ns, static_cast<bool>(own_pidfd_))) {}

void Introduction::send_manifest(Socket* socket) const {
  Welcome message = welcome_;
  message.manifest_bytes = manifest_bytes_;
  const int fds[] = {manifest_.get(), own_pidfd_.get()};
  socket->send(&message, sizeof(message), fds, own_pidfd_ ? 2 : 1);
}

}  // namespace sidecall::shm
