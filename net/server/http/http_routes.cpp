// The routes over HTTP; see router.h.
#include <sidecall/sidecall.h>
#include <strings.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "base/http_status.h"
#include "base/json/json_text.h"
#include "base/text/media_type.h"
#include "base/text/percent.h"
#include "net/common/datatype.h"
#include "net/common/keys.h"
#include "net/common/status.h"
#include "net/server/deadline.h"
#include "net/server/request_memory.h"
#include "net/server/router.h"
#include "page.h"

namespace sidecall::net {
namespace {

constexpr std::string_view kModels = "/v2/models/";

// The path of a request. /v2/ is the path of /v2 in the protocol's OpenAPI document.
std::string_view path_of(std::string_view target) {
  const std::string_view path = target.substr(0, target.find('?'));
  return path == "/v2/" ? "/v2" : path;
}

// The parts of a path of a model: /v2/models/MODEL[/versions/VERSION][/ACTION].
struct ModelPath {
  std::string model, version;
  std::string_view action;
  bool is_valid = false;
};

ModelPath model_path(std::string_view path) {
  ModelPath parts;
  if (path.substr(0, kModels.size()) != kModels) return parts;
  path.remove_prefix(kModels.size());
  const auto take = [&path] {
    const std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(part.size() + 1, path.size()));
    return part;
  };
  parts.model = percent_decode(take());
  std::string_view next = take();
  if (next == "versions") {
    parts.version = percent_decode(take());
    next = take();
  }
  parts.action = next;
  parts.is_valid = path.empty();
  return parts;
}

void append_specs(const char* key, const sidecall_net_tensor* tensors, size_t count,
                  std::string* out) {
  out->append(",\"").append(key).append("\":[");
  for (size_t i = 0; i < count; ++i) {
    const char* const datatype = datatype_name(tensors[i].dtype);
    out->append(i == 0 ? "{\"name\":" : ",{\"name\":");
    append_json_string(tensors[i].name, out);
    out->append(",\"datatype\":\"").append(datatype == nullptr ? "" : datatype);
    out->append("\",\"shape\":[");
    for (int32_t k = 0; k < tensors[i].rank; ++k)
      out->append((k == 0 ? "" : ",") + std::to_string(tensors[i].dims[k]));
    out->append("]}");
  }
  out->push_back(']');
}

std::string metadata(const ServerContext& server) {
  const ModelNames names = server.names();
  std::string out = "{\"name\":";
  append_json_string(names.name, &out);
  out.append(",\"versions\":[");
  append_json_string(names.version, &out);
  out.append("],\"platform\":\"sidecall\"");
  append_specs("inputs", server.service.inputs, server.service.num_inputs, &out);
  append_specs("outputs", server.service.outputs, server.service.num_outputs, &out);
  out.append(",\"properties\":{");
  const auto add = [&out](const char* key, const std::string& value) {
    out.append(out.back() == '{' ? "\"" : ",\"").append(key).append("\":");
    append_json_string(value, &out);
  };
  if (server.service.contract != nullptr) add(kContractKey, server.service.contract);
  if (!names.id.empty()) add(kModelIdKey, names.id);
  if (server.service.is_verified != 0) add(kGoldenRowsKey, "passed");
  add(kRepeatableKey, server.is_repeatable() ? "yes" : "no");
  return out + "}}";
}

Response json_response(std::string body) {
  return text_response(200, "application/json", std::move(body));
}

// A page of another site can only send certain types of content without asking the server first.
bool has_safe_type(const Request& request, Route route) {
  const std::string& type = request.header("content-type");
  if (is_media_type(type, "application/json")) return true;
  // Clients of Triton send no type.
  return route == Route::kInfer &&
         (is_media_type(type, "application/octet-stream") || is_media_type(type, ""));
}

// Whether the body of a request is encoded, for example compressed.
bool is_encoded(const Request& request) {
  return std::any_of(request.headers.begin(), request.headers.end(), [](const auto& header) {
    constexpr const char* kPlain = "identity";
    return header.first == "content-encoding" && !header.second.empty() &&
           ::strcasecmp(header.second.c_str(), kPlain) != 0;
  });
}

Response no_encoding() {
  Response response = refusal(415,
                              "header Content-Encoding: this server takes no compressed bodies; "
                              "send the body as it is, without the header");
  response.headers.emplace_back("accept-encoding", "identity");
  return response;
}

}  // namespace

Response text_response(int status, const char* type, std::string body) {
  Response response;
  response.status = status;
  response.headers.emplace_back("content-type", type);
  response.headers.emplace_back("x-content-type-options", "nosniff");
  response.body = std::move(body);
  return response;
}

Response http_error(const Failure& failure) {
  const int status = http_status_of(failure.status);
  std::string body = "{\"error\":";
  append_json_string(failure.message, &body);
  body.append(",\"status\":\"").append(codes_of(failure.status).name).append("\"");
  if (!failure.faults.empty()) body.append(",").append(failure.faults);
  Response response = text_response(status, "application/json", body + "}");
  if (status == 503) response.headers.emplace_back("retry-after", "1");
  return response;
}

Response refusal(int status, const std::string& message) {
  std::string body = "{\"error\":";
  append_json_string(message, &body);
  return text_response(status, "application/json", body + "}");
}

