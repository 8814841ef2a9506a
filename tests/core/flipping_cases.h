// A small model for each kernel of the list of first readers; used by test_flipping_peer.cpp.
#pragma once

#include <string>
#include <vector>

#include "onnx_builder.h"

struct FlippingCase {
  std::string kernel;  // "domain:op"
  onnx::Graph graph;   // its inputs are read in place
  int64_t opset = 17;
  int64_t ml_opset = 3;
  bool may_refuse = false;  // an error is an answer: the kernel does not take every value
};

// At least one for each listed kernel, more where it has several ways to compute.
std::vector<FlippingCase> flipping_cases();
