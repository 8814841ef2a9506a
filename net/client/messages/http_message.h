// Writes and reads the messages of the Open Inference Protocol over HTTP: JSON, and tensors in
// binary after it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "message.h"
#include "net/client/transfer/exchange.h"
#include "net/common/error.h"

namespace sidecall::net {

struct HttpBody {
  std::string bytes;
  size_t json_length = 0;  // the rest is binary
};

// Throws UNSUPPORTED for what JSON cannot hold: numbers that are not finite, and 16-bit floats.
HttpBody write_http_request(const InferRequest& request, TensorForm form);

// Data of the answer point into `reply.body`. Throws PROTOCOL.
InferAnswer read_http_answer(const Expected& expected, const Reply& reply, bool has_nulls);

// Both throw PROTOCOL. read_form() reads the metadata of the server itself.
Metadata read_http_metadata(std::string_view body);
TensorForm read_form(std::string_view body);

// Reads the error that a server of sidecall wrote into a body; nullopt if another server wrote it.
std::optional<Error> read_own_error(std::string_view body);

// The text of an error: the member "error" of a JSON object, or else the beginning of the body.
std::string read_error_text(std::string_view body);

}  // namespace sidecall::net
