// The inputs, outputs and contract of a model, read through the C ABI into plain values; used by
// info, diff and bench.
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>
#include <string>
#include <vector>

#include "formats/json.hpp"

namespace sidecall::cli {

enum class Side { kInput, kOutput };

struct Tensor {
  std::string name;
  std::string type;
  std::vector<int64_t> dims;  // -1 is a free dimension
  std::vector<std::string> dim_names;

  std::string shape() const;           // "[N, 4]"
  std::string type_and_shape() const;  // "float32[N, 4]"
};

std::vector<Tensor> tensors_of(const sidecall_model* model, Side side);

// Returns the contract; an empty object for a file without a contract.
JsonDocument contract_of(const sidecall_model* model);

}  // namespace sidecall::cli
