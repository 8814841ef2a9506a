// grpc.reflection.v1.ServerReflection: describes the services of gRPC to programs such as grpcurl.
#pragma once

#include <memory>

#include "message_stream.h"

namespace sidecall::net {

// ServerReflectionInfo, for both versions of the service, whose messages are the same.
std::unique_ptr<MessageStream> open_reflection();

}  // namespace sidecall::net
