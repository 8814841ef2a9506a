// Input shapes that must agree, and the output shapes that follow; see shape_inference.h.
#include "shape_inference.h"

#include <string>

#include "core/error.h"

namespace sidecall {
namespace {

// The size of each named dimension, by the id of the name; -1 if no input has the name.
using NamedDims = std::vector<int64_t>;

std::optional<Dims> infer_output_shape(const Signature& signature, size_t output, int64_t rows,
                                       const NamedDims& named) {
  const TensorSpec& spec = signature.outputs[output];
  if (!spec.is_shaped) return std::nullopt;
  const int64_t width = signature.output_width[output];
  const std::vector<int32_t>& ids = signature.output_dim_ids[output];
  Dims dims = spec.dims;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] >= 0) continue;
    const int64_t size = ids[i] < 0 ? -1 : named[static_cast<size_t>(ids[i])];
    if (size >= 0) {
      dims[i] = size;
    } else if (width > 0 && i < 2) {
      dims[i] = i == 0 ? rows : width;
    } else {
      return std::nullopt;
    }
  }
  return dims;
}

}  // namespace

void require_input_shape(const TensorSpec& spec, const Dims& dims) {
  if (spec.has_rows() && dims.size() == spec.dims.size() && dims[0] == 0) {
    throw Error("input", {SIDECALL_SHAPE_MISMATCH, -1, spec.name, "at least 1 row", "0 rows"});
  }
  bool fits = dims.size() == spec.dims.size();
  for (size_t i = 0; fits && i < dims.size(); ++i)
    fits = dims[i] >= 0 && (spec.dims[i] < 0 || spec.dims[i] == dims[i]);
  if (fits) return;
  throw Error("input", {SIDECALL_SHAPE_MISMATCH, -1, spec.name,
                        describe_tensor(spec.dtype, spec.dims, &spec.dim_names),
                        describe_tensor(spec.dtype, dims)});
}

int64_t common_rows(const Signature& signature, const std::vector<Dims>& inputs, int64_t rows) {
  const TensorSpec* first = nullptr;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorSpec& spec = signature.inputs[i];
    if (!spec.has_rows()) continue;
    if (first == nullptr) first = &spec, rows = inputs[i][0];
    if (signature.has_contract && inputs[i][0] != rows) {
      throw Error("input", {SIDECALL_SHAPE_MISMATCH, -1, spec.name,
                            std::to_string(rows) + " rows as in input '" + first->name + "'",
                            std::to_string(inputs[i][0]) + " rows"});
    }
  }
  return rows;
}

void require_equal_dims(const Signature& signature, const std::vector<Dims>& inputs) {
  NamedDims named(signature.num_dim_ids, -1);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorSpec& spec = signature.inputs[i];
    const std::vector<int32_t>& ids = signature.input_dim_ids[i];
    for (size_t k = 0; k < ids.size(); ++k) {
      if (ids[k] < 0) continue;
      int64_t& size = named[static_cast<size_t>(ids[k])];
      if (size < 0) size = inputs[i][k];
      if (size != inputs[i][k]) {
        throw Error("input", {SIDECALL_SHAPE_MISMATCH, -1, spec.name,
                              std::to_string(size) + " for dimension '" + spec.dim_names[k] + "'",
                              std::to_string(inputs[i][k])});
      }
    }
  }
}

std::vector<std::optional<Dims>> infer_output_shapes(const Signature& signature,
                                                     const std::vector<Dims>& inputs,
                                                     int64_t rows) {
  NamedDims named(signature.num_dim_ids, -1);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::vector<int32_t>& ids = signature.input_dim_ids[i];
    for (size_t k = 0; k < ids.size(); ++k) {
      if (ids[k] >= 0 && named[static_cast<size_t>(ids[k])] < 0)
        named[static_cast<size_t>(ids[k])] = inputs[i][k];
    }
  }
  std::vector<std::optional<Dims>> shapes;
  shapes.reserve(signature.outputs.size());
  for (size_t i = 0; i < signature.outputs.size(); ++i)
    shapes.push_back(infer_output_shape(signature, i, rows, named));
  return shapes;
}

}  // namespace sidecall
