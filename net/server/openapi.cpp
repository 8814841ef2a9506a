// Writes the description of the HTTP interface in OpenAPI 3.1.
#include "base/json_text.h"
#include "base/percent.h"
#include "router.h"

namespace sidecall::net {
namespace {

constexpr const char* kSchemas = R"("components":{"schemas":{
"Error":{"type":"object","required":["error"],"properties":{"error":{"type":"string"},"status":{"type":"string","description":"the name of the status, such as DTYPE_MISMATCH"},"faults":{"type":"array","items":{"type":"object"}}}},
"Tensor":{"type":"object","required":["name","datatype","shape"],"properties":{"name":{"type":"string"},"datatype":{"type":"string"},"shape":{"type":"array","items":{"type":"integer"}},"data":{},"parameters":{"type":"object"}}},
"InferRequest":{"type":"object","required":["inputs"],"properties":{"id":{"type":"string"},"inputs":{"type":"array","items":{"$ref":"#/components/schemas/Tensor"}},"outputs":{"type":"array","items":{"type":"object","required":["name"],"properties":{"name":{"type":"string"},"parameters":{"type":"object"}}}},"parameters":{"type":"object"}}},
"InferResponse":{"type":"object","required":["model_name","outputs"],"properties":{"model_name":{"type":"string"},"model_version":{"type":"string"},"id":{"type":"string"},"parameters":{"type":"object"},"outputs":{"type":"array","items":{"$ref":"#/components/schemas/Tensor"}}}},
"Metadata":{"type":"object","required":["name","inputs","outputs"],"properties":{"name":{"type":"string"},"versions":{"type":"array","items":{"type":"string"}},"platform":{"type":"string"},"inputs":{"type":"array","items":{"$ref":"#/components/schemas/Tensor"}},"outputs":{"type":"array","items":{"$ref":"#/components/schemas/Tensor"}},"properties":{"type":"object"}}},
"Record":{"type":"object","description":"one value for each feature of the model"}}})";

// One operation. `responses` are members of the object.
std::string operation(const char* id, const char* summary, const std::string& request,
                      const char* schema, bool can_fail) {
  const auto content = [](const std::string& what) {
    return R"("content":{"application/json":{"schema":)" + what + "}}";
  };
  std::string out = std::string(R"({"operationId":")") + id + R"(","summary":")" + summary + "\"";
  if (!request.empty()) out += R"(,"requestBody":{"required":true,)" + content(request) + "}";
  out += R"(,"responses":{"200":{"description":"the answer",)" + content(schema) + "}";
  if (can_fail)
    out += R"(,"default":{"description":"an error",)" +
           content(R"({"$ref":"#/components/schemas/Error"})") + "}";
  return out + "}}";
}

}  // namespace

std::string openapi(const Site& site) {
  const ModelNames names = site.names();
  const std::string model = "/v2/models/" + percent_encode(names.name);
  std::string out = R"({"openapi":"3.1.0","info":{"title":)";
  append_json_string(names.name, &out);
  out += R"(,"version":)";
  append_json_string(names.version.empty() ? "0" : names.version, &out);
  out += R"(},"paths":{)";
  const auto get = [&](const std::string& path, const char* id, const char* summary,
                       const char* schema) {
    out += "\"" + path + R"(":{"get":)" + operation(id, summary, "", schema, true) + "},";
  };
  const char* const object = R"({"type":"object"})";
  get("/v2", "server", "the name and the extensions of this server", object);
  get("/v2/health/live", "live", "whether the server runs", object);
  get("/v2/health/ready", "ready", "whether the server takes requests", object);
  get(model, "model", "what the model takes and returns",
      R"({"$ref":"#/components/schemas/Metadata"})");
  get(model + "/ready", "modelReady", "whether the model takes requests", object);
  if (site.service.has_records != 0)
    out += "\"" + model + R"(/predict":{"post":)" +
           operation("predict", "the answers for one record, or for a list of records",
                     R"({"oneOf":[{"$ref":"#/components/schemas/Record"},)"
                     R"({"type":"array","items":{"$ref":"#/components/schemas/Record"}}]})",
                     "{}", true) +
           "},";
  out += "\"" + model + R"(/infer":{"post":)" +
         operation("infer", "runs the model on tensors",
                   R"({"$ref":"#/components/schemas/InferRequest"})",
                   R"({"$ref":"#/components/schemas/InferResponse"})", true) +
         "}},";
  return out + kSchemas + "}";
}

}  // namespace sidecall::net
