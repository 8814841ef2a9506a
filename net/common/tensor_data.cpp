// Writes and reads tensors in binary; see tensor_data.h.
#include "tensor_data.h"

#include <sidecall/sidecall.h>

#include <limits>

#include "base/dtype.h"
#include "datatype.h"
#include "error.h"

namespace sidecall::net {
namespace {

constexpr size_t kLengthBytes = 4;

}  // namespace

uint64_t strings_bytes(const int64_t* offsets, int64_t count) noexcept {
  return static_cast<uint64_t>(offsets[count] - offsets[0]) +
         static_cast<uint64_t>(count) * kLengthBytes;
}

void append_strings(const char* bytes, const int64_t* offsets, int64_t count, std::string* out) {
  for (int64_t i = 0; i < count; ++i) {
    const int64_t length = offsets[i + 1] - offsets[i];
    for (size_t byte = 0; byte < kLengthBytes; ++byte)
      out->push_back(static_cast<char>(length >> (8 * byte)));
    out->append(bytes + offsets[i], static_cast<size_t>(length));
  }
}

bool read_strings(std::string_view data, int64_t count, std::vector<char>* bytes,
                  std::vector<int64_t>* offsets) {
  bytes->clear();
  offsets->assign(1, 0);
  for (int64_t i = 0; i < count; ++i) {
    if (data.size() < kLengthBytes) return false;
    size_t length = 0;
    for (size_t byte = 0; byte < kLengthBytes; ++byte)
      length |= size_t{static_cast<unsigned char>(data[byte])} << (8 * byte);
    data.remove_prefix(kLengthBytes);
    if (data.size() < length) return false;
    bytes->insert(bytes->end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(length));
    offsets->push_back(static_cast<int64_t>(bytes->size()));
    data.remove_prefix(length);
  }
  return data.empty();
}

int64_t element_count(const int64_t* dims, size_t rank) noexcept {
  // The size in bits must not overflow either, whatever the type.
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / 128;
  int64_t count = 1;
  for (size_t i = 0; i < rank; ++i) {
    const int64_t size = dims[i];
    if (size < 0 || (size != 0 && count > kMost / size)) return -1;
    count *= size;
  }
  return count;
}

int64_t count_elements(const sidecall_net_tensor& tensor) {
  return element_count(tensor.dims, static_cast<size_t>(tensor.rank));
}

const char* datatype_of(const sidecall_net_tensor& tensor) {
  const char* const name = datatype_name(tensor.dtype);
  if (name == nullptr)
    throw Error(SIDECALL_UNSUPPORTED,
                std::string("tensor '") + tensor.name +
                    "': expected a type of the Open Inference Protocol, got " +
                    dtype_name(tensor.dtype));
  return name;
}

uint64_t binary_bytes(const sidecall_net_tensor& tensor) {
  return tensor.dtype == SIDECALL_DTYPE_STRING
             ? strings_bytes(tensor.offsets, count_elements(tensor))
             : tensor.bytes;
}

void append_binary(const sidecall_net_tensor& tensor, std::string* out) {
  const char* const data = static_cast<const char*>(tensor.data);
  if (tensor.dtype == SIDECALL_DTYPE_STRING)
    append_strings(data, tensor.offsets, count_elements(tensor), out);
  else if (tensor.bytes > 0) out->append(data, tensor.bytes);
}

}  // namespace sidecall::net
