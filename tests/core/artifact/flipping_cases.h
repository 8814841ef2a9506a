// A small model for each kernel that may read its input in place (core/artifact/in_place_safety.h).
// Used by test_flipping_peer.cpp.
#pragma once

#include <string>
#include <vector>

#include "onnx_builder.h"

struct FlippingCase {
  std::string kernel;  // "domain:op"
  onnx::Graph graph;   // the kernel's inputs are read in place
  int64_t opset = 17;
  int64_t ml_opset = 3;
  bool may_refuse = false;  // An error is a valid outcome: the kernel does not accept every value.
};

// At least one case for each listed kernel, and more if the kernel has several code paths.
std::vector<FlippingCase> flipping_cases();
