// Most of sidecall_supervisor_*: checks pointers and forwards to shm/supervisor/supervisor.h.
#include "shm/supervisor/supervisor.h"

#include <sidecall/server.h>

#include <optional>
#include <utility>

#include "core/abi/guard.h"
#include "core/abi/texts.h"
#include "core/error.h"
#include "engines/shm/errors.h"
#include "server_options.h"
#include "serving/options.h"
#include "supervisor.h"

using sidecall::Error;
using sidecall::guard;
using sidecall::require;
using sidecall::with_core_errors;

struct sidecall_supervisor {
  sidecall_supervisor(std::optional<std::string> address, const sidecall_server_options& options)
      : log(sidecall::make_log(options)),
        supervisor(std::move(address),
                   sidecall::channel_options(options, sidecall::log_function(log))),
        backend(supervisor.direct()) {}

  // Declared first, so that it is destroyed after the supervisor: the destructor of the log waits
  // (0.2 s at most) until all events are written.
  std::shared_ptr<sidecall::ServerLog> log;
  sidecall::shm::Supervisor supervisor;
  sidecall::Backend backend;
};

namespace {

sidecall::shm::Supervisor& use(sidecall_supervisor* supervisor) {
  require(supervisor != nullptr, "supervisor must not be NULL");
  return supervisor->supervisor;
}

}  // namespace

sidecall::Backend& sidecall::backend_of(sidecall_supervisor& supervisor) {
  return supervisor.backend;
}

extern "C" {

sidecall_status sidecall_supervisor_open(const char* at, const sidecall_server_options* options,
                                         sidecall_supervisor** out_supervisor,
                                         sidecall_error* err) {
  if (out_supervisor != nullptr) *out_supervisor = nullptr;
  return guard(err, [&] {
    require(out_supervisor != nullptr, "out_supervisor must not be NULL");
    const sidecall_server_options known = sidecall::checked_options(options);
    std::optional<std::string> address;
    if (at != nullptr) address = sidecall::address_of(at);
    *out_supervisor =
        with_core_errors([&] { return new sidecall_supervisor(std::move(address), known); });
  });
}

sidecall_status sidecall_supervisor_add(sidecall_supervisor* supervisor, int32_t worker,
                                        int32_t* out_fd, sidecall_error* err) {
  if (out_fd != nullptr) *out_fd = -1;
  return guard(err, [&] {
    require(out_fd != nullptr, "out_fd must not be NULL");
    require(worker >= 0, "worker: expected 0 or more, got less");
    *out_fd = with_core_errors([&] { return use(supervisor).add(worker).release(); });
  });
}

void sidecall_supervisor_remove(sidecall_supervisor* supervisor, int32_t worker) {
  if (supervisor != nullptr) supervisor->supervisor.remove(worker);
}

int32_t sidecall_supervisor_num_ready(const sidecall_supervisor* supervisor) {
  return supervisor == nullptr ? 0 : supervisor->supervisor.num_ready();
}

int32_t sidecall_supervisor_hung(sidecall_supervisor* supervisor) {
  return supervisor == nullptr ? -1 : supervisor->supervisor.hung();
}

int32_t sidecall_supervisor_was_ready(const sidecall_supervisor* supervisor, int32_t worker) {
  return supervisor != nullptr && supervisor->supervisor.was_ready(worker) ? 1 : 0;
}

int32_t sidecall_supervisor_long_runs(sidecall_supervisor* supervisor, int64_t* out_run_ns,
                                      int32_t* out_num_late, int64_t* out_next_ns) {
  sidecall::shm::Supervisor::LongRuns runs;
  if (supervisor != nullptr) runs = supervisor->supervisor.long_runs();
  if (out_run_ns != nullptr) *out_run_ns = runs.overran_ns;
  if (out_num_late != nullptr) *out_num_late = runs.num_late;
  if (out_next_ns != nullptr) *out_next_ns = runs.next_ns;
  return runs.overran;
}

sidecall_status sidecall_supervisor_listen(sidecall_supervisor* supervisor, int64_t wait_ns,
                                           sidecall_error* err) {
  return guard(err, [&] {
    require(wait_ns >= -1, "wait_ns: expected 0 or more, or -1, got less");
    const bool listens = with_core_errors(
        [&] { return use(supervisor).listen(sidecall::shm::Deadline::after(wait_ns)); });
    if (!listens) throw Error(SIDECALL_TIMEOUT, "no worker is ready yet");
  });
}

sidecall_status sidecall_supervisor_status(sidecall_supervisor* supervisor, sidecall_text** out,
                                           sidecall_error* err) {
  if (out != nullptr) *out = nullptr;
  return guard(err, [&] {
    require(out != nullptr, "out must not be NULL");
    *out = with_core_errors([&] { return sidecall::make_text(use(supervisor).status()); });
  });
}

void sidecall_supervisor_close(sidecall_supervisor* supervisor) { delete supervisor; }

}  // extern "C"
