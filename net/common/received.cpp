// Fills the tensors of a message; see received.h.
#include "received.h"

#include <sidecall/sidecall.h>

#include "base/dtype.h"
#include "datatype.h"
#include "tensor_data.h"

namespace sidecall::net {

void broken(const std::string& expected, const std::string& got) {
  throw BrokenMessage(SIDECALL_PROTOCOL, "expected " + expected + ", got " + got);
}

int64_t count_elements(const ReceivedTensor& tensor, const std::string& what) {
  const int64_t count = element_count(tensor.dims.data(), tensor.dims.size());
  if (count < 0)
    broken("a shape of " + what + " without negative dimensions, whose elements fit in memory",
           "a negative dimension or too many elements");
  return count;
}

void set_binary(std::string_view data, const std::string& what, ReceivedTensor* tensor) {
  const int64_t count = count_elements(*tensor, what);
  if (tensor->dtype == SIDECALL_DTYPE_STRING) {
    if (!read_strings(data, count, &tensor->own, &tensor->offsets))
      broken(std::to_string(count) + " strings that fill the bytes of " + what,
             "strings of other lengths");
    tensor->data = tensor->own.data();
    tensor->bytes = tensor->own.size();
    return;
  }
  const auto expected =
      static_cast<uint64_t>(count) * static_cast<uint64_t>(dtype_bits(tensor->dtype)) / 8;
  if (data.size() != expected)
    broken(std::to_string(expected) + " bytes for " + what, std::to_string(data.size()));
  tensor->data = data.data();
  tensor->bytes = data.size();
}

int32_t read_datatype(const std::string& datatype, const std::string& what) {
  const int32_t dtype = dtype_of(datatype);
  if (dtype == 0) broken("a datatype of " + what, datatype.empty() ? "none" : "an unknown one");
  return dtype;
}

}  // namespace sidecall::net
