// Reads and fills structs that callers allocate. The header that a caller was compiled with
// determines their size: see "Structs" in sidecall.h. Used by every file of the C ABI that takes
// such a struct.
#pragma once

#include <sidecall/server.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>

#include "core/abi/guard.h"
#include "core/error.h"

namespace sidecall {

// The fields after struct_size. A structured binding names every field of a struct, so the compiler
// reports a field that was added to the header but not here.
inline auto fields_of(const sidecall_error& from) {
  const auto& [size, status, retryable, num_faults, row, name, expected, got, message, faults,
               capacity, reserved] = from;
  return std::tie(status, retryable, num_faults, row, name, expected, got, message, faults,
                  capacity, reserved);
}
inline auto fields_of(const sidecall_model_options& from) {
  const auto& [size, verify, extra, allow_exec, timeout_ns, wait_ns, onnxruntime, package, engine,
               reserved] = from;
  return std::tie(verify, extra, allow_exec, timeout_ns, wait_ns, onnxruntime, package, engine,
                  reserved);
}
inline auto fields_of(const sidecall_queue_options& from) {
  const auto& [size, capacity, max_started, reserved] = from;
  return std::tie(capacity, max_started, reserved);
}
inline auto fields_of(const sidecall_view& from) {
  const auto& [size, dtype, rank, flags, dims, data, data_bytes, offsets] = from;
  return std::tie(dtype, rank, flags, dims, data, data_bytes, offsets);
}
inline auto fields_of(const sidecall_log_lines& from) {
  const auto& [size, fd, as_json, least_level] = from;
  return std::tie(fd, as_json, least_level);
}
inline auto fields_of(const sidecall_server_options& from) {
  const auto& [size, threads, copy, uids, num_uids, connections, group, per_user, spin, drain,
               request, response, memory, log, events, events_tag, memory_per_user, start_later,
               events_level, timeout, max_run, unready_after] = from;
  return std::tie(threads, copy, uids, num_uids, connections, group, per_user, spin, drain, request,
                  response, memory, log, events, events_tag, memory_per_user, start_later,
                  events_level, timeout, max_run, unready_after);
}
inline auto fields_of(const sidecall_service& from) {
  const auto& [size, reserved, signature, signature_length, contract, contract_length, handler,
               context] = from;
  return std::tie(reserved, signature, signature_length, contract, contract_length, handler,
                  context);
}

// Copies the fields that lie completely within the first `size` bytes. `layout` is a complete
// struct, from which the offsets of the fields are computed.
template <typename Struct>
void copy_fields(const Struct& layout, const void* from, void* to, size_t size) {
  const auto copy = [&](const auto& field) {
    const auto at = static_cast<size_t>(reinterpret_cast<const char*>(&field) -
                                        reinterpret_cast<const char*>(&layout));
    constexpr size_t kBytes = sizeof field;
    if (at + kBytes <= size)
      std::memcpy(static_cast<char*>(to) + at, static_cast<const char*>(from) + at, kBytes);
  };
  std::apply([&](const auto&... field) { (copy(field), ...); }, fields_of(layout));
}

// Throws INVALID_ARGUMENT if `size` cannot be a valid struct_size.
void check_struct_size(uint32_t size, const char* name);

// Like check_struct_size(), but also throws if a byte beyond the first `known` bytes is not 0: that
// byte belongs to an option that this library does not know and would ignore.
void check_struct(const void* given, uint32_t size, size_t known, const char* name);

// Returns a copy of the caller's struct that has all fields that this library knows. Fields that a
// smaller struct does not have are taken from `defaults`. Throws INVALID_ARGUMENT.
template <typename Struct>
Struct read_struct(const Struct* given, const Struct& defaults, const char* name) {
  check_struct(given, given->struct_size, sizeof(Struct), name);
  if (given->struct_size >= sizeof(Struct)) return *given;
  Struct known = defaults;
  copy_fields(known, given, &known, given->struct_size);
  return known;
}

// Lets `fill` fill the caller's view, but writes only as far as the struct_size of the view says.
// Throws INVALID_ARGUMENT.
template <typename Fill>
void fill_view(sidecall_view* view, Fill fill) {
  require(view != nullptr, "view must not be NULL");
  if (view->struct_size == sizeof *view) return fill(view);
  check_struct_size(view->struct_size, "view");
  sidecall_view whole = SIDECALL_VIEW_INIT;
  fill(&whole);
  copy_fields(whole, &whole, view, view->struct_size);
}

sidecall_model_options default_model_options() noexcept;
sidecall_queue_options default_queue_options() noexcept;
sidecall_server_options default_server_options() noexcept;
sidecall_log_lines default_log_lines() noexcept;

}  // namespace sidecall
