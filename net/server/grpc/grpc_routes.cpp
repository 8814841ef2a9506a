// The methods of inference.GRPCInferenceService and grpc.health.v1.Health; see router.h.
#include <sidecall/sidecall.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <protozero/pbf_writer.hpp>
#include <string_view>
#include <utility>

#include "base/text/percent.h"
#include "base/text/utf8.h"
#include "health.h"
#include "net/common/datatype.h"
#include "net/common/grpc_fields.h"
#include "net/common/grpc_tensor.h"
#include "net/common/keys.h"
#include "net/common/status.h"
#include "net/server/deadline.h"
#include "net/server/request_memory.h"
#include "net/server/router.h"
#include "reflection.h"

namespace sidecall::net {
namespace {

using protozero::pbf_reader;
using protozero::pbf_writer;

constexpr std::string_view kService = "/inference.GRPCInferenceService/";
constexpr std::string_view kHealthCheck = "/grpc.health.v1.Health/Check";
constexpr std::string_view kHealthWatch = "/grpc.health.v1.Health/Watch";
constexpr std::string_view kReflections[] = {
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"};
// gRPC sends messages percent-encoded, except for these characters and letters and digits.
constexpr std::string_view kPlainInMessage = " !\"#$&'()*+,/:;<=>?@[\\]^`{|}";

std::string_view method_of(std::string_view target) {
  return target.substr(0, kService.size()) == kService ? target.substr(kService.size())
                                                       : std::string_view();
}

bool is_reflection(std::string_view target) {
  return std::find(std::begin(kReflections), std::end(kReflections), target) !=
         std::end(kReflections);
}

std::string base64(std::string_view bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    for (size_t k = 0; k < 3; ++k)
      group = group << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (size_t k = 0; k <= count; ++k) out.push_back(kDigits[group >> (18 - 6 * k) & 63]);
  }
  return out;  // gRPC allows to leave the padding out
}

Response grpc_answer(const std::string& message) {
  Response response;
  response.headers.emplace_back("content-type", "application/grpc");
  response.body = frame(message);
  response.trailers.emplace_back("grpc-status", "0");
  return response;
}

// The name and the version in a request that names a model.
std::pair<std::string, std::string> read_model(std::string_view message) {
  return reading("request", [&] {
    return reading_protobuf([&] {
      std::pair<std::string, std::string> model;
      pbf_reader reader = reader_of(message);
      while (reader.next()) {
        if (reader.tag() == grpc::kModelName) model.first = read_text(&reader);
        else if (reader.tag() == grpc::kModelVersion) model.second = read_text(&reader);
        else reader.skip();
      }
      return model;
    });
  });
}

std::string_view body_of(const Request& request) {
  return reading("request", [&] { return unframe(request.body); });
}

// Whether the messages of a request are compressed, which this server does not take.
bool is_compressed(const Request& request) {
  const std::string& encoding = request.header("grpc-encoding");
  return !encoding.empty() && encoding != "identity";
}

Response no_compression() {
  Response response = grpc_error(kGrpcUnimplemented, "expected messages without compression");
  response.headers.emplace_back("grpc-accept-encoding", "identity");
  return response;
}

bool is_model(const ServerContext& server, const std::string& name, const std::string& version) {
  const ModelNames names = server.names();
  return name == names.name && (version.empty() || version == names.version);
}

Response unknown_model(const ServerContext& server) {
  return grpc_error(kGrpcNotFound, server.unknown_model());
}

Response flag_answer(uint32_t field, bool flag) {
  std::string message;
  pbf_writer writer(message);
  writer.add_bool(field, flag);
  return grpc_answer(message);
}

void add_specs(uint32_t field, const sidecall_net_tensor* tensors, size_t count,
               pbf_writer* writer) {
  for (size_t i = 0; i < count; ++i) {
    const char* const datatype = datatype_name(tensors[i].dtype);
    pbf_writer tensor(*writer, field);
    tensor.add_string(grpc::kTensorName, tensors[i].name);
    tensor.add_string(grpc::kTensorDatatype, datatype == nullptr ? "" : datatype);
    tensor.add_packed_int64(grpc::kTensorShape, tensors[i].dims, tensors[i].dims + tensors[i].rank);
  }
}

void add_property(const char* key, const std::string& value, pbf_writer* writer) {
  pbf_writer entry(*writer, grpc::kMetadataProperties);
  entry.add_string(grpc::kKey, key);
  entry.add_string(grpc::kValue, value);
}

Response model_metadata(const ServerContext& server) {
  const ModelNames names = server.names();
  std::string message;
  pbf_writer writer(message);
  writer.add_string(grpc::kMetadataName, names.name);
  writer.add_string(grpc::kMetadataVersions, names.version);
  writer.add_string(grpc::kMetadataPlatform, "sidecall");
  add_specs(grpc::kMetadataInputs, server.service.inputs, server.service.num_inputs, &writer);
  add_specs(grpc::kMetadataOutputs, server.service.outputs, server.service.num_outputs, &writer);
  if (server.service.contract != nullptr)
    add_property(kContractKey, server.service.contract, &writer);
  if (!names.id.empty()) add_property(kModelIdKey, names.id, &writer);
  if (server.service.is_verified != 0) add_property(kGoldenRowsKey, "passed", &writer);
  add_property(kRepeatableKey, server.is_repeatable() ? "yes" : "no", &writer);
  return grpc_answer(message);
}

Response server_metadata() {
  std::string message;
  pbf_writer writer(message);
  writer.add_string(grpc::kServerName, "sidecall");
  writer.add_string(grpc::kServerVersion, SIDECALL_NET_VERSION);
  for (const char* const extension : {"sidecall.contract/1", "sidecall.timeout/1"})
    writer.add_string(grpc::kServerExtensions, extension);
  return grpc_answer(message);
}

Response health(const ServerContext& server, std::string_view message) {
  const std::string status = check_health(server, message);
  if (!status.empty()) return grpc_answer(status);
  return grpc_error(kGrpcNotFound, std::string("service: this server has only '', '") +
                                       grpc::kInferenceService + "' or '" + server.name + "'");
}

}  // namespace

Response grpc_error(int code, const std::string& message) {
  Response response;
  response.grpc_status = code;
  response.headers.emplace_back("content-type", "application/grpc");
  response.trailers.emplace_back("grpc-status", std::to_string(code));
  // Clients take few bytes of trailers.
  constexpr size_t kMaxMessage = 1023;
  const std::string_view text =
      std::string_view(message).substr(0, cut_length(message, kMaxMessage));
  if (!text.empty())
    response.trailers.emplace_back("grpc-message", percent_encode(text, kPlainInMessage));
  return response;
}

Response grpc_failure(const Failure& failure, bool is_repeatable) {
  const StatusCodes& codes = codes_of(failure.status);
  // Clients and gateways send a call again that ended with UNAVAILABLE.
  const bool may_have_run = failure.status == SIDECALL_PEER_DIED && !is_repeatable;
  Response response = grpc_error(may_have_run ? kGrpcUnknown : codes.grpc, failure.message);
  response.trailers.emplace_back(kStatusTrailer, codes.name);
  if (!failure.faults.empty())
    response.trailers.emplace_back(kFaultsTrailer, base64("{" + failure.faults + "}"));
  return response;
}

Route grpc_route(const std::string& target) {
  if (target == kHealthCheck || target == kHealthWatch) return Route::kHealth;
  if (is_reflection(target)) return Route::kMetadata;
  const std::string_view method = method_of(target);
  if (method == "ModelInfer") return Route::kInfer;
  if (method == "ServerLive" || method == "ServerReady" || method == "ModelReady")
    return Route::kHealth;
  if (method == "ServerMetadata" || method == "ModelMetadata") return Route::kMetadata;
  return Route::kOther;
}

bool is_open_grpc(const std::string& target) {
  const std::string_view method = method_of(target);
  return method == "ServerLive" || method == "ServerReady" || target == kHealthCheck;
}

// Refuses at once what this server does not have. A client that streams messages may wait for an
// answer before it sends the next one.
std::optional<Response> Router::refuse_grpc(const Request& request) {
  const bool is_grpc = request.header("content-type").rfind("application/grpc", 0) == 0;
  if (request.method != "POST" || !is_grpc)
    return refusal(415, "expected a request of gRPC: POST with the type application/grpc");
  if (is_compressed(request)) return no_compression();
  if (grpc_route(request.target) == Route::kOther)
    return grpc_error(kGrpcUnimplemented,
                      "this server does not have the method; net/PROTOCOL.md lists its methods");
  return std::nullopt;
}

bool Router::has_messages(const Request& request) const {
  return is_grpc() && (request.target == kHealthWatch || is_reflection(request.target));
}

std::unique_ptr<MessageStream> Router::open_messages(const Request& request) {
  record(request, grpc_route(request.target), Response());
  return request.target == kHealthWatch ? watch_health(server_) : open_reflection();
}

// Answers a method that refuse_grpc() accepts and that starts no run.
Response Router::answer_grpc(const Request& request) {
  const std::string_view method = method_of(request.target);
  try {
    if (request.target == kHealthCheck) return health(server_, body_of(request));
    if (method == "ServerLive") return flag_answer(grpc::kReady, true);
    if (method == "ServerReady") return flag_answer(grpc::kReady, server_.is_ready());
    if (method == "ServerMetadata") return server_metadata();
    const auto [name, version] = read_model(body_of(request));
    if (!is_model(server_, name, version)) return unknown_model(server_);
    return method == "ModelReady" ? flag_answer(grpc::kReady, server_.is_ready())
                                  : model_metadata(server_);
  } catch (const Error& error) {
    return grpc_failure({error.status(), error.what(), ""}, true);
  }
}

void Router::run_grpc(Request&& request, Responder* responder) {
  Runs::Order order;
  try {
    order.deadline = grpc_deadline(request, server_.options.timeout_ns);
  } catch (const Error& error) {
    return finish(request, Route::kInfer, grpc_failure({error.status(), error.what(), ""}, true),
                  responder);
  }
  auto shared = std::make_shared<Request>(std::move(request));
  auto plan = std::make_shared<InferPlan>();
  order.request_bytes = shared->body.size();
  order.memory = make_memory();
  order.set_inputs = [this, shared, plan, memory = order.memory](auto* call) {
    require_memory(memory.get(), memory_for_grpc(body_of(*shared), model_.service()));
    *plan = read_grpc_infer(body_of(*shared), model_.service());
    plan->is_other_model = !is_model(server_, plan->model, plan->version);
    if (plan->is_other_model) throw Error(SIDECALL_INVALID_ARGUMENT, "another model");
    model_.set_tensors(call, plan->inputs);
  };
  order.answer = [this, shared, plan](sidecall_call* call) {
    const std::vector<sidecall_net_tensor> outputs = model_.outputs_of(call);
    Response response =
        grpc_answer(write_grpc_answer(*plan, {outputs.data(), outputs.size(), ""}, server_.names(),
                                      server_.options.max_response_bytes));
    record(*shared, Route::kInfer, response);
    return response;
  };
  order.fail = [this, shared, plan](const Failure& failure) {
    Response response = plan->is_other_model ? unknown_model(server_)
                                             : grpc_failure(failure, server_.is_repeatable());
    record(*shared, Route::kInfer, response);
    return response;
  };
  runs_.begin(responder, std::move(order));
}

}  // namespace sidecall::net
