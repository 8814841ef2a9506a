// NumPy's .npy files (format 1.0 to 3.0), read and written for `sidecall run`.
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sidecall::cli {

// An array as sidecall_view wants it: strings as UTF-8 with offsets, all else as it stands in the file.
struct Array {
  int32_t dtype = 0;        // 0: a type that no tensor has; `numpy_dtype` says which
  std::string numpy_dtype;  // "<f4", or a name where it is no simple type
  std::vector<int64_t> dims;
  std::string data;
  std::vector<int64_t> offsets;

  sidecall_view view();
};

// Reads a file, or stdin for "-". Throws a Failure with kBadInput, which begins with the name, when
// it is not a .npy file in C order.
Array read_npy(const std::string& path);

// Failure with kBadModel for types that .npy has no word for (bfloat16, types of 4 and 8 bits).
std::string to_npy(const std::string& output, const sidecall_view& view);

}  // namespace sidecall::cli
