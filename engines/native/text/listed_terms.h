// Replaces lists of terms by matrices.
#pragma once

#include "engines/native/graph.h"

namespace sidecall::native {

// Some functions of text vectorizers answer with the list of the numbers that are not zero (rows,
// columns and values), because ONNX Runtime would compute the whole matrix. Here each such value
// becomes the matrix that it stands for, and the functions that compute with lists become operators
// of ONNX, which fusion.h then fuses with the node that counts. A node that keeps its function,
// kDamp, computes zero for zero.
//
// Throws UNSUPPORTED if the nodes do something else with a list, or if the whole matrix would give
// another answer.
void replace_listed_terms(Graph* graph);

}  // namespace sidecall::native
