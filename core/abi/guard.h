// Error handling of the C ABI: no exception leaves the library, and a sidecall_error is filled only
// as far as its struct_size says. Used by bindings/c and by serving.
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>
#include <string_view>

#include "core/error.h"

namespace sidecall {

// A struct_size above this limit is treated as memory that was never initialised.
constexpr uint32_t kLargestStruct = 4096;

constexpr bool is_struct_size(uint32_t size) noexcept {
  return size >= sizeof(uint32_t) && size <= kLargestStruct;
}

// Fills `err` (NULL is fine) and returns the status. report_unknown() must be called in a catch
// block: it rethrows the current exception to find its type.
sidecall_status report(const Error& error, sidecall_error* err) noexcept;
sidecall_status report_unknown(sidecall_error* err) noexcept;

// The same for OUT_OF_MEMORY and INTERNAL, without an exception and without an allocation.
sidecall_status report_text(sidecall_status status, std::string_view text,
                            sidecall_error* err) noexcept;

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
