// The methods of inference.GRPCInferenceService and grpc.health.v1.Health; see router.h.
#include <sidecall/sidecall.h>

#include <algorithm>
#include <memory>
#include <protozero/pbf_writer.hpp>
#include <string_view>
#include <utility>

#include "base/http_status.h"
#include "base/percent.h"
#include "base/utf8.h"
#include "net/common/datatype.h"
#include "net/common/grpc_fields.h"
#include "net/common/grpc_tensor.h"
#include "net/common/keys.h"
#include "net/common/status.h"
#include "request_memory.h"
#include "router.h"

namespace sidecall::net {
namespace {

using protozero::pbf_reader;
using protozero::pbf_writer;

constexpr std::string_view kService = "/inference.GRPCInferenceService/";
constexpr std::string_view kHealthCheck = "/grpc.health.v1.Health/Check";
// gRPC sends messages percent-encoded, except for these characters and letters and digits.
constexpr std::string_view kPlainInMessage = " !\"#$&'()*+,/:;<=>?@[\\]^`{|}";
constexpr auto kLongestRun = std::chrono::hours(24);

std::string_view method_of(std::string_view target) {
  return target.substr(0, kService.size()) == kService ? target.substr(kService.size())
                                                       : std::string_view();
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

// The time that the client gives the call: digits and a unit.
Clock::time_point deadline_of(const Request& request) {
  const std::string& text = request.header("grpc-timeout");
  const Clock::time_point longest = request.begun + kLongestRun;
  constexpr size_t kMaxDigits = 8;
  if (text.size() < 2 || text.size() > kMaxDigits + 1) return longest;
  int64_t amount = 0;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return longest;
    amount = amount * 10 + (c - '0');
  }
  int64_t unit_ns = 0;
  switch (text.back()) {
    case 'H':
      return longest;
    case 'M':
      unit_ns = INT64_C(60000000000);
      break;
    case 'S':
      unit_ns = 1000000000;
      break;
    case 'm':
      unit_ns = 1000000;
      break;
    case 'u':
      unit_ns = 1000;
      break;
    case 'n':
      unit_ns = 1;
      break;
    default:
      return longest;
  }
  const int64_t longest_ns = std::chrono::nanoseconds(kLongestRun).count();
  const int64_t ns = amount > longest_ns / unit_ns ? longest_ns : amount * unit_ns;
  return request.begun + std::chrono::nanoseconds(ns);
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

bool is_model(const Site& site, const std::string& name, const std::string& version) {
  const ModelNames names = site.names();
  return name == names.name && (version.empty() || version == names.version);
}

Response unknown_model(const Site& site) { return grpc_error(kGrpcNotFound, site.unknown_model()); }

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

Response model_metadata(const Site& site) {
  const ModelNames names = site.names();
  std::string message;
  pbf_writer writer(message);
  writer.add_string(grpc::kMetadataName, names.name);
  if (!names.version.empty()) writer.add_string(grpc::kMetadataVersions, names.version);
  writer.add_string(grpc::kMetadataPlatform, "sidecall");
  add_specs(grpc::kMetadataInputs, site.service.inputs, site.service.num_inputs, &writer);
  add_specs(grpc::kMetadataOutputs, site.service.outputs, site.service.num_outputs, &writer);
  if (site.service.contract != nullptr) add_property(kContractKey, site.service.contract, &writer);
  if (!names.id.empty()) add_property(kModelIdKey, names.id, &writer);
  if (site.service.is_verified != 0) add_property(kGoldenRowsKey, "passed", &writer);
  add_property(kRepeatableKey, site.is_repeatable() ? "yes" : "no", &writer);
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

Response health(const Request& request, bool is_ready) {
  constexpr uint32_t kStatus = 1;
  constexpr int32_t kServing = 1, kNotServing = 2;
  static_cast<void>(body_of(request));
  std::string message;
  pbf_writer writer(message);
  writer.add_enum(kStatus, is_ready ? kServing : kNotServing);
  return grpc_answer(message);
}

}  // namespace

Response grpc_error(int code, const std::string& message) {
  Response response;
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
  if (target == kHealthCheck) return Route::kHealth;
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

Response Router::answer_grpc(const Request& request) {
  const std::string_view method = method_of(request.target);
  const bool is_ready = site_.is_ready();
  try {
    if (request.method != "POST" ||
        request.header("content-type").rfind("application/grpc", 0) != 0)
      return refusal(415, "expected a request of gRPC, got another one");
    if (is_compressed(request)) return no_compression();
    if (request.target == kHealthCheck) return health(request, is_ready);
    if (method == "ServerLive") return flag_answer(grpc::kReady, true);
    if (method == "ServerReady") return flag_answer(grpc::kReady, is_ready);
    if (method == "ServerMetadata") return server_metadata();
    if (method == "ModelReady" || method == "ModelMetadata") {
      const auto [name, version] = read_model(body_of(request));
      if (!is_model(site_, name, version)) return unknown_model(site_);
      return method == "ModelReady" ? flag_answer(grpc::kReady, is_ready) : model_metadata(site_);
    }
  } catch (const Error& error) {
    return grpc_failure({error.status(), error.what(), ""}, true);
  }
  return grpc_error(kGrpcUnimplemented, "expected a method of the Open Inference Protocol");
}

void Router::run_grpc(Request&& request, Responder* responder) {
  if (request.header("content-type").rfind("application/grpc", 0) != 0)
    return finish(request, Route::kInfer, refusal(415, "expected a request of gRPC"), responder);
  if (is_compressed(request)) return finish(request, Route::kInfer, no_compression(), responder);
  auto shared = std::make_shared<Request>(std::move(request));
  auto plan = std::make_shared<InferPlan>();
  const sidecall_net_service& service = site_.service;
  Runs::Order order;
  order.deadline = deadline_of(*shared);
  order.request_bytes = shared->body.size();
  order.memory = make_memory();
  order.give = [this, shared, plan, memory = order.memory, &service](auto* call) {
    require_memory(memory.get(), memory_for_grpc(body_of(*shared), service));
    *plan = read_grpc_infer(body_of(*shared), service);
    plan->is_other_model = !is_model(site_, plan->model, plan->version);
    if (plan->is_other_model) throw Error(SIDECALL_INVALID_ARGUMENT, "another model");
    give_tensors(service, call, *plan);
  };
  // gRPC answers with the HTTP status 200 always; the one of the outcome is counted.
  order.answer = [this, shared, plan, &service](sidecall_service_call* call) {
    sidecall_net_error error{};
    sidecall_net_tensors outputs{};
    check_call(service, call, service.outputs_of(call, &outputs, &error), error);
    Response response = grpc_answer(
        write_grpc_answer(*plan, outputs, site_.names(), site_.options.max_response_bytes));
    record(*shared, Route::kInfer, response.status);
    return response;
  };
  order.fail = [this, shared, plan](const Failure& failure) {
    constexpr int kNotFound = 404;
    record(*shared, Route::kInfer,
           plan->is_other_model ? kNotFound : http_status_of(failure.status));
    return plan->is_other_model ? unknown_model(site_)
                                : grpc_failure(failure, site_.is_repeatable());
  };
  runs_.begin(responder, std::move(order));
}

}  // namespace sidecall::net
