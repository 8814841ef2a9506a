// Reads parts of messages of gRPC; see grpc_tensor.h.
#include "grpc_tensor.h"

#include <sidecall/sidecall.h>

#include "base/dtype.h"

namespace sidecall::net {
namespace {

using protozero::pbf_reader;
using WireType = protozero::pbf_wire_type;

constexpr size_t kFrameBytes = 5;  // whether the message is compressed, and its length

// protozero asserts that a field has the wire type that it is read as, so this is checked first.
void expect(const pbf_reader& reader, WireType type) {
  if (reader.wire_type() != type)
    broken("the wire type of the protocol's .proto file in field " + std::to_string(reader.tag()),
           "another wire type");
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
  Contents(std::string_view message, const std::string& what, ReceivedTensor* to)
      : what_(what), to_(to), count_(count_elements(*to, what)) {
    if (to->dtype == SIDECALL_DTYPE_STRING) to->offsets.push_back(0);
    const uint32_t field = contents_field(to->dtype);
    pbf_reader reader = reader_of(message);
    while (reader.next()) {
      if (field == 0 || reader.tag() != field)
        broken(std::string("contents of ") + what + " of type " + dtype_name(to->dtype),
               "contents of another type");
      read(&reader);
    }
    if (found_ != count_)
      broken(std::to_string(count_) + " elements in the data of " + what + ", as its shape says",
             std::to_string(found_));
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
      broken(std::to_string(count_) + " elements in the data of " + what_ + ", as its shape says",
             "more");
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
      broken(std::string("elements of ") + what_ + " of type " + dtype_name(to_->dtype),
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
  ReceivedTensor* const to_;
  const int64_t count_;
  int64_t found_ = 0;
};

}  // namespace

std::string_view read_bytes(pbf_reader* reader) {
  expect(*reader, WireType::length_delimited);
  const protozero::data_view view = reader->get_view();
  return {view.data(), view.size()};
}

std::string read_text(pbf_reader* reader) { return std::string(read_bytes(reader)); }

bool read_bool(pbf_reader* reader) {
  expect(*reader, WireType::varint);
  return reader->get_bool();
}

TensorFields read_tensor_fields(std::string_view message) {
  TensorFields tensor;
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
                        if (tensor.dims.size() == kMaxRank) broken("at most 64 dimensions", "more");
                        tensor.dims.push_back(size);
                      });
        break;
      case grpc::kTensorParameters:
        tensor.parameters.push_back(read_bytes(&reader));
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

void set_contents(std::string_view message, const std::string& what, ReceivedTensor* tensor) {
  Contents(message, what, tensor);
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

std::string frame(const std::string& message) {
  std::string framed;
  framed.reserve(kFrameBytes + message.size());
  framed.push_back('\0');  // not compressed
  for (int shift = 24; shift >= 0; shift -= 8)
    framed.push_back(static_cast<char>(message.size() >> shift));
  return framed += message;
}

size_t frame_bytes(std::string_view body) {
  if (body.size() < kFrameBytes) return 0;
  if (body[0] != '\0') broken("a message without compression", "a compressed one");
  size_t length = 0;
  for (size_t i = 1; i < kFrameBytes; ++i)
    length = length << 8 | static_cast<unsigned char>(body[i]);
  return kFrameBytes + length;
}

std::string_view unframe(std::string_view body) {
  const size_t bytes = frame_bytes(body);
  if (bytes == 0) broken("a message", "none");
  if (bytes != body.size())
    broken("one message of " + std::to_string(bytes) + " bytes, as its prefix says",
           std::to_string(body.size()) + " bytes");
  return body.substr(kFrameBytes);
}

}  // namespace sidecall::net