Route http_route(const std::string& target) {
  const std::string_view path = path_of(target);
  if (path == "/v2/health/live" || path == "/v2/health/ready") return Route::kHealth;
  if (path == "/metrics") return Route::kMetrics;
  if (path == "/v2" || path == "/v2/models") return Route::kMetadata;
  const ModelPath parts = model_path(path);
  if (!parts.is_valid) return Route::kOther;
  if (parts.action == "infer") return Route::kInfer;
  if (parts.action == "predict") return Route::kPredict;
  if (parts.action == "ready") return Route::kHealth;
  return parts.action.empty() ? Route::kMetadata : Route::kOther;
}

bool is_open_http(const std::string& target) {
  const std::string_view path = path_of(target);
  if (path == "/v2/health/live" || path == "/v2/health/ready") return true;
  // The page itself tells nothing about the model. It asks for a token and sends it with fetch.
  return find_page_file(path) != nullptr;
}

Response Router::answer_http(const Request& request, Route route) {
  const std::string_view path = path_of(request.target);
  const bool is_run = route == Route::kInfer || route == Route::kPredict;
  const ModelPath parts = model_path(path);
  const PageFile* const page = find_page_file(path);
  const bool is_known_path = route != Route::kOther || path == "/openapi.json" || page != nullptr;
  if (!is_known_path)
    return refusal(404, "this server has no such path: /openapi.json lists its paths");
  const bool is_read = request.method == "GET" || request.method == "HEAD";
  if (is_run || !is_read) {
    Response response = refusal(
        405, is_run ? "expected the method POST: send the record in the body of a POST request"
                    : "expected the method GET or HEAD: this path takes no data");
    response.headers.emplace_back("allow", is_run ? "POST" : "GET, HEAD");
    return response;
  }
  if (page != nullptr) return page_response(*page);
  if (parts.is_valid) {
    const ModelNames names = server_.names();
    if (parts.model != names.name || (!parts.version.empty() && parts.version != names.version))
      return refusal(404, server_.unknown_model());
  }
  const bool is_ready = server_.is_ready();
  if (path == "/v2/health/live") return json_response("{\"live\":true}");
  if (path == "/v2/health/ready" || route == Route::kHealth) {
    Response response = json_response(is_ready ? "{\"ready\":true}" : "{\"ready\":false}");
    if (!is_ready) response.status = 503;
    return response;
  }
  if (route == Route::kMetrics)
    return text_response(200, "text/plain; version=0.0.4; charset=utf-8", all_metrics());
  if (path == "/openapi.json") return json_response(openapi(server_));
  if (path == "/v2")
    return json_response(
        "{\"name\":\"sidecall\",\"version\":\"" SIDECALL_NET_VERSION
        "\",\"extensions\":[\"binary_tensor_data\",\"sidecall.contract/1\",\"sidecall.null/1\","
        "\"sidecall.predict/1\",\"sidecall.timeout/1\"]}");
  if (path == "/v2/models") {
    std::string models = "{\"models\":[";
    append_json_string(server_.name, &models);
    return json_response(models + "]}");
  }
  return json_response(metadata(server_));
}

void Router::run_http(Request&& request, Route route, Responder* responder) {
  const ModelPath parts = model_path(path_of(request.target));
  const ModelNames names = server_.names();
  const bool is_model =
      parts.model == names.name && (parts.version.empty() || parts.version == names.version);
  if (!is_model) return finish(request, route, refusal(404, server_.unknown_model()), responder);
  if (!has_safe_type(request, route))
    return finish(
        request, route,
        refusal(415,
                "expected the content type application/json: set the header Content-Type to it"),
        responder);
  if (is_encoded(request)) return finish(request, route, no_encoding(), responder);
  Runs::Order order;
  try {
    order.deadline = http_deadline(request, server_.options.timeout_ns);
  } catch (const Error& error) {
    return finish(request, route, http_error({error.status(), error.what(), ""}), responder);
  }
  auto shared = std::make_shared<Request>(std::move(request));
  auto plan = std::make_shared<InferPlan>();
  auto is_list = std::make_shared<int32_t>(0);
  order.request_bytes = shared->body.size();
  order.memory = make_memory();
  order.set_inputs = [this, shared, plan, is_list, route, memory = order.memory](auto* call) {
    const std::string& body = shared->body;
    const sidecall_net_service& service = model_.service();
    require_memory(memory.get(), route == Route::kPredict ? memory_for_records(body, service)
                                                          : memory_for_tensors(*shared, service));
    if (route == Route::kPredict) {
      model_.check(
          service.set_records(call, body.data(), body.size(), is_list.get(), error_of_thread()));
      return;
    }
    *plan = read_http_infer(*shared, model_);
    model_.set_tensors(call, plan->inputs);
  };
  // A response is counted when it is made.
  const auto recorded = [this, shared, route](Response response) {
    record(*shared, route, response);
    return response;
  };
  order.answer = [this, plan, is_list, route, recorded](sidecall_call* call) {
    if (route == Route::kPredict) {
      std::string json = model_.records_of(call, *is_list);
      if (json.size() > server_.options.max_response_bytes)
        throw Error(SIDECALL_OUT_OF_MEMORY, "answer: expected at most " +
                                                std::to_string(server_.options.max_response_bytes) +
                                                " bytes, got " + std::to_string(json.size()) +
                                                ": send fewer records at once");
      return recorded(text_response(200, "application/json", std::move(json)));
    }
    const std::vector<sidecall_net_tensor> outputs = model_.outputs_of(call);
    return recorded(write_http_answer(*plan, {outputs.data(), outputs.size(), ""}, server_.names(),
                                      server_.options.max_response_bytes));
  };
  order.fail = [recorded](const Failure& failure) { return recorded(http_error(failure)); };
  runs_.begin(responder, std::move(order));
}

}  // namespace sidecall::net
