// The status code of HTTP for each status of sidecall: for the server over HTTP, and for functions
// of AWS Lambda behind HTTP.
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>

namespace sidecall {

constexpr int http_status_of(int32_t status) noexcept {
  switch (status) {
    case SIDECALL_INVALID_ARGUMENT:
    case SIDECALL_NO_CONTRACT:
    case SIDECALL_UNSUPPORTED:
    case SIDECALL_DTYPE_MISMATCH:
    case SIDECALL_SHAPE_MISMATCH:
    case SIDECALL_UNKNOWN_NAME:
    case SIDECALL_MISSING_INPUT:
    case SIDECALL_MISSING_VALUE:
    case SIDECALL_UNKNOWN_CATEGORY:
    case SIDECALL_INVALID_STRING:
    case SIDECALL_INVALID_JSON:
    case SIDECALL_OUT_OF_RANGE:
    case SIDECALL_REFUSED:
    case SIDECALL_PROTOCOL:
      return 400;
    case SIDECALL_DENIED:
      return 403;
    case SIDECALL_CANCELLED:
      return 499;
    case SIDECALL_PEER_DIED:
    case SIDECALL_UNREACHABLE:
      return 502;
    case SIDECALL_BUSY:
    case SIDECALL_OUT_OF_MEMORY:
      return 503;
    case SIDECALL_TIMEOUT:
      return 504;
    default:
      return 500;
  }
}

}  // namespace sidecall
