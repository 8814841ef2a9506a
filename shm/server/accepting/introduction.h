// What the server says of itself in WELCOME, and the manifest that it sends with it. Never changes.
#pragma once

#include <cstdint>

#include "admission.h"
#include "shm/common/layout.h"
#include "shm/common/socket.h"
#include "shm/server/server.h"

namespace sidecall::shm {

class Introduction {
 public:
  // The sizes of the service must have been checked. Throws OUT_OF_MEMORY.
  Introduction(const Service& service, const Limits& limits, int64_t timeout_ns);

  uint64_t instance() const noexcept { return welcome_.instance; }
  // WELCOME, without the members that belong to one connection.
  const Welcome& welcome() const noexcept { return welcome_; }
  // A pidfd of our own process, or -1.
  int process() const noexcept { return own_pidfd_.get(); }
  // Answers OPEN.
  void send_manifest(Socket* socket) const;

 private:
  const Fd own_pidfd_, manifest_;
  const uint64_t manifest_bytes_;
  const Welcome welcome_;
};

}  // namespace sidecall::shm
