// Refuses connections: answers REFUSED, logs the reason, and counts. Used by the control thread.
#pragma once

#include <cstdint>
#include <string>

#include "accepted.h"
#include "shm/server/reporting/event_log.h"
#include "shm/server/reporting/status.h"

namespace sidecall::shm {

class Refusals {
 public:
  explicit Refusals(EventLog* log) : log_(log) {}

  void refuse(Accepted accepted, int32_t status, const std::string& text);
  uint64_t count() const noexcept { return refused_.value(); }  // any thread

 private:
  EventLog* const log_;
  Counter refused_;
};

}  // namespace sidecall::shm
