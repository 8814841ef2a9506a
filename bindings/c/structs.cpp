// Checks the sizes and sets the defaults of the structs that callers allocate; see structs.h.
#include "structs.h"

#include <string>

namespace sidecall {
namespace {

template <typename Struct>
void init(Struct* out, size_t size, const Struct& defaults) noexcept {
  if (out == nullptr || size < sizeof(uint32_t)) return;
  if (size > kLargestStruct) {
    // 0 is not a valid size: every function refuses the struct, or leaves it unfilled if it is a
    // sidecall_error.
    out->struct_size = 0;
    return;
  }
  std::memset(static_cast<void*>(out), 0, size);
  out->struct_size = static_cast<uint32_t>(size);
  copy_fields(defaults, &defaults, out, size);
}

}  // namespace

void check_struct_size(uint32_t size, const char* name) {
  if (is_struct_size(size)) return;
  throw Error(SIDECALL_INVALID_ARGUMENT,
              std::string(name) + ".struct_size: expected " + std::to_string(sizeof(uint32_t)) +
                  " to " + std::to_string(kLargestStruct) + ", got " + std::to_string(size) +
                  "; initialise the struct with its init function");
}

void check_struct(const void* given, uint32_t size, size_t known, const char* name) {
  check_struct_size(size, name);
  const auto* bytes = static_cast<const unsigned char*>(given);
  for (size_t i = known; i < size; ++i) {
    if (bytes[i] != 0) {
      throw Error(SIDECALL_INVALID_ARGUMENT, std::string(name) + ": expected zeros beyond byte " +
                                                 std::to_string(known) +
                                                 ", got a field that this library does not know");
    }
  }
}

sidecall_model_options default_model_options() noexcept {
  sidecall_model_options options{};
  options.struct_size = sizeof options;
  options.timeout_ns = -1;
  return options;
}

sidecall_queue_options default_queue_options() noexcept {
  return {sizeof(sidecall_queue_options), 16384, 128, 0};
}

sidecall_server_options default_server_options() noexcept {
  sidecall_server_options options{};
  options.struct_size = sizeof options;
  options.group = -1;
  options.spin_us = -1;
  options.events_level = 1;
  return options;
}

sidecall_log_lines default_log_lines() noexcept { return {sizeof(sidecall_log_lines), 2, 0, 1}; }

}  // namespace sidecall

extern "C" {

void sidecall_error_init_sized(sidecall_error* err, size_t size) {
  sidecall::init(err, size, SIDECALL_ERROR_INIT);
}

void sidecall_model_options_init_sized(sidecall_model_options* options, size_t size) {
  sidecall::init(options, size, sidecall::default_model_options());
}

void sidecall_queue_options_init_sized(sidecall_queue_options* options, size_t size) {
  sidecall::init(options, size, sidecall::default_queue_options());
}

void sidecall_view_init_sized(sidecall_view* view, size_t size) {
  sidecall::init(view, size, SIDECALL_VIEW_INIT);
}

void sidecall_log_lines_init_sized(sidecall_log_lines* lines, size_t size) {
  sidecall::init(lines, size, sidecall::default_log_lines());
}

void sidecall_server_options_init_sized(sidecall_server_options* options, size_t size) {
  sidecall::init(options, size, sidecall::default_server_options());
}

void sidecall_service_init_sized(sidecall_service* service, size_t size) {
  sidecall::init(service, size, sidecall_service());
}

}  // extern "C"
