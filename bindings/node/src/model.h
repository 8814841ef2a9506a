// The native side of a model: describes and closes it; made by open.cpp, used by call.cpp.
#pragma once

#include <memory>

#include "environment.h"

namespace sidecall_node {

class Model final : public Napi::ObjectWrap<Model> {
 public:
  static void define(Napi::Env env, Napi::Object exports);

  // Takes ownership of the handle in `*opened`. `bytes` is the size of the model; it is reported to
  // the garbage collector, which would otherwise see only a tiny object.
  static Napi::Object make(Environment& environment, sidecall_model** opened, int64_t bytes);

  explicit Model(const Napi::CallbackInfo& info);
  ~Model() override;

  const sidecall_model* handle() const { return handle_; }

 private:
  template <Napi::Value (Model::*kMethod)(const Napi::CallbackInfo&)>
  Napi::Value guarded_method(const Napi::CallbackInfo& info) {
    return guarded_body(info.Env(), [&] { return (this->*kMethod)(info); });
  }

  Napi::Value describe(const Napi::CallbackInfo& info);
  Napi::Value id(const Napi::CallbackInfo& info);
  Napi::Value find(const Napi::CallbackInfo& info);
  Napi::Value refuse_empty(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  void release();

  std::shared_ptr<Environment> environment_;
  sidecall_model* handle_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace sidecall_node
