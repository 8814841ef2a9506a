// A tensor of a message that the other side sent, and what is wrong with a message. Used by the
// readers of answers and of requests, over HTTP and over gRPC.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor_spec.h"
#include "error.h"

namespace sidecall::net {

inline constexpr size_t kMaxRank = 64;

struct ReceivedTensor {
  std::string name;
  int32_t dtype = 0;
  Dims dims;
  const void* data = nullptr;  // within the message, or `own`
  uint64_t bytes = 0;
  std::vector<char> own;
  std::vector<int64_t> offsets;  // of strings: one more than there are elements
};

// A message that breaks the protocol. The text does not say which message it is.
class BrokenMessage : public Error {
 public:
  using Error::Error;
};

[[noreturn]] void broken(const std::string& expected, const std::string& got);

// Runs `body`, which reads a message. Throws PROTOCOL with a text that begins with the name of the
// message: "answer: expected ..., got ...".
template <typename Body>
auto reading(const char* message, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const BrokenMessage& error) {
    throw Error(SIDECALL_PROTOCOL, std::string(message) + ": " + error.what());
  }
}

// All of the following throw BrokenMessage. `what` names the tensor: "output 'label'".

// The number of elements of a tensor. Throws if no data can have so many.
int64_t count_elements(const ReceivedTensor& tensor, const std::string& what);
// Sets the elements from data in binary, to which the tensor may point afterwards.
void set_binary(std::string_view data, const std::string& what, ReceivedTensor* tensor);
// The number of the type.
int32_t read_datatype(const std::string& datatype, const std::string& what);

}  // namespace sidecall::net
