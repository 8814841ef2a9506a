// Runs over HTTP: JSON, and tensors in binary after it; see infer.h.
#include <sidecall/sidecall.h>

#include <utility>

#include "base/json/json_text.h"
#include "net/common/error.h"
#include "net/common/json_tensor.h"
#include "net/common/keys.h"
#include "net/common/tensor_data.h"
#include "net/server/infer.h"

namespace sidecall::net {
namespace {

constexpr size_t kMaxTensors = 4096;

const json::Value* parameter(const json::Value& object, const char* name) {
  const json::Value* const parameters = find(object, "parameters");
  return parameters == nullptr ? nullptr : find(*parameters, name);
}

// The value of a parameter that is true or false, or `otherwise` if it is absent.
bool flag_parameter(const json::Value& object, const char* name, bool otherwise) {
  const json::Value* const value = parameter(object, name);
  if (value == nullptr || value->IsNull()) return otherwise;
  if (!value->IsBool())
    broken(std::string("true or false as the parameter '") + name + "'", "another value");
  return value->IsTrue();
}

void refuse_extensions(const json::Value& object, const std::string& what) {
  const json::Value* const parameters = find(object, "parameters");
  if (parameters == nullptr || parameters->IsNull()) return;
  if (!parameters->IsObject()) broken("an object 'parameters' of " + what, "another value");
  for (const auto& member : parameters->GetObject())
    refuse_parameter({member.name.GetString(), member.name.GetStringLength()}, what);
}

const json::Value* list_of(const json::Value& document, const char* key) {
  const json::Value* const list = find(document, key);
  if (list != nullptr && list->IsNull()) return nullptr;
  if (list != nullptr && (!list->IsArray() || list->Size() > kMaxTensors))
    broken(std::string("a list '") + key + "' of at most 4096 tensors", "another value");
  return list;
}

InferPlan read(const Request& request, const sidecall_net_service& service,
               const DataRules& rules) {
  const std::string_view body = request.body;
  const size_t json_length = json_length_of(request.header(kJsonLengthField), body.size());
  json::Document document;
  parse_object(body.substr(0, json_length), &document);
  std::string_view binary = body.substr(json_length);
  InferPlan plan;
  plan.id = text_at(document, "id");
  refuse_extensions(document, "request");
  const json::Value* const inputs = list_of(document, "inputs");
  if (inputs == nullptr) broken("a list 'inputs'", "none");
  for (const json::Value& each : inputs->GetArray()) {
    ReceivedTensor& tensor = plan.inputs.emplace_back();
    tensor.name = text_at(each, "name");
    require_name(tensor.name);
    const std::string what = "input '" + tensor.name + "'";
    refuse_extensions(each, what);
    read_json_tensor(each, what, &binary, rules, &tensor);
  }
  if (!binary.empty()) broken("only the bytes of the inputs after the JSON", "more");
  const bool is_binary = flag_parameter(document, "binary_data_output", false);
  const json::Value* const outputs = list_of(document, "outputs");
  if (outputs != nullptr && outputs->Size() > 0) {
    for (const json::Value& each : outputs->GetArray()) {
      refuse_extensions(each, "outputs");
      plan.outputs.push_back({output_index(service, text_at(each, "name")),
                              flag_parameter(each, "binary_data", is_binary)});
    }
  } else {
    for (size_t i = 0; i < service.num_outputs; ++i) plan.outputs.push_back({i, is_binary});
  }
  require_unique(plan);
  return plan;
}

}  // namespace

InferPlan read_http_infer(const Request& request, const ServedModel& model) {
  const auto on_null = [&](const ReceivedTensor& tensor, int64_t element) {
    const bool is_float =
        tensor.dtype == SIDECALL_DTYPE_FLOAT32 || tensor.dtype == SIDECALL_DTYPE_FLOAT64;
    // A float becomes NaN, which the run refuses where it must not be.
    return is_float ? int64_t{0} : model.missing_number(tensor.name, element);
  };
  return reading("request", [&] { return read(request, model.service(), {on_null, false}); });
}

Response write_http_answer(const InferPlan& plan, const sidecall_net_tensors& outputs,
                           const ModelNames& names, uint64_t most) {
  require_size(plan, outputs, most);
  Response response;
  std::string& out = response.body;
  out = "{\"model_name\":";
  append_json_string(names.name, &out);
  out.append(",\"model_version\":");
  append_json_string(names.version, &out);
  if (!plan.id.empty()) {
    out.append(",\"id\":");
    append_json_string(plan.id, &out);
  }
  if (!names.id.empty()) {
    out.append(",\"parameters\":{\"").append(kModelIdKey).append("\":");
    append_json_string(names.id, &out);
    out.push_back('}');
  }
  out.append(",\"outputs\":[");
  bool has_binary = false;
  for (const InferPlan::Output& output : plan.outputs) {
    const sidecall_net_tensor& tensor = outputs.items[output.index];
    if (&output != plan.outputs.data()) out.push_back(',');
    append_tensor_head(tensor, &out);
    if (output.is_binary) {
      has_binary = true;
      out.append("\"parameters\":{\"binary_data_size\":");
      out.append(std::to_string(binary_bytes(tensor))).append("}}");
      continue;
    }
    out.append("\"data\":");
    const char* expected = nullptr;
    if (!append_json_data(tensor, true, &out, &expected))
      throw Error(SIDECALL_UNSUPPORTED, std::string("output '") + tensor.name + "': expected " +
                                            expected + ", got others: request it in binary");
    out.push_back('}');
  }
  out.append("]}");
  if (!has_binary) {
    response.headers.emplace_back("content-type", "application/json");
    return response;
  }
  response.headers.emplace_back("content-type", "application/octet-stream");
  response.headers.emplace_back(kJsonLengthField, std::to_string(out.size()));
  for (const InferPlan::Output& output : plan.outputs) {
    if (output.is_binary) append_binary(outputs.items[output.index], &out);
  }
  return response;
}

}  // namespace sidecall::net
