// One exception type per layer, the same contents; used by the server's half of the C ABI.
#include "serve_errors.h"

namespace sidecall {

shm::Error to_channel(const Error& error) {
  shm::Error result(error.status(), error.what());
  if (error.faults().empty()) return result;
  const Fault& first = error.faults().front();
  result.row = first.row;
  result.name = first.name;
  result.expected = first.expected;
  result.got = first.got;
  return result;
}

Error to_core(const shm::Error& error) {
  if (error.row < 0 && error.name.empty() && error.expected.empty() && error.got.empty()) return {error.status, error.message};
  return {Fault{error.status, error.row, error.name, error.expected, error.got}, error.message};
}

const char* stop_text(int32_t status) noexcept {
  switch (status) {
    case SIDECALL_TIMEOUT:
      return "the deadline passed before the run was over";
    case SIDECALL_PEER_DIED:
      return "the caller is gone";
    case SIDECALL_UNREACHABLE:
      return "the server is shutting down";
    default:
      return "the run was cancelled";
  }
}

}  // namespace sidecall
