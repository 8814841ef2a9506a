// Decides what answers a request: text about the server and the model, or a run. One of them serves
// all connections of a thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "held_memory.h"
#include "infer.h"
#include "message.h"
#include "metrics.h"
#include "net/api/serving.h"
#include "net/server/connection/byte_stream.h"
#include "net/server/credentials/access.h"
#include "net/server/credentials/tokens.h"
#include "net/server/grpc/message_stream.h"
#include "runs.h"
#include "served_model.h"
#include "workers.h"

namespace sidecall::net {

// What all threads of a server share.
struct ServerContext {
  ServerAddress address;
  sidecall_net_service service;
  sidecall_net_server_options options;
  Metrics metrics;
  Workers workers;
  Workers handshakers;
  const std::unique_ptr<Tokens> tokens;   // nullptr if clients need none
  const std::unique_ptr<TlsContext> tls;  // nullptr without TLS
  const AccessCheck access;
  std::string name;   // of the model in paths
  std::string label;  // the address with the port that the system has chosen
  std::atomic<bool> is_draining{false};

  ServerContext(ServerAddress given, const sidecall_net_service& served,
                const sidecall_net_server_options& limits);
  ~ServerContext();
  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;
  ModelNames names() const;
  std::string unknown_model() const;  // the text of the refusal of another name or version
  bool is_ready() const;
  bool is_stalled() const;  // runs that this process executes wait, and none has ended for long
  bool is_repeatable() const { return address.is_repeatable || service.is_repeatable != 0; }
  void set_label(std::string text);  // another server may write metrics meanwhile
};

class Router {
 public:
  Router(ServerContext* server, Poller* poller);

  // Checks a request before its body is there. Returns the response that refuses it.
  std::optional<Response> refuse(const Request& request);
  // How many bytes the body of a request may have. Only runs need more than a few.
  uint64_t max_body_bytes(const Request& request) const;
  // Whether the request is for a method of gRPC with a stream of messages. Then the session opens
  // the stream and answers the request itself.
  bool has_messages(const Request& request) const;
  std::unique_ptr<MessageStream> open_messages(const Request& request);
  // Responds exactly once, possibly before it returns. The request is used up.
  void handle(Request&& request, Responder* responder);
  // The responder is about to be destroyed.
  void abandon(Responder* responder) noexcept { runs_.abandon(responder); }

  bool is_grpc() const { return server_.address.is_grpc; }

 private:
  std::optional<Response> check_access(const Request& request);
  // http_routes.cpp
  Response answer_http(const Request& request, Route route);
  void run_http(Request&& request, Route route, Responder* responder);
  // grpc_routes.cpp
  static std::optional<Response> refuse_grpc(const Request& request);
  Response answer_grpc(const Request& request);
  void run_grpc(Request&& request, Responder* responder);

  // Counts the memory that is needed to read requests for runs, until it is destroyed.
  std::shared_ptr<HeldMemory> make_memory() {
    return std::make_shared<HeldMemory>(&server_.metrics, server_.options.max_memory_bytes);
  }
  void finish(const Request& request, Route route, Response response, Responder* responder);
  // Counts a request and its response, and logs them.
  void record(const Request& request, Route route, const Response& response);

  ServerContext& server_;
  const ServedModel model_;
  Runs runs_;
};

// http_routes.cpp
Route http_route(const std::string& target);
bool is_open_http(const std::string& target);  // needs no token
Response http_error(const Failure& failure);
Response text_response(int status, const char* type, std::string body);
Response refusal(int status, const std::string& message);

// grpc_routes.cpp
Route grpc_route(const std::string& target);
bool is_open_grpc(const std::string& target);
Response grpc_error(int code, const std::string& message);
// `is_repeatable`: a run that may have been executed may be sent again.
Response grpc_failure(const Failure& failure, bool is_repeatable);

// The status of HTTP for the outcome of a request, also over gRPC, where all answers have 200.
int outcome_of(const Response& response);

// Counts `bytes`. Throws OUT_OF_MEMORY if all clients together would hold more than they may.
void require_memory(HeldMemory* memory, uint64_t bytes);

// The description of the HTTP interface (openapi.cpp).
std::string openapi(const ServerContext& server);
// The metrics of all servers of this process.
std::string all_metrics();

}  // namespace sidecall::net
