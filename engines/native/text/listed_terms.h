// Replaces lists of terms by matrices.
#pragma once

#include "engines/native/graph.h"

namespace sidecall::native {

// Some functions of text vectorizers return a matrix as a list of its nonzero elements (rows,
// columns and values), because ONNX Runtime would compute the whole matrix. This pass replaces each
// list by the matrix, and each function that computes with lists by operators of ONNX. Then
// fusion.h fuses these operators with the node that counts. Only nodes that call kDamp keep their
// function: it also works on a matrix, because it maps zero to zero.
//
// Throws UNSUPPORTED if the nodes do something else with a list, or if the whole matrix would give
// another answer.
void replace_listed_terms(Graph* graph);

}  // namespace sidecall::native
