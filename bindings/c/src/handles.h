// The handles behind the C ABI's opaque types. Both keep the model alive.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>
#include <string>
#include <vector>

#include "core/model.h"

struct sidecall_model {
  std::shared_ptr<const sidecall::Model> model;

  // The signature as plain structs, made once at open.
  std::vector<sidecall_tensor_spec> inputs;
  std::vector<sidecall_tensor_spec> outputs;
  std::vector<sidecall_feature_spec> features;
  std::vector<sidecall_column_spec> columns;
  std::vector<std::vector<const char*>> dim_names;

  explicit sidecall_model(std::shared_ptr<const sidecall::Model> opened);
  sidecall_model(const sidecall_model&) = delete;
  sidecall_model& operator=(const sidecall_model&) = delete;
};

struct sidecall_call {
  std::shared_ptr<const sidecall::Model> model;  // outlives the call below
  sidecall::Call call;
};
