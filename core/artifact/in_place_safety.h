// Tells which inputs ONNX Runtime may read in memory that a client can change during the run; used
// by its engine, which a server asks.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/contract/signature.h"
#include "onnx_file.h"

namespace sidecall {

// For each input: true if no value in its memory can lead a kernel that reads it to an invalid
// address. Most kernels compute addresses from shapes alone; those of trees also compare values,
// but either result leads to a node of the tree. So a value that changes between two reads changes
// the answer and nothing else. docs/decisions/013-inputs-read-in-place.md gives the reasons. False
// for strings, booleans, bfloat16, 8-bit floats and 4-bit integers, and for every input of a graph
// that defines functions.
std::vector<bool> readable_in_place(const OnnxFile& file, const std::vector<TensorSpec>& inputs);

// What a kernel does with the memory that it reads.
enum class Reading : uint8_t {
  kEnds,  // always writes its results to memory of its own
  // The same, but ONNX Runtime's optimiser may remove this kernel, or move it after the kernel that
  // reads its output. In both cases that other kernel reads the memory of the input.
  kPasses,
  kAliases,  // may pass on the memory of the input as its output
};

// One kernel of the list. The tests use it: they run each kernel while another thread changes the
// values.
struct ListedKernel {
  std::string_view domain;
  std::string_view op;
  bool every_input;   // otherwise only the first input is safe
  bool floats_alone;  // only floating-point inputs are safe
  Reading reading;
};
const std::vector<ListedKernel>& listed_kernels();

}  // namespace sidecall
