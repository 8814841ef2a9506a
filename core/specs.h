// The tensors, features and columns of a signature as the plain structs of sidecall.h, made once.
// Used by the C ABI and by serving/.
#pragma once

#include <sidecall/sidecall.h>

#include <vector>

#include "core/contract/signature.h"

namespace sidecall {

// The structs hold pointers into the signature, which must outlive this object.
struct Specs {
  explicit Specs(const Signature& signature);
  Specs(const Specs&) = delete;
  Specs& operator=(const Specs&) = delete;

  std::vector<sidecall_tensor_spec> inputs;
  std::vector<sidecall_tensor_spec> outputs;
  std::vector<sidecall_feature_spec> features;
  std::vector<sidecall_column_spec> columns;
  std::vector<std::vector<const char*>> dim_names;
};

}  // namespace sidecall
