// Checks the results of a run: which rows the model refuses.
#pragma once

#include <cstdint>

#include "core/contract/signature.h"
#include "output_tensors.h"

namespace sidecall {

// Throws an error with one fault for each refused row, if there are any. A fault names the step
// that refused the row or, if no step did, the first column that must be finite but is not.
void check_results(const Signature& signature, OutputTensors* outputs, int64_t rows);

}  // namespace sidecall
