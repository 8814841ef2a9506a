// Reads the parts that several messages of gRPC have in common, with protozero. All functions throw
// BrokenMessage.
#pragma once

#include <protozero/pbf_reader.hpp>
#include <string>
#include <string_view>

#include "grpc_fields.h"
#include "received.h"

namespace sidecall::net {

inline constexpr size_t kMaxTensors = 4096;  // in a message

inline protozero::pbf_reader reader_of(std::string_view message) {
  return {message.data(), message.size()};
}

// Runs `body`, which reads a message with protozero.
template <typename Body>
auto reading_protobuf(Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const protozero::exception&) {
    broken("a protobuf message", "other bytes");
  }
}

// The value of the present field, which must have this type.
std::string_view read_bytes(protozero::pbf_reader* reader);
std::string read_text(protozero::pbf_reader* reader);
bool read_bool(protozero::pbf_reader* reader);

// A tensor as a message describes it.
struct TensorFields {
  std::string name, datatype;
  Dims dims;
  std::string_view contents;  // InferTensorContents; without data() if there are none
  std::vector<std::string_view> parameters;  // entries of a map
};
TensorFields read_tensor_fields(std::string_view message);

// Sets the elements of a tensor from InferTensorContents.
void set_contents(std::string_view message, const std::string& what, ReceivedTensor* tensor);

// Calls found(key, value) with an entry of a map.
template <typename Found>
void read_entry(std::string_view message, Found found) {
  std::string_view key, value;
  protozero::pbf_reader reader = reader_of(message);
  while (reader.next()) {
    if (reader.tag() == grpc::kKey) key = read_bytes(&reader);
    else if (reader.tag() == grpc::kValue) value = read_bytes(&reader);
    else reader.skip();
  }
  found(key, value);
}

// The text of an InferParameter; "" if it is another value.
std::string string_parameter(std::string_view message);

// A message in the frame in which gRPC sends it, and the only message of a body.
std::string frame(const std::string& message);
std::string_view unframe(std::string_view body);
// How many bytes the first frame of a body has, as its head says; 0 if the head is not whole.
size_t frame_bytes(std::string_view body);

}  // namespace sidecall::net
