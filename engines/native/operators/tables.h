// The tables of operators, one for each source file of this folder. operator.cpp searches them.
#pragma once

#include <vector>

#include "engines/native/operator.h"

namespace sidecall::native {

const std::vector<OperatorEntry>& axis_operators();
const std::vector<OperatorEntry>& distance_operators();
const std::vector<OperatorEntry>& elementwise_operators();
const std::vector<OperatorEntry>& feature_operators();
const std::vector<OperatorEntry>& function_operators();
const std::vector<OperatorEntry>& gather_operators();
const std::vector<OperatorEntry>& layout_operators();
const std::vector<OperatorEntry>& lookup_operators();
const std::vector<OperatorEntry>& matrix_operators();
const std::vector<OperatorEntry>& rearrange_operators();
const std::vector<OperatorEntry>& reduction_operators();
const std::vector<OperatorEntry>& svm_operators();
const std::vector<OperatorEntry>& tree_operators();

// The entry for a node that calls a function of the model, by the hash of that function; nullptr if
// it is not one of these functions.
const OperatorEntry* find_neighbor_function(const Node& node);
const OperatorEntry* find_text_function(const Node& node);

}  // namespace sidecall::native
