// sidecall_log_*: checks pointers and forwards to serving/log.h.
#include "serving/log.h"

#include "core/abi/guard.h"
#include "structs.h"

using sidecall::guard;

extern "C" {

void sidecall_log_line(const sidecall_log_lines* lines, int32_t level, const char* json) {
  guard(nullptr, [&] {
    if (lines == nullptr || json == nullptr) return;
    sidecall::log_line(sidecall::read_struct(lines, sidecall::default_log_lines(), "lines"), level,
                       json);
  });
}

void sidecall_log_flush(int64_t timeout_ns) {
  guard(nullptr, [&] { sidecall::flush_lines(timeout_ns); });
}

}  // extern "C"
