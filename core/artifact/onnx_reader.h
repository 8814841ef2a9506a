// Reads an ONNX file strictly by its schema, and finds its external data; used by onnx_file.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/shapes.h"

namespace sidecall {

// A TensorProto that names a file, or says that its data lie in one.
struct ExternalTensor {
  size_t begin = 0;  // begin and end of its payload in the bytes of the model
  size_t end = 0;
  bool is_flagged = false;        // data_location is EXTERNAL; otherwise the message has the data
  bool is_in_main_graph = false;  // an initializer of the main graph
  std::string name;
  int32_t dtype = 0;
  Dims dims;
  std::string location, offset, length;  // the entries of external_data
};

// A message that contains a tensor with external data, or such a tensor itself. Its length changes
// when the data move into it.
struct Envelope {
  size_t length_at = 0;  // position of the varint that holds its length
  size_t begin = 0;
  size_t end = 0;
  int64_t tensor = -1;  // index of the tensor, if this is one; else -1
};

struct OnnxContent {
  int64_t num_nodes = 0;                // of all graphs and functions
  int64_t num_tree_nodes = 0;           // nodes for which is_tree_operator() is true
  std::vector<ExternalTensor> tensors;  // in the order of the file
  std::vector<Envelope> envelopes;      // inner ones before outer ones
};

// True for tree ensembles and for the operators that turn their sums into labels and probabilities.
// ONNX Runtime would neither fuse these nor compute anything in advance.
bool is_tree_operator(std::string_view op_type);

// Reads a whole ModelProto. Accepts only files for which every protobuf parser gives the same
// result: all fields must be known and have their own wire type, singular fields must occur at most
// once, numbers must be in their shortest form and within the range of their type, text must be
// UTF-8, and protobuf must accept the depth of nesting. Throws FILE_INVALID, whose message names
// the position.
OnnxContent read_onnx(std::string_view bytes, const std::string& label);

}  // namespace sidecall
