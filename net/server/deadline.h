// Reads the deadline of a run from the header of its request; used by the routes.
#pragma once

#include <cstdint>

#include "message.h"

namespace sidecall::net {

// Both throw INVALID_ARGUMENT for a value that is not valid, and for a header that occurs twice.
// Without the header the timeout is `timeout_ns`.

// Sidecall-Timeout-Ms: whole milliseconds.
Clock::time_point http_deadline(const Request& request, int64_t timeout_ns);
// grpc-timeout: one to eight digits and a unit.
Clock::time_point grpc_deadline(const Request& request, int64_t timeout_ns);

}  // namespace sidecall::net
