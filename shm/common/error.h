// The one exception of shm: what went wrong between two processes. Thrown by client and server code; the C ABI turns it into a sidecall_error.
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace sidecall::shm {

// The texts of a fault, which those of many rows share. `kind` is what `name` is the name of: FaultKind of layout.h.
struct FaultText {
  int32_t status = 0;
  uint32_t kind = 0;
  std::string name, expected, got;
};

struct FaultRow {
  int64_t row = -1;
  uint32_t text = 0;  // of Error::texts
};

// `name`, `expected` and `got` are empty where none is concerned. The message is complete by itself.
struct Error : std::exception {
  Error(int32_t failed_status, std::string text)
      : status(failed_status), message(std::move(text)) {}
  const char* what() const noexcept override { return message.c_str(); }

  int32_t status;
  int64_t row = -1;
  std::string name, expected, got, message;

  // All faults, by row; none where the error has no more than the first, above. Texts come in the order in which rows first name them.
  std::vector<FaultText> texts;
  std::vector<FaultRow> rows;
  uint32_t num_faults = 0;  // those that are not listed too
};

// Whether a server may answer a request with this status: a failure, and none of those that tell a caller about its own handle.
inline bool is_failure(int32_t status) noexcept {
  return status != SIDECALL_OK && status != SIDECALL_NOT_RUN && status != SIDECALL_PENDING;
}

// The peer did what PROTOCOL.md forbids.
[[noreturn]] void violation(const std::string& what);

// A system call failed: OUT_OF_MEMORY where memory, descriptors or their quotas are short, else `status`. The text is "what: reason".
[[noreturn]] void system_failure(int32_t status, const std::string& what, int error_number);

// What the other end sent could not be received because this process has no descriptor left.
[[noreturn]] void no_descriptor_left(const std::string& what);

}  // namespace sidecall::shm
