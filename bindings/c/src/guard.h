// The C ABI's side of errors: no exception leaves, every struct is checked before it is read or written.
#pragma once

#include <sidecall/sidecall.h>

#include <cstddef>
#include <cstdint>

#include "core/error.h"

namespace sidecall {

// Fills `err` (NULL is fine) and returns the status.
sidecall_status report(const Error& error, sidecall_error* err) noexcept;
sidecall_status report_unknown(sidecall_error* err) noexcept;

// A caller's struct must have the size of one that this library knows: at least `smallest`, the size in ABI 1, and no
// non-zero bytes beyond `known`.
void check_struct(const void* object, uint32_t struct_size, size_t smallest, size_t known, const char* name);

template <typename Body>
sidecall_status guard(sidecall_error* err, Body body) noexcept {
  try {
    body();
    return SIDECALL_OK;
  } catch (const Error& error) {
    return report(error, err);
  } catch (...) {
    return report_unknown(err);
  }
}

}  // namespace sidecall
