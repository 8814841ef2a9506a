// Checks that the shapes of the inputs agree, and derives the shapes of the outputs from them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/contract/signature.h"

namespace sidecall {

// Throws SHAPE_MISMATCH unless the graph accepts this shape for the input.
void require_input_shape(const TensorSpec& spec, const Dims& dims);

// Returns the number of rows of the inputs; `rows` if no input has rows. With a contract, throws
// SHAPE_MISMATCH unless all inputs that have rows have the same number of them. Without one, only
// require_equal_dims() compares rows.
int64_t common_rows(const Signature& signature, const std::vector<Dims>& inputs, int64_t rows);

// Throws SHAPE_MISMATCH unless dimensions to which the graph gives the same name have the same
// size.
void require_equal_dims(const Signature& signature, const std::vector<Dims>& inputs);

// The shape of each output, from the number of rows and the named dimensions of the inputs; nullopt
// if only the run determines it.
std::vector<std::optional<Dims>> infer_output_shapes(const Signature& signature,
                                                     const std::vector<Dims>& inputs, int64_t rows);

}  // namespace sidecall
