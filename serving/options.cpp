// Converts options and addresses; see options.h.
#include "options.h"

#include <sys/socket.h>

#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/platform.h"
#include "core/text.h"
#include "engines/shm/engine.h"
#include "network.h"

namespace sidecall {

shm::ServerOptions channel_options(const sidecall_server_options& options, shm::LogFunction log) {
  shm::ServerOptions result;
  if (options.num_threads > 0) result.threads = static_cast<uint32_t>(options.num_threads);
  result.spin_us = options.spin_us;
  result.allowed_uids.assign(options.allow_uids, options.allow_uids + options.num_allow_uids);
  result.group = options.group;
  if (options.max_connections > 0)
    result.max_connections = static_cast<uint32_t>(options.max_connections);
  if (options.max_connections_per_user > 0)
    result.max_connections_per_user = static_cast<uint32_t>(options.max_connections_per_user);
  if (options.max_request_bytes > 0) result.max_request_bytes = options.max_request_bytes;
  if (options.max_response_bytes > 0) result.max_response_bytes = options.max_response_bytes;
  if (options.max_memory_bytes > 0) result.max_memory = options.max_memory_bytes;
  result.max_memory_per_user = options.max_memory_per_user_bytes;
  if (options.timeout_ns > 0) result.timeout_ns = options.timeout_ns;
  if (options.max_run_ns > 0) result.max_run_ns = options.max_run_ns;
  if (options.unready_after_ns > 0) result.unready_after_ns = options.unready_after_ns;
  result.log = std::move(log);
  result.more_status = &network_status;
  return result;
}

std::string address_of(const std::string& at) {
  if (const auto address = shm_address(at)) return std::string(*address);
  throw Error(SIDECALL_INVALID_ARGUMENT, "at: expected shm:NAME or shm:///path, got '" + at + "'");
}

int inherited_control_socket() {
  const char* text = platform::environment("SIDECALL_FD");
  if (text == nullptr)
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "at: expected shm:NAME or shm:///path, got nothing (only a child process that "
                "inherits SIDECALL_FD needs no address)");
  int fd = -1;
  const char* end = text + std::strlen(text);
  const auto parsed = std::from_chars(text, end, fd);
  int type = 0;
  socklen_t length = sizeof type;
  const bool is_number = parsed.ec == std::errc() && parsed.ptr == end && fd > 2;
  if (!is_number || ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 ||
      type != SOCK_SEQPACKET)
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "SIDECALL_FD: expected the number of an inherited SEQPACKET socket, got '" +
                    printable(text) + "'");
  return fd;
}

}  // namespace sidecall
