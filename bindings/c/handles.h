// The handles behind the C ABI's opaque types. Both keep the model alive.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>
#include <utility>
#include <vector>

#include "core/model.h"

namespace sidecall {

// The signature as plain structs, made once at open. They hold pointers into the model's own.
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

struct sidecall_model {
  explicit sidecall_model(std::shared_ptr<const sidecall::Model> opened)
      : model(std::move(opened)), specs(std::make_shared<const sidecall::Specs>(model->signature())) {}

  std::shared_ptr<const sidecall::Model> model;
  std::shared_ptr<const sidecall::Specs> specs;
};

struct sidecall_call {
  std::shared_ptr<const sidecall::Model> model;  // outlives the call below
  std::shared_ptr<const sidecall::Specs> specs;  // callers hold pointers into it until the last call is closed
  sidecall::Call call;
};
