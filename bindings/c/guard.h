// The C ABI's side of errors: no exception leaves, and an error is filled no further than its struct_size.
#pragma once

#include <sidecall/sidecall.h>

#include "core/error.h"

namespace sidecall {

// Fills `err` (NULL is fine) and returns the status.
sidecall_status report(const Error& error, sidecall_error* err) noexcept;
sidecall_status report_unknown(sidecall_error* err) noexcept;

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
