// The exception type of shm: an error between two processes. Thrown by client and server code; the
// C ABI converts it into a sidecall_error.
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace sidecall::shm {

// The texts of a fault. Many rows can share one FaultText. `kind` says what `name` names: see
// FaultKind in layout.h.
struct FaultText {
  int32_t status = 0;
  uint32_t kind = 0;
  std::string name, expected, got;
};

struct FaultRow {
  int64_t row = -1;
  uint32_t text = 0;  // index into Error::texts
};

// `name`, `expected` and `got` are empty when they do not apply. The message is complete by itself.
struct Error : std::exception {
  Error(int32_t failed_status, std::string text)
      : status(failed_status), message(std::move(text)) {}
  const char* what() const noexcept override { return message.c_str(); }

  int32_t status;
  int64_t row = -1;
  std::string name, expected, got, message;

  // All faults, ordered by row. Empty if the error came without a list; the fields above then
  // describe the only fault that is known, if any. The order of the texts is the order in which the
  // rows first refer to them.
  std::vector<FaultText> texts;
  std::vector<FaultRow> rows;
  uint32_t num_faults = 0;  // includes the faults that are not listed
};

// Whether a server may answer a request with this status: it must be a failure, and not the
// status that tells a caller about its own handle.
inline bool is_failure(int32_t status) noexcept {
  return status != SIDECALL_OK && status != SIDECALL_NOT_RUN;
}

// Throws PROTOCOL: the peer did something that PROTOCOL.md forbids.
[[noreturn]] void violation(const std::string& what);

// Throws for a system call that failed: OUT_OF_MEMORY when memory, descriptors or their quotas are
// exhausted, otherwise `status`. The text is "what: reason".
[[noreturn]] void system_failure(int32_t status, const std::string& what, int error_number);

// Throws OUT_OF_MEMORY: a message could not be received because this process has no descriptor
// left.
[[noreturn]] void no_descriptor_left(const std::string& what);

}  // namespace sidecall::shm
