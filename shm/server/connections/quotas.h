// Limits how many connections there are, in all and for each account. Used by the control thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

#include "shm/common/socket.h"

namespace sidecall::shm {

class Quotas {
 public:
  Quotas(uint32_t max_connections, uint32_t max_per_user)
      : max_connections_(max_connections), max_per_user_(max_per_user) {}

  // Throws BUSY if this peer may not have another connection now.
  void check(const PeerCredentials& peer) const;
  void add(const PeerCredentials& peer);
  void remove(const PeerCredentials& peer);
  // All connections, including those whose memory is being created.
  size_t num_connections() const noexcept { return num_connections_; }

 private:
  const uint32_t max_connections_, max_per_user_;
  size_t num_connections_ = 0;
  std::map<uint32_t, uint32_t> per_account_;  // connections
};

}  // namespace sidecall::shm
