// Writes and reads messages of gRPC; see grpc_message.h.
#include "grpc_message.h"

#include <sidecall/sidecall.h>

#include <algorithm>
#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>
#include <utility>

#include "answer_data.h"
#include "base/dtype.h"
#include "net/common/datatype.h"
#include "net/common/error.h"
#include "net/common/grpc_fields.h"
#include "net/common/keys.h"
#include "net/common/tensor_data.h"

namespace sidecall::net {
namespace {

using protozero::pbf_reader;
using protozero::pbf_writer;
using WireType = protozero::pbf_wire_type;

constexpr size_t kFrameBytes = 5;  // whether the message is compressed, and its length
constexpr size_t kMaxRank = 64;
constexpr size_t kMaxOutputs = 4096;
constexpr uint64_t kMaxRequestBytes = UINT64_C(1) << 31;

std::string_view view(protozero::data_view data) { return {data.data(), data.size()}; }
pbf_reader reader_of(std::string_view message) { return {message.data(), message.size()}; }

// Runs `body`, and throws PROTOCOL if it finds that the bytes are not a message.
template <typename Body>
auto with_protocol_errors(Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const protozero::exception&) {
    broken_answer("a protobuf message", "other bytes");
  }
}

// protozero asserts that a field has the wire type that it is read as, so this is checked first.
void expect(const pbf_reader& reader, WireType type) {
  if (reader.wire_type() != type)
    broken_answer("a message of the protocol", "a field of another type");
}

std::string_view read_bytes(pbf_reader* reader) {
  expect(*reader, WireType::length_delimited);
  return view(reader->get_view());
}

std::string read_text(pbf_reader* reader) { return std::string(read_bytes(reader)); }

bool read_bool(pbf_reader* reader) {
  expect(*reader, WireType::varint);
  return reader->get_bool();
}

// Reads the values of a repeated field, packed or not, one field at a time. `type` is that of a
// single value.
template <typename Packed, typename Single, typename Add>
void read_repeated(pbf_reader* reader, WireType type, Packed packed, Single single, Add add) {
  if (reader->wire_type() == WireType::length_delimited) {
    for (const auto value : (reader->*packed)()) add(value);
  } else {
    expect(*reader, type);
    add((reader->*single)());
  }
}

struct Tensor {
  std::string name, datatype;
  Dims dims;
  std::string_view contents;
};

Tensor read_tensor(std::string_view message) {
  Tensor tensor;
  pbf_reader reader = reader_of(message);
  while (reader.next()) {
    switch (reader.tag()) {
      case grpc::kTensorName:
        tensor.name = read_text(&reader);
        break;
      case grpc::kTensorDatatype:
        tensor.datatype = read_text(&reader);
        break;
      case grpc::kTensorShape:
        read_repeated(&reader, WireType::varint, &pbf_reader::get_packed_int64,
                      &pbf_reader::get_int64, [&](int64_t size) {
                        if (tensor.dims.size() == kMaxRank)
                          broken_answer("at most 64 dimensions", "more");
                        tensor.dims.push_back(size);
                      });
        break;
      case grpc::kTensorContents:
        tensor.contents = read_bytes(&reader);
        break;
      default:
        reader.skip();
    }
  }
  return tensor;
}

// The field of InferTensorContents for a type; 0 if there is none.
uint32_t contents_field(int32_t dtype) {
  switch (dtype) {
    case SIDECALL_DTYPE_BOOL:
      return grpc::kBools;
    case SIDECALL_DTYPE_INT8:
    case SIDECALL_DTYPE_INT16:
    case SIDECALL_DTYPE_INT32:
      return grpc::kInt32s;
    case SIDECALL_DTYPE_INT64:
      return grpc::kInt64s;
    case SIDECALL_DTYPE_UINT8:
    case SIDECALL_DTYPE_UINT16:
    case SIDECALL_DTYPE_UINT32:
      return grpc::kUint32s;
    case SIDECALL_DTYPE_UINT64:
      return grpc::kUint64s;
    case SIDECALL_DTYPE_FLOAT32:
      return grpc::kFloats;
    case SIDECALL_DTYPE_FLOAT64:
      return grpc::kDoubles;
    case SIDECALL_DTYPE_STRING:
      return grpc::kBytes;
    default:
      return 0;
  }
}

// Sets the elements of a tensor from InferTensorContents.
class Contents {
 public:
  Contents(std::string_view message, const std::string& what, AnswerTensor* to)
      : what_(what), to_(to), count_(count_elements(*to, what)) {
    if (to->dtype == SIDECALL_DTYPE_STRING) to->offsets.push_back(0);
    const uint32_t field = contents_field(to->dtype);
    pbf_reader reader = reader_of(message);
    while (reader.next()) {
      if (field == 0 || reader.tag() != field)
        broken_answer(std::string("contents of ") + what + " of type " + dtype_name(to->dtype),
                      "other contents");
      read(&reader);
    }
    if (found_ != count_)
      broken_answer("as many elements as the shape of " + what + " says", "another number");
    to->data = to->own.data();
    to->bytes = to->own.size();
  }

