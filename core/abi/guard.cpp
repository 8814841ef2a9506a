// Converts exceptions of core to sidecall_error; used by every function of the C ABI.
#include "guard.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "base/json/fault_json.h"
#include "base/text/utf8.h"
#include "core/text.h"

namespace sidecall {
namespace {

// Copies a text and cuts it at a character boundary if it does not fit.
void copy_text(char* out, size_t space, std::string_view text) noexcept {
  if (space == 0) return;
  const size_t length = cut_length(text, space - 1);
  std::memcpy(out, text.data(), length);
  out[length] = '\0';
}

void copy_fault(const Fault& fault, sidecall_fault* out) {
  out->row = fault.row;
  out->status = fault.status;
  out->kind = fault_kind(fault.what);
  copy_text(out->name, sizeof out->name, fault.name);
  copy_text(out->expected, sizeof out->expected, fault.expected);
  copy_text(out->got, sizeof out->got, fault.got);
  copy_text(out->message, sizeof out->message, printable(describe(fault.what, fault)));
}

// How many bytes of this field of `err` lie within the caller's struct.
template <typename Field>
size_t room_of(const sidecall_error& err, const Field& field) noexcept {
  const auto at = static_cast<size_t>(reinterpret_cast<const char*>(&field) -
                                      reinterpret_cast<const char*>(&err));
  return at < err.struct_size ? std::min(err.struct_size - at, sizeof field) : 0;
}

template <typename Number>
void put(const sidecall_error& err, Number* field, Number value) noexcept {
  if (room_of(err, *field) == sizeof *field) *field = value;
}

template <size_t kSize>
void put(const sidecall_error& err, char (*field)[kSize], std::string_view text) noexcept {
  copy_text(*field, room_of(err, *field), text);
}

}  // namespace

sidecall_status report_text(sidecall_status status, std::string_view text,
                            sidecall_error* err) noexcept {
  if (err == nullptr || !is_struct_size(err->struct_size)) return status;
  put(*err, &err->status, status);
  put(*err, &err->retryable, status == SIDECALL_OUT_OF_MEMORY ? 1 : 0);
  put(*err, &err->num_faults, uint32_t{0});
  put(*err, &err->message, text);
  put(*err, &err->row, int64_t{-1});
  put(*err, &err->name, "");
  put(*err, &err->expected, "");
  put(*err, &err->got, "");
  return status;
}

sidecall_status report(const Error& error, sidecall_error* err) noexcept {
  if (err == nullptr || !is_struct_size(err->struct_size)) return error.status();
  put(*err, &err->status, error.status());
  put(*err, &err->retryable, error.retryable() ? 1 : 0);
  put(*err, &err->num_faults, static_cast<uint32_t>(error.num_faults()));
  put(*err, &err->message, error.what());
  const Fault none{error.status(), -1, "", "", ""};
  const Fault& first = error.faults().empty() ? none : error.faults().front();
  put(*err, &err->row, first.row);
  put(*err, &err->name, first.name);
  put(*err, &err->expected, first.expected);
  put(*err, &err->got, first.got);
  const bool has_faults = room_of(*err, err->faults_capacity) == sizeof err->faults_capacity;
  if (!has_faults || err->faults == nullptr) return error.status();
  const size_t kept = std::min<size_t>(error.faults().size(), err->faults_capacity);
  // A caller reads min(num_faults, faults_capacity) entries. Lower num_faults if fewer were kept.
  if (kept < std::min<size_t>(error.num_faults(), err->faults_capacity))
    err->num_faults = static_cast<uint32_t>(kept);
  for (size_t i = 0; i < kept; ++i) {
    try {
      copy_fault(error.faults()[i], &err->faults[i]);
    } catch (const std::bad_alloc&) {
      err->num_faults = static_cast<uint32_t>(i);
      break;
    }
  }
  return error.status();
}

sidecall_status report_unknown(sidecall_error* err) noexcept {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return report_text(SIDECALL_OUT_OF_MEMORY, "out of memory", err);
  } catch (const std::length_error&) {
    return report_text(SIDECALL_OUT_OF_MEMORY, "out of memory", err);
  } catch (const std::exception& error) {
    const auto* const system = dynamic_cast<const std::system_error*>(&error);
    if (system != nullptr && system->code() == std::errc::resource_unavailable_try_again)
      return report_text(SIDECALL_OUT_OF_MEMORY, "no thread can be started: raise ulimit -u", err);
    try {
      return report(Error(SIDECALL_INTERNAL, std::string("internal error: ") + error.what()), err);
    } catch (...) {
      return report_text(SIDECALL_INTERNAL, "internal error, and no memory for its text", err);
    }
  } catch (...) {
    return report_text(SIDECALL_INTERNAL,
                       "internal error: an exception that is not a std::exception", err);
  }
}

}  // namespace sidecall
