// A request as the server's connections read it, and the response that they write. Both are the
// same for HTTP/1.1 and HTTP/2.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace sidecall::net {

using Clock = std::chrono::steady_clock;
using Fields = std::vector<std::pair<std::string, std::string>>;  // names in lower case

struct Request {
  std::string method;
  std::string target;  // the path with the query, as it was sent
  std::string host;    // of the header Host, or of :authority
  Fields headers;
  std::string body;
  bool is_http_1_0 = false;
  Clock::time_point begun;  // when its last byte had arrived

  // The value of a header; "" if it is absent. The first one counts.
  const std::string& header(const char* name) const {
    static const std::string none;
    for (const auto& [known, value] : headers) {
      if (known == name) return value;
    }
    return none;
  }
};

struct Response {
  int status = 200;
  int grpc_status = 0;  // of an answer over gRPC
  Fields headers;       // without Content-Length
  Fields trailers;
  std::string body;
  bool must_close = false;  // the connection ends with this response
};

// Where the response to one request goes. Connections implement it.
class Responder {
 public:
  Responder() = default;
  Responder(const Responder&) = delete;
  Responder& operator=(const Responder&) = delete;
  virtual ~Responder() = default;

  // Called once, by the thread of the connection. May destroy the responder.
  virtual void respond(Response response) = 0;
  // Instead of that, or after it has thrown: the request gets no response, so its connection ends.
  virtual void give_up() noexcept = 0;
};

}  // namespace sidecall::net
