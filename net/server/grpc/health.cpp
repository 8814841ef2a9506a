// Answers the health checks of gRPC; see health.h.
#include "health.h"

#include <sidecall/sidecall.h>

#include <protozero/pbf_writer.hpp>

#include "net/common/error.h"
#include "net/common/grpc_tensor.h"

namespace sidecall::net {
namespace {

// grpc.health.v1.HealthCheckResponse.ServingStatus
enum ServingStatus : int32_t { kUnset = 0, kServing = 1, kNotServing = 2, kServiceUnknown = 3 };

std::string read_service(std::string_view message) {
  constexpr uint32_t kService = 1;
  return reading("request", [&] {
    return reading_protobuf([&] {
      std::string service;
      protozero::pbf_reader reader = reader_of(message);
      while (reader.next()) {
        if (reader.tag() == kService) service = read_text(&reader);
        else reader.skip();
      }
      return service;
    });
  });
}

ServingStatus status_of(const ServerContext& server, const std::string& service) {
  const bool is_known =
      service.empty() || service == grpc::kInferenceService || service == server.name;
  if (!is_known) return kServiceUnknown;
  return server.is_ready() ? kServing : kNotServing;
}

std::string write_status(ServingStatus status) {
  constexpr uint32_t kStatus = 1;
  std::string message;
  protozero::pbf_writer writer(message);
  writer.add_enum(kStatus, status);
  return message;
}

class Watch final : public MessageStream {
 public:
  explicit Watch(const ServerContext& server) : server_(server) {}

  std::string receive(std::string_view message) override {
    if (told_ != kUnset)
      throw Error(SIDECALL_PROTOCOL, "request: expected one message, got several");
    service_ = read_service(message);
    return tell();
  }
  bool finish() override {
    if (told_ == kUnset) throw Error(SIDECALL_PROTOCOL, "request: expected a message, got none");
    return false;
  }
  std::string update() override { return told_ == kUnset ? "" : tell(); }

 private:
  std::string tell() {
    const ServingStatus status = status_of(server_, service_);
    if (status == told_) return {};
    told_ = status;
    return frame(write_status(status));
  }

  const ServerContext& server_;
  std::string service_;
  ServingStatus told_ = kUnset;
};

}  // namespace

std::string check_health(const ServerContext& server, std::string_view request) {
  const ServingStatus status = status_of(server, read_service(request));
  return status == kServiceUnknown ? "" : write_status(status);
}

std::unique_ptr<MessageStream> watch_health(const ServerContext& server) {
  return std::make_unique<Watch>(server);
}

}  // namespace sidecall::net
