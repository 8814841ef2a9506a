// Counts connections; see quotas.h.
#include "quotas.h"

#include <string>

#include "shm/common/error.h"

namespace sidecall::shm {

void Quotas::check(const PeerCredentials& peer) const {
  if (num_connections_ >= max_connections_) {
    throw Error(SIDECALL_BUSY, "max_connections: expected at most " +
                                   std::to_string(max_connections_) + " connections, got one more");
  }
  const auto found = per_account_.find(peer.account);
  if (found != per_account_.end() && found->second >= max_per_user_) {
    throw Error(SIDECALL_BUSY, "max_connections_per_user: expected at most " +
                                   std::to_string(max_per_user_) +
                                   " connections of one user, got one more");
  }
}

void Quotas::add(const PeerCredentials& peer) {
  ++num_connections_;
  ++per_account_[peer.account];
}

void Quotas::remove(const PeerCredentials& peer) {
  --num_connections_;
  const auto found = per_account_.find(peer.account);
  if (found != per_account_.end() && --found->second == 0) per_account_.erase(found);
}

}  // namespace sidecall::shm
