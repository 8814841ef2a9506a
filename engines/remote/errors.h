// Errors of core and of the channel, turned into each other. Used by this engine, by serving and by the C ABI of servers.
#pragma once

#include "core/error.h"
#include "shm/common/error.h"

namespace sidecall {

// With all faults that are kept.
shm::Error to_channel(const Error& error);
Error to_core(const shm::Error& error);

// Why a request ended whose client no longer waits.
const char* stop_text(int32_t status) noexcept;

// Runs `body`; what the channel throws leaves as an Error of core.
template <typename Body>
auto with_core_errors(Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const shm::Error& error) {
    throw to_core(error);
  }
}

}  // namespace sidecall
