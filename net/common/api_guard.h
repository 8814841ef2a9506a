// Turns the exceptions of net/ into the errors of its C interface.
#pragma once

#include <sidecall/sidecall.h>

#include <string.h>

#include <cstring>
#include <exception>
#include <new>
#include <string_view>

#include "base/text/utf8.h"
#include "error.h"
#include "net/api/net.h"

namespace sidecall::net {

inline void set_error(sidecall_net_error* err, int32_t status, const char* text) noexcept {
  err->status = status;
  err->faults = nullptr;
  const size_t length = cut_length(std::string_view(text), sizeof err->message - 1);
  std::memcpy(err->message, text, length);
  err->message[length] = '\0';
}

template <typename Body>
int32_t api_guard(sidecall_net_error* err, Body body) noexcept {
  try {
    body();
    return SIDECALL_OK;
  } catch (const Error& error) {
    set_error(err, error.status(), error.what());
    if (!error.faults().empty()) err->faults = ::strdup(error.faults().c_str());
  } catch (const std::bad_alloc&) {
    set_error(err, SIDECALL_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    set_error(err, SIDECALL_INTERNAL, error.what());
  }
  return err->status;
}

}  // namespace sidecall::net
