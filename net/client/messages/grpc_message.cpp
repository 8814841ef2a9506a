// Writes and reads messages of gRPC; see grpc_message.h.
#include "grpc_message.h"

#include <sidecall/sidecall.h>

#include <algorithm>
#include <protozero/pbf_writer.hpp>
#include <utility>

#include "answer_data.h"
#include "net/common/error.h"
#include "net/common/grpc_fields.h"
#include "net/common/grpc_tensor.h"
#include "net/common/keys.h"
#include "net/common/tensor_data.h"

namespace sidecall::net {
namespace {

using protozero::pbf_reader;
using protozero::pbf_writer;

constexpr uint64_t kMaxRequestBytes = UINT64_C(1) << 31;

// protobuf and the frames of gRPC have lengths of 32 bits.
void require_size(const InferRequest& request) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < request.num_inputs; ++i) {
    const sidecall_net_tensor& input = request.inputs[i];
    bytes += input.bytes;
    if (input.offsets != nullptr) bytes += 4 * static_cast<uint64_t>(count_elements(input));
  }
  if (bytes > kMaxRequestBytes)
    throw Error(SIDECALL_UNSUPPORTED, "inputs: expected at most 2 GiB over gRPC, got more");
}

}  // namespace

std::string write_model_request(const std::string& model, const std::string& version) {
  std::string message;
  pbf_writer writer(message);
  writer.add_string(grpc::kModelName, model);
  if (!version.empty()) writer.add_string(grpc::kModelVersion, version);
  return message;
}

std::string write_grpc_request(const InferRequest& request, const std::string& model,
                               const std::string& version) {
  require_size(request);
  std::string message = write_model_request(model, version);
  pbf_writer writer(message);
  writer.add_string(grpc::kRunId, request.expected.id);
  for (size_t i = 0; i < request.num_inputs; ++i) {
    const sidecall_net_tensor& input = request.inputs[i];
    pbf_writer tensor(writer, grpc::kRequestInputs);
    tensor.add_string(grpc::kTensorName, input.name);
    tensor.add_string(grpc::kTensorDatatype, datatype_of(input));
    tensor.add_packed_int64(grpc::kTensorShape, input.dims, input.dims + input.rank);
  }
  for (const std::string& name : request.expected.outputs) {
    pbf_writer tensor(writer, grpc::kRequestOutputs);
    tensor.add_string(grpc::kTensorName, name);
  }
  for (size_t i = 0; i < request.num_inputs; ++i) {
    const sidecall_net_tensor& input = request.inputs[i];
    const char* const data = static_cast<const char*>(input.data);
    if (input.dtype == SIDECALL_DTYPE_STRING) {
      std::string strings;
      append_strings(data, input.offsets, count_elements(input), &strings);
      writer.add_bytes(grpc::kRawInputs, strings);
    } else {
      writer.add_bytes(grpc::kRawInputs, data, input.bytes);
    }
  }
  return message;
}

std::string_view unframe_answer(std::string_view body) {
  return reading("answer", [&] { return unframe(body); });
}

bool read_ready(std::string_view message) {
  return reading("answer", [&] {
    return reading_protobuf([&] {
      bool is_ready = false;
      pbf_reader reader = reader_of(message);
      while (reader.next()) {
        if (reader.tag() == grpc::kReady) is_ready = read_bool(&reader);
        else reader.skip();
      }
      return is_ready;
    });
  });
}

Metadata read_grpc_metadata(std::string_view message) {
  return reading("answer", [&] {
    return reading_protobuf([&] {
      Metadata metadata;
      const auto spec_of = [](const char* kind, std::string_view bytes) {
        const TensorFields tensor = read_tensor_fields(bytes);
        return make_spec(kind, tensor.name, tensor.datatype, tensor.dims);
      };
      pbf_reader reader = reader_of(message);
      while (reader.next()) {
        switch (reader.tag()) {
          case grpc::kMetadataInputs:
            if (metadata.inputs.size() == kMaxTensors) broken("at most 4096 inputs", "more");
            metadata.inputs.push_back(spec_of("input", read_bytes(&reader)));
            break;
          case grpc::kMetadataOutputs:
            if (metadata.outputs.size() == kMaxTensors) broken("at most 4096 outputs", "more");
            metadata.outputs.push_back(spec_of("output", read_bytes(&reader)));
            break;
          case grpc::kMetadataProperties:
            read_entry(read_bytes(&reader), [&](std::string_view key, std::string_view value) {
              if (key == kContractKey) metadata.contract = value;
              if (key == kModelIdKey) metadata.model_id = model_id_of(value);
              if (key == kRepeatableKey) metadata.repeatable = value;
            });
            break;
          default:
            reader.skip();
        }
      }
      return metadata;
    });
  });
}

InferAnswer read_grpc_answer(const Expected& expected, std::string_view message) {
  return reading("answer", [&] {
    return reading_protobuf([&] {
      InferAnswer answer;
      answer.outputs.resize(expected.outputs.size());
      std::vector<TensorFields> tensors;
      std::vector<std::string_view> raw;
      pbf_reader reader = reader_of(message);
      while (reader.next()) {
        switch (reader.tag()) {
          case grpc::kResponseParameters:
            read_entry(read_bytes(&reader), [&](std::string_view key, std::string_view value) {
              if (key == kModelIdKey) answer.model_id = model_id_of(string_parameter(value));
            });
            break;
          case grpc::kRunId:
            check_id(expected, read_bytes(&reader));
            break;
          case grpc::kResponseOutputs:
            if (tensors.size() == kMaxTensors) broken("at most 4096 outputs", "more");
            tensors.push_back(read_tensor_fields(read_bytes(&reader)));
            break;
          case grpc::kRawOutputs:
            if (raw.size() == kMaxTensors) broken("at most 4096 outputs", "more");
            raw.push_back(read_bytes(&reader));
            break;
          default:
            reader.skip();
        }
      }
      if (!raw.empty() && raw.size() != tensors.size())
        broken("raw contents of all " + std::to_string(tensors.size()) + " outputs or of none",
               "those of " + std::to_string(raw.size()));
      for (size_t i = 0; i < tensors.size(); ++i) {
        const std::string what = "output '" + tensors[i].name + "'";
        ReceivedTensor* const tensor = place_output(expected.outputs, tensors[i].name, &answer);
        if (tensor == nullptr) continue;
        tensor->dtype = read_datatype(tensors[i].datatype, what);
        tensor->dims = std::move(tensors[i].dims);
        if (raw.empty()) set_contents(tensors[i].contents, what, tensor);
        else set_binary(raw[i], what, tensor);
      }
      require_outputs(expected.outputs, answer);
      return answer;
    });
  });
}

}  // namespace sidecall::net
