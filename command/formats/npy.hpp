// Reads and writes NumPy's .npy files (format 1.0 to 3.0); used by `sidecall run`.
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sidecall::cli {

// An array in the layout of sidecall_view: strings as UTF-8 with offsets, all other types as in the
// file.
struct Array {
  int32_t dtype = 0;        // 0: a type that tensors do not have; `numpy_dtype` names it
  std::string numpy_dtype;  // "<f4", or the longer text of a structured type
  std::vector<int64_t> dims;
  std::string data;
  std::vector<int64_t> offsets;

  sidecall_view view();
};

// Reads a file, or stdin for "-". If it is not a .npy file in C order, throws a Failure with
// kBadInput whose message begins with the name of the file.
Array read_npy(const std::string& path);

// Returns the .npy file for an output. Throws a Failure with kBadModel for types that .npy does not
// have (bfloat16, 8-bit floats and 4-bit types).
std::string to_npy(const std::string& output, const sidecall_view& view);

}  // namespace sidecall::cli
