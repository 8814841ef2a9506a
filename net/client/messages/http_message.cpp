// Writes and reads messages over HTTP; see http_message.h.
#include "http_message.h"

#include <sidecall/sidecall.h>

#include <utility>

#include "answer_data.h"
#include "answer_limits.h"
#include "base/dtype.h"
#include "base/json/json_memory.h"
#include "base/json/json_text.h"
#include "base/text/utf8.h"
#include "net/common/error.h"
#include "net/common/json_tensor.h"
#include "net/common/keys.h"
#include "net/common/status.h"
#include "net/common/tensor_data.h"

namespace sidecall::net {
namespace {

constexpr size_t kMaxErrorText = 500;
constexpr uint64_t kMaxErrorBytes = UINT64_C(1) << 20;  // of an error that is read as JSON

[[noreturn]] void needs_binary(const sidecall_net_tensor& input, const std::string& expected) {
  throw Error(SIDECALL_UNSUPPORTED,
              std::string("input '") + input.name + "': expected " + expected +
                  ", because the server takes tensors as JSON only (or ?format=json asked for it)");
}

// Parses the JSON of an answer that may have `most` bytes. A value of one byte takes 16 bytes and
// more in the document, so an answer that consists of such values only is refused.
void parse_answer(std::string_view text, uint64_t most, json::Document* document) {
  if (memory_for_json(text) > 2 * most) broken("a JSON object", "one with too many values");
  parse_object(text, document);
}

std::vector<TensorSpec> read_specs(const json::Value& metadata, const char* key, const char* what) {
  const json::Value* const list = find(metadata, key);
  if (list == nullptr || !list->IsArray())
    broken(std::string("the list '") + key + "' in the metadata", "none");
  std::vector<TensorSpec> specs;
  for (const json::Value& each : list->GetArray()) {
    const std::string name = text_at(each, "name");
    const Dims dims = read_shape(each, std::string(what) + " '" + name + "'");
    specs.push_back(make_spec(what, name, text_at(each, "datatype"), dims));
  }
  return specs;
}

}  // namespace

HttpBody write_http_request(const InferRequest& request, TensorForm form) {
  const bool is_binary = form.is_binary;
  HttpBody body;
  std::string& out = body.bytes;
  out = "{\"id\":";
  append_json_string(request.expected.id, &out);
  out.append(",\"inputs\":[");
  for (size_t i = 0; i < request.num_inputs; ++i) {
    const sidecall_net_tensor& input = request.inputs[i];
    const int64_t num_strings = is_binary && input.offsets != nullptr ? count_elements(input) : 0;
    for (int64_t k = 0; k < num_strings; ++k) {
      if (input.offsets[k + 1] - input.offsets[k] > int64_t{UINT32_MAX})
        throw Error(SIDECALL_UNSUPPORTED, std::string("input '") + input.name +
                                              "': expected strings of less than 4 GiB, got more");
    }
  }
  uint64_t binary = 0;
  for (size_t i = 0; i < request.num_inputs; ++i) {
    const sidecall_net_tensor& input = request.inputs[i];
    if (i > 0) out.push_back(',');
    append_tensor_head(input, &out);
    if (is_binary) {
      const uint64_t bytes = binary_bytes(input);
      out.append("\"parameters\":{\"binary_data_size\":");
      out.append(std::to_string(bytes));
      out.append("}}");
      binary += bytes;
    } else {
      out.append("\"data\":");
      const char* needed = nullptr;
      if (!append_json_data(input, form.has_nulls, &out, &needed)) needs_binary(input, needed);
      out.push_back('}');
    }
  }
  out.append("],\"outputs\":[");
  for (size_t i = 0; i < request.expected.outputs.size(); ++i) {
    out.append(i > 0 ? ",{\"name\":" : "{\"name\":");
    append_json_string(request.expected.outputs[i], &out);
    out.append(is_binary ? ",\"parameters\":{\"binary_data\":true}}" : "}");
  }
  out.append("]}");
  body.json_length = out.size();
  if (!is_binary) return body;
  out.reserve(out.size() + binary);
  for (size_t i = 0; i < request.num_inputs; ++i) append_binary(request.inputs[i], &out);
  return body;
}

namespace {

InferAnswer read_answer(const Expected& expected, const Reply& reply, bool has_nulls) {
  const std::string_view body = reply.body.view();
  const size_t json_length = json_length_of(reply.header(kJsonLengthField), body.size());
  json::Document document;
  parse_answer(body.substr(0, json_length), reply.body.most(), &document);
  std::string_view binary = body.substr(json_length);
  const json::Value* const outputs = find(document, "outputs");
  if (outputs == nullptr || !outputs->IsArray()) broken("a list of outputs", "none");

  check_id(expected, text_at(document, "id"));
  // A server without sidecall.null/1 may write null for an infinity, so null is refused there.
  const auto on_null = [&](const ReceivedTensor& tensor, int64_t) {
    const bool is_float =
        tensor.dtype == SIDECALL_DTYPE_FLOAT32 || tensor.dtype == SIDECALL_DTYPE_FLOAT64;
    if (!has_nulls || !is_float)
      broken(std::string("elements of output '") + tensor.name + "' of type " +
                 dtype_name(tensor.dtype),
             "null");
    return int64_t{0};
  };
  const DataRules rules{on_null, true};
  InferAnswer answer;
  answer.outputs.resize(expected.outputs.size());
  for (const json::Value& each : outputs->GetArray()) {
    const std::string name = text_at(each, "name");
    const std::string what = "output '" + name + "'";
    ReceivedTensor* const tensor = place_output(expected.outputs, name, &answer);
    if (tensor == nullptr) skip_binary(each, what, &binary);
    else read_json_tensor(each, what, &binary, rules, tensor);
  }
  require_outputs(expected.outputs, answer);
  if (const json::Value* const parameters = find(document, "parameters"))
    answer.model_id = model_id_of(text_at(*parameters, kModelIdKey));
  return answer;
}

Metadata read_metadata(std::string_view body) {
  json::Document document;
  parse_answer(body, kMetadataBytes, &document);
  Metadata metadata;
  metadata.inputs = read_specs(document, "inputs", "input");
  metadata.outputs = read_specs(document, "outputs", "output");
  if (const json::Value* const properties = find(document, "properties")) {
    metadata.contract = text_at(*properties, kContractKey);
    metadata.model_id = model_id_of(text_at(*properties, kModelIdKey));
    metadata.repeatable = text_at(*properties, kRepeatableKey);
  }
  return metadata;
}

TensorForm read_extensions(std::string_view body) {
  json::Document document;
  parse_answer(body, kSmallAnswerBytes, &document);
  TensorForm form;
  const json::Value* const extensions = find(document, "extensions");
  if (extensions == nullptr || !extensions->IsArray()) return form;
  for (const json::Value& each : extensions->GetArray()) {
    const std::string_view name =
        each.IsString() ? std::string_view(each.GetString(), each.GetStringLength()) : "";
    if (name == "binary_tensor_data" || name == "binary_tensor") form.is_binary = true;
    if (name == kNullExtension) form.has_nulls = true;
  }
  return form;
}

}  // namespace

InferAnswer read_http_answer(const Expected& expected, const Reply& reply, bool has_nulls) {
  return reading("answer", [&] { return read_answer(expected, reply, has_nulls); });
}

Metadata read_http_metadata(std::string_view body) {
  return reading("answer", [&] { return read_metadata(body); });
}

TensorForm read_form(std::string_view body) {
  return reading("answer", [&] { return read_extensions(body); });
}

std::optional<Error> read_own_error(std::string_view body) {
  try {
    json::Document document;
    parse_answer(body, kMaxErrorBytes, &document);
    const std::string message = text_at(document, "error");
    const int32_t status = status_of_name(text_at(document, "status"));
    if (message.empty() || status == SIDECALL_OK) return std::nullopt;
    return Error(status, message, find(document, "faults") == nullptr ? "" : std::string(body));
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::string read_error_text(std::string_view body) {
  std::string text;
  try {
    json::Document document;
    parse_answer(body, kMaxErrorBytes, &document);
    text = text_at(document, "error");
    if (text.empty()) text = text_at(document, "detail");  // of servers built with FastAPI
  } catch (const Error&) {
  }
  if (text.empty()) text = body.substr(0, cut_length(body, kMaxErrorText));
  text.resize(cut_length(text, kMaxErrorText));
  return text;
}

}  // namespace sidecall::net
