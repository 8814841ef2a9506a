// Tells which inputs the engine may read where a peer can change them during the run; used by the server of the channel.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "onnx_file.h"
#include "signature.h"

namespace sidecall {

// By input: true where each kernel that can come to read that memory takes its addresses from shapes and never from the values, so that
// a value that changes between two looks at it changes the answer and nothing else. docs/decisions/013-first-readers.md has the argument.
// Strings, booleans and types of less than a byte are false, and so is everything of a graph with functions of its own.
std::vector<bool> readable_in_place(const OnnxFile& file, const std::vector<TensorSpec>& inputs);

// What a kernel does with the memory that it reads.
enum class Reading : uint8_t {
  kEnds,    // reads it into memory of its own, always
  kPasses,  // the same; but ONNX Runtime's optimiser may take it away or move it behind its reader, which then reads the input itself
  kAliases,  // may hand the very memory on
};

// One kernel of the list, for the tests: they run each beside a peer that flips the values.
struct ListedKernel {
  std::string_view domain;
  std::string_view op;
  bool every_input;  // else the first alone
  bool floats_alone;
  Reading reading;
};
const std::vector<ListedKernel>& listed_kernels();

}  // namespace sidecall
