// Reads an ONNX file by the schema, strictly, and finds its external data; used by onnx_file.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dtype.h"

namespace sidecall {

// A TensorProto that names a file, or says that its data lie in one.
struct ExternalTensor {
  size_t begin = 0;  // its payload in the bytes of the model
  size_t end = 0;
  bool is_flagged = false;  // data_location is EXTERNAL: without it the data in the message count
  bool is_in_main_graph = false;  // an initializer of it
  std::string name;
  int32_t dtype = 0;
  Dims dims;
  std::string location, offset, length;  // the entries of external_data
};

// A message around external data, or such a tensor itself: its length changes when the data move
// into it.
struct Envelope {
  size_t length_at = 0;  // where the varint of its length stands
  size_t begin = 0;
  size_t end = 0;
  int64_t tensor = -1;  // index of the tensor that it is
};

struct OnnxContent {
  int64_t num_nodes = 0;                // of all graphs and functions
  int64_t num_tree_nodes = 0;           // those of them that is_tree_operator() is true of
  std::vector<ExternalTensor> tensors;  // in the order of the file
  std::vector<Envelope> envelopes;      // inner ones before those around them
};

// Tree ensembles, and what makes labels and probabilities of their sums: nothing that ONNX Runtime
// would fuse or compute in advance.
bool is_tree_operator(std::string_view op_type);

// Reads all of a ModelProto. What passes has one reading for every parser of protobuf: known fields
// in their own wire type, singular fields once, numbers in their shortest form and the range of
// their type, text in UTF-8, nesting that protobuf accepts. Throws FILE_INVALID, which names the
// place.
OnnxContent read_onnx(std::string_view bytes, const std::string& label);

}  // namespace sidecall