 private:
  void read(pbf_reader* reader) {
    switch (reader->tag()) {
      case grpc::kBools:
        return read_repeated(reader, WireType::varint, &pbf_reader::get_packed_bool,
                             &pbf_reader::get_bool,
                             [this](bool value) { add<uint8_t>(value ? 1 : 0); });
      case grpc::kInt32s:
        return read_repeated(reader, WireType::varint, &pbf_reader::get_packed_int32,
                             &pbf_reader::get_int32, [this](int32_t value) { add_signed(value); });
      case grpc::kInt64s:
        return read_repeated(reader, WireType::varint, &pbf_reader::get_packed_int64,
                             &pbf_reader::get_int64, [this](int64_t value) { add(value); });
      case grpc::kUint32s:
        return read_repeated(reader, WireType::varint, &pbf_reader::get_packed_uint32,
                             &pbf_reader::get_uint32,
                             [this](uint32_t value) { add_unsigned(value); });
      case grpc::kUint64s:
        return read_repeated(reader, WireType::varint, &pbf_reader::get_packed_uint64,
                             &pbf_reader::get_uint64, [this](uint64_t value) { add(value); });
      case grpc::kFloats:
        return read_repeated(reader, WireType::fixed32, &pbf_reader::get_packed_float,
                             &pbf_reader::get_float, [this](float value) { add(value); });
      case grpc::kDoubles:
        return read_repeated(reader, WireType::fixed64, &pbf_reader::get_packed_double,
                             &pbf_reader::get_double, [this](double value) { add(value); });
      default: {
        count_one();
        const std::string_view text = read_bytes(reader);
        to_->own.insert(to_->own.end(), text.begin(), text.end());
        to_->offsets.push_back(static_cast<int64_t>(to_->own.size()));
      }
    }
  }

  void count_one() {
    if (++found_ > count_)
      broken_answer("as many elements as the shape of " + what_ + " says", "more");
  }

  template <typename Number>
  void add(Number number) {
    count_one();
    const auto* const bytes = reinterpret_cast<const char*>(&number);
    to_->own.insert(to_->own.end(), bytes, bytes + sizeof number);
  }

  template <typename Narrow, typename Wide>
  void add_narrow(Wide value) {
    if (static_cast<Wide>(static_cast<Narrow>(value)) != value)
      broken_answer(std::string("elements of ") + what_ + " of type " + dtype_name(to_->dtype),
                    "larger ones");
    add(static_cast<Narrow>(value));
  }

  void add_signed(int32_t value) {
    if (to_->dtype == SIDECALL_DTYPE_INT8) add_narrow<int8_t>(value);
    else if (to_->dtype == SIDECALL_DTYPE_INT16) add_narrow<int16_t>(value);
    else add(value);
  }

  void add_unsigned(uint32_t value) {
    if (to_->dtype == SIDECALL_DTYPE_UINT8) add_narrow<uint8_t>(value);
    else if (to_->dtype == SIDECALL_DTYPE_UINT16) add_narrow<uint16_t>(value);
    else add(value);
  }

