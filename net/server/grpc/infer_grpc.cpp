// Runs over gRPC; see infer.h.
#include <sidecall/sidecall.h>

#include <protozero/pbf_writer.hpp>
#include <utility>

#include "base/text/utf8.h"
#include "net/common/error.h"
#include "net/common/grpc_fields.h"
#include "net/common/grpc_tensor.h"
#include "net/common/keys.h"
#include "net/common/tensor_data.h"
#include "net/server/infer.h"

namespace sidecall::net {
namespace {

using protozero::pbf_reader;
using protozero::pbf_writer;

void refuse_parameters(std::string_view entry, const std::string& what) {
  read_entry(entry, [&](std::string_view key, std::string_view) { refuse_parameter(key, what); });
}

// The name of an InferRequestedOutputTensor.
std::string read_requested_output(std::string_view message) {
  std::string name;
  std::vector<std::string_view> parameters;
  pbf_reader reader = reader_of(message);
  while (reader.next()) {
    if (reader.tag() == grpc::kTensorName) name = read_text(&reader);
    else if (reader.tag() == grpc::kOutputParameters) parameters.push_back(read_bytes(&reader));
    else reader.skip();
  }
  for (const std::string_view each : parameters) refuse_parameters(each, "outputs");
  return name;
}

InferPlan read(std::string_view message, const sidecall_net_service& service) {
  InferPlan plan;
  std::vector<TensorFields> fields;
  std::vector<std::string_view> raw;
  pbf_reader reader = reader_of(message);
  while (reader.next()) {
    switch (reader.tag()) {
      case grpc::kModelName:
        plan.model = read_text(&reader);
        break;
      case grpc::kModelVersion:
        plan.version = read_text(&reader);
        break;
      case grpc::kRunId:
        plan.id = read_text(&reader);
        break;
      case grpc::kRequestParameters:
        refuse_parameters(read_bytes(&reader), "request");
        break;
      case grpc::kRequestInputs:
        if (fields.size() == kMaxTensors) broken("at most 4096 inputs", "more");
        fields.push_back(read_tensor_fields(read_bytes(&reader)));
        break;
      case grpc::kRequestOutputs:
        if (plan.outputs.size() == kMaxTensors) broken("at most 4096 outputs", "more");
        plan.outputs.push_back(
            {output_index(service, read_requested_output(read_bytes(&reader))), true});
        break;
      case grpc::kRawInputs:
        if (raw.size() == kMaxTensors) broken("at most 4096 inputs", "more");
        raw.push_back(read_bytes(&reader));
        break;
      default:
        reader.skip();
    }
  }
  if (!raw.empty() && raw.size() != fields.size())
    broken("raw contents of all " + std::to_string(fields.size()) + " inputs or of none",
           "those of " + std::to_string(raw.size()));
  if (!is_utf8_without_nul(plan.id)) broken("an id in UTF-8", "other bytes");
  for (size_t i = 0; i < fields.size(); ++i) {
    ReceivedTensor& tensor = plan.inputs.emplace_back();
    tensor.name = std::move(fields[i].name);
    require_name(tensor.name);
    const std::string what = "input '" + tensor.name + "'";
    for (const std::string_view each : fields[i].parameters) refuse_parameters(each, what);
    tensor.dtype = read_datatype(fields[i].datatype, what);
    tensor.dims = std::move(fields[i].dims);
    if (raw.empty()) set_contents(fields[i].contents, what, &tensor);
    else set_binary(raw[i], what, &tensor);
  }
  if (plan.outputs.empty()) {
    for (size_t i = 0; i < service.num_outputs; ++i) plan.outputs.push_back({i, true});
  }
  require_unique(plan);
  return plan;
}

// An upper limit for the bytes of an answer whose tensors take `tensor_bytes`.
size_t most_bytes(const InferPlan& plan, const sidecall_net_tensors& outputs,
                  const ModelNames& names, uint64_t tensor_bytes) {
  constexpr size_t kNumber = 10, kHead = 2 * kNumber;  // a field begins with its tag and length
  size_t bytes = tensor_bytes + names.name.size() + names.version.size() + plan.id.size() +
                 std::string_view(kModelIdKey).size() + names.id.size() + 7 * kHead;
  for (const InferPlan::Output& output : plan.outputs) {
    const sidecall_net_tensor& from = outputs.items[output.index];
    bytes += std::string_view(from.name).size() + std::string_view(datatype_of(from)).size() +
             static_cast<size_t>(from.rank) * kNumber + 5 * kHead;
  }
  return bytes;
}

}  // namespace

InferPlan read_grpc_infer(std::string_view message, const sidecall_net_service& service) {
  return reading("request",
                 [&] { return reading_protobuf([&] { return read(message, service); }); });
}

std::string write_grpc_answer(const InferPlan& plan, const sidecall_net_tensors& outputs,
                              const ModelNames& names, uint64_t most) {
  const uint64_t tensor_bytes = require_size(plan, outputs, most);
  std::string message;
  message.reserve(most_bytes(plan, outputs, names, tensor_bytes));
  pbf_writer writer(message);
  writer.add_string(grpc::kModelName, names.name);
  writer.add_string(grpc::kModelVersion, names.version);
  if (!plan.id.empty()) writer.add_string(grpc::kRunId, plan.id);
  if (!names.id.empty()) {
    pbf_writer entry(writer, grpc::kResponseParameters);
    entry.add_string(grpc::kKey, kModelIdKey);
    pbf_writer value(entry, grpc::kValue);
    value.add_string(grpc::kStringParameter, names.id);
  }
  for (const InferPlan::Output& output : plan.outputs) {
    const sidecall_net_tensor& from = outputs.items[output.index];
    pbf_writer tensor(writer, grpc::kResponseOutputs);
    tensor.add_string(grpc::kTensorName, from.name);
    tensor.add_string(grpc::kTensorDatatype, datatype_of(from));
    tensor.add_packed_int64(grpc::kTensorShape, from.dims, from.dims + from.rank);
  }
  for (const InferPlan::Output& output : plan.outputs) {
    const sidecall_net_tensor& from = outputs.items[output.index];
    if (from.offsets == nullptr) {
      writer.add_bytes(grpc::kRawOutputs, static_cast<const char*>(from.data), from.bytes);
    } else {
      std::string strings;
      strings.reserve(binary_bytes(from));
      append_binary(from, &strings);
      writer.add_bytes(grpc::kRawOutputs, strings);
    }
  }
  return message;
}

}  // namespace sidecall::net
