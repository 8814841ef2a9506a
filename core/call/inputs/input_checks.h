// Checks the inputs of a call before a run.
#pragma once

#include "core/contract/signature.h"
#include "feature_states.h"
#include "input_tensors.h"

namespace sidecall {

// Throws MISSING_INPUT unless each input was set or comes from records.
void require_all_inputs(const Signature& signature, const FeatureStates& states,
                        const InputTensors& inputs);

// Throws all faults of the inputs: values that were refused when they were set, and values for
// which the graph would silently compute an answer. Features that the records left out become
// missing values where that is allowed. The shapes of the inputs must agree.
void check_inputs(const Signature& signature, const FeatureStates& states, InputTensors* inputs);

}  // namespace sidecall
