// Fuses the node that counts terms with the nodes that read its counts.
#pragma once

#include "engines/native/graph.h"

namespace sidecall::native {

// A text has few of the terms that a model knows, so nearly all counts are zero. Weights, norms and
// products that follow are therefore computed for the other counts only: the nodes up to a product
// with a constant matrix become one node, which lists them in Node::fused. Its further inputs are
// their constants, two for each step.
void fuse_term_counts(Graph* graph);

}  // namespace sidecall::native
