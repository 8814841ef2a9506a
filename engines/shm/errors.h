// Converts errors of core to errors of the channel and back. Used by this engine, by serving and by
// the C ABI of servers.
#pragma once

#include "core/error.h"
#include "shm/common/error.h"

namespace sidecall {

// Both convert all faults that the error holds.
shm::Error to_channel(const Error& error);
Error to_core(const shm::Error& error);

// The text of an error for a request whose client no longer waits. `status` is the value that
// shm::Request::stop_status() returned.
const char* stop_text(int32_t status) noexcept;

// Runs `body` and converts an error that the channel throws to an Error of core.
template <typename Body>
auto with_core_errors(Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const shm::Error& error) {
    throw to_core(error);
  }
}

}  // namespace sidecall
