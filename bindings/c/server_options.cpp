// Checks of server options; see server_options.h.
#include "server_options.h"

#include <string>
#include <utility>

#include "core/abi/guard.h"
#include "core/abi/handles.h"
#include "event.h"
#include "structs.h"

namespace sidecall {
namespace {

void require_number(bool is_allowed, const char* expected, int64_t got) {
  if (!is_allowed)
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "options." + std::string(expected) + ", got " + std::to_string(got));
}

}  // namespace

sidecall_server_options checked_options(const sidecall_server_options* options) {
  const sidecall_server_options defaults = default_server_options();
  if (options == nullptr) return defaults;
  const sidecall_server_options known = read_struct(options, defaults, "options");
  require_number(known.num_threads >= 0 && known.num_threads <= 1024,
                 "num_threads: expected 0 to 1024", known.num_threads);
  require_number(
      known.copy_inputs == SIDECALL_COPY_AUTO || known.copy_inputs == SIDECALL_COPY_ALWAYS,
      "copy_inputs: expected a SIDECALL_COPY_* value", known.copy_inputs);
  require(known.spin_us >= -1, "options.spin_us: expected 0 or more, or -1, got less");
  require(known.num_allow_uids >= 0, "options.num_allow_uids: expected 0 or more, got less");
  require(known.num_allow_uids == 0 || known.allow_uids != nullptr,
          "options.allow_uids: expected num_allow_uids numbers, got none");
  require(known.max_connections >= 0, "options.max_connections: expected 0 or more, got less");
  require(known.max_connections_per_user >= 0,
          "options.max_connections_per_user: expected 0 or more, got less");
  require_number(known.group >= -1 && known.group <= INT64_C(0xffffffff),
                 "group: expected the number of a group, or -1", known.group);
  require(known.drain_ns >= 0, "options.drain_ns: expected 0 or more, got less");
  require(known.timeout_ns >= 0, "options.timeout_ns: expected 0 or more, got less");
  require(known.max_run_ns >= 0, "options.max_run_ns: expected 0 or more, got less");
  require(known.unready_after_ns >= 0, "options.unready_after_ns: expected 0 or more, got less");
  require_number(known.start_later == 0 || known.start_later == 1, "start_later: expected 0 or 1",
                 known.start_later);
  require_number(known.events_level >= 0 && known.events_level <= 3,
                 "events_level: expected 0 to 3", known.events_level);
  return known;
}

std::shared_ptr<ServerLog> make_log(const sidecall_server_options& options) {
  auto log = std::make_shared<ServerLog>();
  if (options.log != nullptr)
    log->write_lines(read_struct(options.log, default_log_lines(), "log"));
  if (options.events != nullptr)
    log->pass_on(
        [queue = options.events->queue, tag = options.events_tag](std::string&& text) {
          return queue->post(std::make_unique<Event>(tag, std::move(text)));
        },
        options.events_level);
  return log;
}

}  // namespace sidecall
