// Elements of tensors as the Open Inference Protocol sends them in binary: numbers in little-endian
// order, and each string after its length in four bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "net/api/net.h"

namespace sidecall::net {

// Appends strings; string i is bytes[offsets[i]] to bytes[offsets[i + 1]].
void append_strings(const char* bytes, const int64_t* offsets, int64_t count, std::string* out);
// The number of bytes that append_strings() appends.
uint64_t strings_bytes(const int64_t* offsets, int64_t count) noexcept;

// Reads `count` strings, which must fill `data`. Replaces `bytes` and `offsets`; returns false if
// the lengths do not fit.
bool read_strings(std::string_view data, int64_t count, std::vector<char>* bytes,
                  std::vector<int64_t>* offsets);

// The number of elements of a tensor.
int64_t count_elements(const sidecall_net_tensor& tensor);
// The protocol's name of its type. Throws UNSUPPORTED if it has none.
const char* datatype_of(const sidecall_net_tensor& tensor);
// The bytes of its elements in binary, and the elements themselves.
uint64_t binary_bytes(const sidecall_net_tensor& tensor);
void append_binary(const sidecall_net_tensor& tensor, std::string* out);

// The number of elements of this shape; -1 if a dimension is negative, or no data can be so large.
int64_t element_count(const int64_t* dims, size_t rank) noexcept;

}  // namespace sidecall::net
