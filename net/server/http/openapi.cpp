// Writes the description of the HTTP interface in OpenAPI 3.1.
#include <string>

#include "base/json/json_document.h"
#include "base/json/json_text.h"
#include "base/text/percent.h"
#include "net/common/json_tensor.h"
#include "net/server/router.h"

namespace sidecall::net {
namespace {

// The beginning of the schemas. The schema of a record follows it.
constexpr const char* kSchemas = R"("components": {
  "schemas": {
    "Error": {
      "type": "object",
      "required": ["error"],
      "properties": {
        "error": {"type": "string"},
        "status": {
          "type": "string",
          "description": "the name of the status, such as DTYPE_MISMATCH"
        },
        "faults": {"type": "array", "items": {"type": "object"}}
      }
    },
    "Tensor": {
      "type": "object",
      "required": ["name", "datatype", "shape"],
      "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {
          "description":
            "one flat list, or lists nested as the shape; null is a missing value"
        },
        "parameters": {"type": "object"}
      }
    },
    "InferRequest": {
      "type": "object",
      "required": ["inputs"],
      "properties": {
        "id": {"type": "string"},
        "inputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}},
        "outputs": {
          "type": "array",
          "items": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string"}, "parameters": {"type": "object"}}
          }
        },
        "parameters": {"type": "object"}
      }
    },
    "InferResponse": {
      "type": "object",
      "required": ["model_name", "outputs"],
      "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "parameters": {"type": "object"},
        "outputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}}
      }
    },
    "Metadata": {
      "type": "object",
      "required": ["name", "inputs", "outputs"],
      "properties": {
        "name": {"type": "string"},
        "versions": {"type": "array", "items": {"type": "string"}},
        "platform": {"type": "string"},
        "inputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}},
        "outputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}},
        "properties": {"type": "object"}
      }
    },
    "Record": )";

std::string to_text(const json::Value& value) {
  json::Buffer buffer;
  json::Writer writer(buffer);
  value.Accept(writer);
  return {buffer.GetString(), buffer.GetSize()};
}

// The JSON type of a value. It does not limit numbers; only the contract does, because a number is
// rounded to the element type before it is checked.
const char* json_type(const std::string& type) {
  if (type == "string") return R"("string")";
  if (type == "bool") return R"("boolean")";
  if (type == "datetime") return R"("string","number")";
  const bool is_integer = type.compare(0, 3, "int") == 0 || type.compare(0, 4, "uint") == 0;
  return is_integer ? R"("integer")" : R"("number")";
}

// What a feature takes.
std::string feature_schema(const json::Value& feature, bool is_nullable) {
  const std::string type = text_at(feature, "type");
  std::string out =
      std::string(R"({"type":[)") + json_type(type) + (is_nullable ? R"(,"null"])" : "]");
  if (type == "datetime") out += R"(,"format":"date-time")";
  const json::Value* const allowed = find(feature, "allowed");
  if (allowed != nullptr && allowed->IsArray()) {
    std::string values = to_text(*allowed);
    if (is_nullable) values.insert(values.size() - 1, allowed->Empty() ? "null" : ",null");
    out += R"(,"enum":)" + values;
  }
  const json::Value* const domain = find(feature, "domain");
  if (domain != nullptr && domain->IsArray() && domain->Size() == 1 && (*domain)[0].IsArray() &&
      (*domain)[0].Size() == 2) {
    const json::Value &low = (*domain)[0][0], &high = (*domain)[0][1];
    if (low.IsNumber()) out += R"(,"minimum":)" + to_text(low);
    if (high.IsNumber()) out += R"(,"maximum":)" + to_text(high);
  }
  const json::Value* const seen = find(feature, "seen");
  if (seen != nullptr && seen->IsObject()) {
    const json::Value* const categories = find(*seen, "categories");
    const json::Value* const least = find(*seen, "min");
    if (categories != nullptr && categories->IsArray())
      out += R"(,"examples":)" + to_text(*categories);
    else if (least != nullptr) out += R"(,"examples":[)" + to_text(*least) + "]";
  }
  return out + "}";
}

// A record as the contract describes it.
std::string record_schema(const char* contract) {
  std::string out = R"({"type":"object","additionalProperties":false,"properties":{)";
  std::string required;
  json::Document document;
  parse_object(contract, &document);
  const json::Value* const features = find(document, "features");
  if (features == nullptr || !features->IsArray()) return R"({"type":"object"})";
  for (const json::Value& feature : features->GetArray()) {
    const json::Value* const nullable = find(feature, "nullable");
    const bool is_nullable = nullable != nullptr && nullable->IsTrue();
    if (out.back() != '{') out.push_back(',');
    append_json_string(text_at(feature, "name"), &out);
    out += ":" + feature_schema(feature, is_nullable);
    if (is_nullable) continue;
    if (!required.empty()) required.push_back(',');
    append_json_string(text_at(feature, "name"), &required);
  }
  out.push_back('}');
  if (!required.empty()) out += R"(,"required":[)" + required + "]";
  return out + "}";
}

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

std::string openapi(const ServerContext& server) {
  const ModelNames names = server.names();
  const std::string model = "/v2/models/" + percent_encode(names.name);
  std::string out = R"({"openapi":"3.1.0","info":{"title":)";
  append_json_string(names.name, &out);
  out += R"(,"version":)";
  append_json_string(names.version, &out);
  out += R"(},"paths":{)";
  const auto get = [&](const std::string& path, const char* id, const char* summary,
                       const char* schema) {
    out += "\"" + path + R"(":{"get":)" + operation(id, summary, "", schema, true) + "},";
  };
  const char* const object = R"({"type":"object"})";
  get("/v2", "server", "the name and the extensions of this server", object);
  get("/v2/models", "models", "the names of the models", object);
  get("/v2/health/live", "live", "whether the server runs", object);
  get("/v2/health/ready", "ready", "whether the server takes requests", object);
  get(model, "model", "what the model takes and returns",
      R"({"$ref":"#/components/schemas/Metadata"})");
  get(model + "/ready", "modelReady", "whether the model takes requests", object);
  if (server.service.has_records != 0)
    out += "\"" + model + R"(/predict":{"post":)" +
           operation(
               "predict", "the answers for one record, or for a list of records",
               R"({"oneOf":[{"$ref":"#/components/schemas/Record"},)"
               R"({"type":"array","minItems":1,"items":{"$ref":"#/components/schemas/Record"}}]})",
               "{}", true) +
           "},";
  out += "\"" + model + R"(/infer":{"post":)" +
         operation("infer", "runs the model on tensors",
                   R"({"$ref":"#/components/schemas/InferRequest"})",
                   R"({"$ref":"#/components/schemas/InferResponse"})", true) +
         "}},";
  const char* const contract = server.service.contract;
  return out + kSchemas + (contract == nullptr ? R"({"type":"object"})" : record_schema(contract)) +
         "}}}";
}

}  // namespace sidecall::net
