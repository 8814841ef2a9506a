// The names of statuses, and sidecall_error_*, sidecall_fault_* and sidecall_struct_size of
// binding.h: errors and struct sizes for languages that cannot include the headers.
#include <sidecall/binding.h>
#include <sidecall/server.h>

#include <algorithm>
#include <new>
#include <string_view>

#include "core/error.h"

namespace {

constexpr uint32_t kMostFaults = 1000;  // the library never keeps more

constexpr sidecall_error kEmpty = SIDECALL_ERROR_INIT;
constexpr sidecall_fault kNoFault{-1, SIDECALL_OK, 0, "", "", "", ""};

const sidecall_error& fields(const sidecall_error* err) { return err == nullptr ? kEmpty : *err; }

const sidecall_fault& fields(const sidecall_fault* fault) {
  return fault == nullptr ? kNoFault : *fault;
}

}  // namespace

extern "C" {

const char* sidecall_status_name(sidecall_status status) { return sidecall::status_name(status); }

sidecall_error* sidecall_error_open(uint32_t max_faults) {
  auto* err = new (std::nothrow) sidecall_error(SIDECALL_ERROR_INIT);
  if (err == nullptr || max_faults == 0) return err;
  err->faults_capacity = std::min(max_faults, kMostFaults);
  err->faults = new (std::nothrow) sidecall_fault[err->faults_capacity];
  if (err->faults != nullptr) return err;
  delete err;
  return nullptr;
}

void sidecall_error_close(sidecall_error* err) {
  if (err == nullptr) return;
  delete[] err->faults;
  delete err;
}

sidecall_status sidecall_error_status(const sidecall_error* err) { return fields(err).status; }
int32_t sidecall_error_retryable(const sidecall_error* err) { return fields(err).retryable; }
int64_t sidecall_error_row(const sidecall_error* err) { return fields(err).row; }
const char* sidecall_error_name(const sidecall_error* err) { return fields(err).name; }
const char* sidecall_error_expected(const sidecall_error* err) { return fields(err).expected; }
const char* sidecall_error_got(const sidecall_error* err) { return fields(err).got; }
const char* sidecall_error_message(const sidecall_error* err) { return fields(err).message; }
uint32_t sidecall_error_num_faults(const sidecall_error* err) { return fields(err).num_faults; }

const sidecall_fault* sidecall_error_fault(const sidecall_error* err, uint32_t index) {
  const sidecall_error& of = fields(err);
  const uint32_t held = of.faults == nullptr ? 0 : std::min(of.num_faults, of.faults_capacity);
  return index < held ? of.faults + index : nullptr;
}

sidecall_status sidecall_fault_status(const sidecall_fault* fault) { return fields(fault).status; }
int64_t sidecall_fault_row(const sidecall_fault* fault) { return fields(fault).row; }
const char* sidecall_fault_name(const sidecall_fault* fault) { return fields(fault).name; }
const char* sidecall_fault_expected(const sidecall_fault* fault) { return fields(fault).expected; }
const char* sidecall_fault_got(const sidecall_fault* fault) { return fields(fault).got; }
const char* sidecall_fault_message(const sidecall_fault* fault) { return fields(fault).message; }

size_t sidecall_struct_size(const char* name) {
  struct Size {
    std::string_view name;
    size_t bytes;
  };
  constexpr Size kSizes[] = {
      {"sidecall_column_spec", sizeof(sidecall_column_spec)},
      {"sidecall_completion", sizeof(sidecall_completion)},
      {"sidecall_error", sizeof(sidecall_error)},
      {"sidecall_fault", sizeof(sidecall_fault)},
      {"sidecall_feature_spec", sizeof(sidecall_feature_spec)},
      {"sidecall_log_lines", sizeof(sidecall_log_lines)},
      {"sidecall_model_options", sizeof(sidecall_model_options)},
      {"sidecall_queue_options", sizeof(sidecall_queue_options)},
      {"sidecall_server_options", sizeof(sidecall_server_options)},
      {"sidecall_service", sizeof(sidecall_service)},
      {"sidecall_tensor_spec", sizeof(sidecall_tensor_spec)},
      {"sidecall_text", sizeof(sidecall_text)},
      {"sidecall_value", sizeof(sidecall_value)},
      {"sidecall_view", sizeof(sidecall_view)},
  };
  for (const Size& size : kSizes) {
    if (name != nullptr && size.name == name) return size.bytes;
  }
  return 0;
}

}  // extern "C"
