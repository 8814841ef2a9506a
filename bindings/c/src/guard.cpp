// Turns exceptions of core into sidecall_error; used by every function of the C ABI.
#include "guard.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>

#include "core/text.h"

namespace sidecall {
namespace {

constexpr uint32_t kLargestStruct = 4096;  // more is memory that was never initialised: do not follow it

// Cuts at a character boundary: a byte 10xxxxxx belongs to the character before it.
template <size_t kSize>
void copy_text(char (&out)[kSize], const std::string& text) noexcept {
  size_t length = std::min(text.size(), kSize - 1);
  if (length < text.size()) {
    while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xc0) == 0x80) --length;
  }
  std::memcpy(out, text.data(), length);
  out[length] = '\0';
}

void copy_fault(const Fault& fault, sidecall_fault* out) {
  out->row = fault.row;
  out->status = fault.status;
  out->reserved = 0;
  copy_text(out->name, fault.name);
  copy_text(out->expected, fault.expected);
  copy_text(out->got, fault.got);
  copy_text(out->message, printable(describe(fault.what, fault)));
}

// A caller that did not initialise the struct gets the status alone.
bool is_usable(const sidecall_error* err) noexcept { return err != nullptr && err->struct_size >= sizeof(sidecall_error); }

}  // namespace

sidecall_status report(const Error& error, sidecall_error* err) noexcept {
  if (!is_usable(err)) return error.status();
  err->status = error.status();
  err->retryable = error.retryable() ? 1 : 0;
  err->num_faults = static_cast<uint32_t>(error.num_faults());
  copy_text(err->message, error.what());
  const Fault none{error.status(), -1, "", "", ""};
  const Fault& first = error.faults().empty() ? none : error.faults().front();
  err->row = first.row;
  copy_text(err->name, first.name);
  copy_text(err->expected, first.expected);
  copy_text(err->got, first.got);
  if (err->faults == nullptr) return error.status();
  const size_t kept = std::min<size_t>(error.faults().size(), err->faults_capacity);
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
    try {
      throw;
    } catch (const std::bad_alloc&) {
      return report(Error(SIDECALL_OUT_OF_MEMORY, "out of memory"), err);
    } catch (const std::length_error&) {
      return report(Error(SIDECALL_OUT_OF_MEMORY, "out of memory"), err);
    } catch (const std::exception& error) {
      return report(Error(SIDECALL_INTERNAL, std::string("internal error: ") + error.what()), err);
    }
  } catch (...) {
    // Not even the text could be built.
  }
  return SIDECALL_INTERNAL;
}

void check_struct(const void* object, uint32_t struct_size, size_t smallest, size_t known, const char* name) {
  if (struct_size < smallest) {
    throw Error(SIDECALL_INVALID_ARGUMENT, std::string(name) + ".struct_size: expected at least " + std::to_string(smallest) + ", got " +
                                               std::to_string(struct_size) + "; use its init");
  }
  if (struct_size > kLargestStruct) {
    throw Error(SIDECALL_INVALID_ARGUMENT, std::string(name) + ".struct_size: expected at most " + std::to_string(kLargestStruct) +
                                               ", got " + std::to_string(struct_size) + "; use its init");
  }
  const auto* bytes = static_cast<const unsigned char*>(object);
  for (size_t i = known; i < struct_size; ++i) {
    if (bytes[i] != 0) {
      throw Error(SIDECALL_INVALID_ARGUMENT, std::string(name) + ": expected zeros beyond byte " + std::to_string(known) +
                                                 ", got a field that this library does not know");
    }
  }
}

}  // namespace sidecall

extern "C" {

const char* sidecall_status_name(sidecall_status status) { return sidecall::status_name(status); }

void sidecall_error_init(sidecall_error* err) {
  if (err == nullptr) return;
  *err = SIDECALL_ERROR_INIT;
}

}  // extern "C"