  const std::string& what_;
  AnswerTensor* const to_;
  const int64_t count_;
  int64_t found_ = 0;
};

// Calls found(key, value) with an entry of a map.
template <typename Found>
void read_entry(std::string_view message, Found found) {
  std::string_view key, value;
  pbf_reader reader = reader_of(message);
  while (reader.next()) {
    if (reader.tag() == grpc::kKey) key = read_bytes(&reader);
    else if (reader.tag() == grpc::kValue) value = read_bytes(&reader);
    else reader.skip();
  }
  found(key, value);
}

std::string string_parameter(std::string_view message) {
  std::string text;
  pbf_reader reader = reader_of(message);
  while (reader.next()) {
    if (reader.tag() == grpc::kStringParameter) text = read_text(&reader);
    else reader.skip();
  }
  return text;
}

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

std::string frame(const std::string& message) {
  std::string framed;
  framed.reserve(kFrameBytes + message.size());
  framed.push_back('\0');  // not compressed
  for (int shift = 24; shift >= 0; shift -= 8)
    framed.push_back(static_cast<char>(message.size() >> shift));
  return framed += message;
}

std::string_view unframe(const std::string& body) {
  if (body.size() < kFrameBytes) broken_answer("a message", "none");
  if (body[0] != '\0') broken_answer("a message without compression", "a compressed one");
  size_t length = 0;
  for (size_t i = 1; i < kFrameBytes; ++i)
    length = length << 8 | static_cast<unsigned char>(body[i]);
  if (length != body.size() - kFrameBytes) broken_answer("one message", "another number of bytes");
  return std::string_view(body).substr(kFrameBytes);
}

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

bool read_ready(std::string_view message) {
  return with_protocol_errors([&] {
    bool is_ready = false;
    pbf_reader reader = reader_of(message);
    while (reader.next()) {
      if (reader.tag() == grpc::kReady) is_ready = read_bool(&reader);
      else reader.skip();
    }
    return is_ready;
  });
}

Metadata read_grpc_metadata(std::string_view message) {
  return with_protocol_errors([&] {
    Metadata metadata;
    const auto spec_of = [](const char* kind, std::string_view bytes) {
      const Tensor tensor = read_tensor(bytes);
      return make_spec(kind, tensor.name, tensor.datatype, tensor.dims);
    };
    pbf_reader reader = reader_of(message);
    while (reader.next()) {
      switch (reader.tag()) {
        case grpc::kMetadataInputs:
          if (metadata.inputs.size() == kMaxOutputs) broken_answer("at most 4096 inputs", "more");
          metadata.inputs.push_back(spec_of("input", read_bytes(&reader)));
          break;
        case grpc::kMetadataOutputs:
          if (metadata.outputs.size() == kMaxOutputs) broken_answer("at most 4096 outputs", "more");
          metadata.outputs.push_back(spec_of("output", read_bytes(&reader)));
          break;
        case grpc::kMetadataProperties:
          read_entry(read_bytes(&reader), [&](std::string_view key, std::string_view value) {
            if (key == kContractKey) metadata.contract = value;
            if (key == kModelIdKey) metadata.model_id = model_id_of(value);
          });
          break;
        default:
          reader.skip();
      }
    }
    return metadata;
  });
}

InferAnswer read_grpc_answer(const Expected& expected, std::string_view message) {
  return with_protocol_errors([&] {
    InferAnswer answer;
    answer.outputs.resize(expected.outputs.size());
    std::vector<Tensor> tensors;
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
          if (tensors.size() == kMaxOutputs) broken_answer("at most 4096 outputs", "more");
          tensors.push_back(read_tensor(read_bytes(&reader)));
          break;
        case grpc::kRawOutputs:
          if (raw.size() == kMaxOutputs) broken_answer("at most 4096 outputs", "more");
          raw.push_back(read_bytes(&reader));
          break;
        default:
          reader.skip();
      }
    }
    if (!raw.empty() && raw.size() != tensors.size())
      broken_answer("raw contents of all outputs or of none", "another number");
    for (size_t i = 0; i < tensors.size(); ++i) {
      const std::string what = "output '" + tensors[i].name + "'";
      AnswerTensor* const tensor = place_output(expected.outputs, tensors[i].name, &answer);
      if (tensor == nullptr) continue;
      tensor->dtype = read_datatype(tensors[i].datatype, what);
      tensor->dims = std::move(tensors[i].dims);
      if (raw.empty()) Contents(tensors[i].contents, what, tensor);
      else set_binary(raw[i], what, tensor);
    }
    require_outputs(expected.outputs, answer);
    return answer;
  });
}

}  // namespace sidecall::net
