// grpc.health.v1.Health: tells whether the server takes requests; used by the routes of gRPC.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "message_stream.h"
#include "net/server/router.h"

namespace sidecall::net {

// The answer of Check, a HealthCheckResponse; "" if the server does not know the service that the
// request names. Known are "", the inference service and the name of the model. Throws PROTOCOL.
std::string check_health(const ServerContext& server, std::string_view request);
// Watch: sends the state at once and whenever it has changed.
std::unique_ptr<MessageStream> watch_health(const ServerContext& server);

}  // namespace sidecall::net
