// Sends and logs REFUSED; see refusals.h.
#include "refusals.h"

#include "admission.h"

namespace sidecall::shm {

void Refusals::refuse(Accepted accepted, int32_t status, const std::string& text) {
  refused_.add(1);
  shm::refuse(&accepted.socket, status, text);
  const PeerCredentials& peer = accepted.peer;
  log_->log(
      LogLevel::kWarning, "connection.refused",
      [&](Facts& facts) {
        facts.number("uid", uint64_t{peer.uid})
            .number("process", int64_t{peer.pid})
            .number("status", int64_t{status})
            .text("message", text);
      },
      peer.uid);
}

}  // namespace sidecall::shm
