// Describes the inputs and outputs of a model as plain objects; see model.h.
#include "model.h"

#include <sidecall/binding.h>

#include <string>
#include <utility>

namespace sidecall_node {
namespace {

// Approximate memory of an ONNX Runtime session, without the weights of the model.
constexpr int64_t kSessionBytes = 256 * 1024;

Napi::Value describe_tensor(Napi::Env env, const sidecall_tensor_spec& spec) {
  auto dims = Napi::Array::New(env, static_cast<size_t>(spec.rank));
  auto names = Napi::Array::New(env, static_cast<size_t>(spec.rank));
  for (int32_t i = 0; i < spec.rank; ++i) {
    const std::string name = spec.dim_names[i];
    dims[static_cast<uint32_t>(i)] = number_or_null(env, spec.dims[i]);
    names[static_cast<uint32_t>(i)] =
        name.empty() ? env.Null() : Napi::String::New(env, name).As<Napi::Value>();
  }
  auto tensor = Napi::Object::New(env);
  tensor.Set("name", spec.name);
  tensor.Set("dtype", sidecall_dtype_name(spec.dtype));
  tensor.Set("type", spec.dtype);
  tensor.Set("dims", dims);
  tensor.Set("dimNames", names);
  return tensor;
}

template <typename Spec, typename Describe>
Napi::Value list(Napi::Env env, int32_t count, Spec spec, Describe describe) {
  auto all = Napi::Array::New(env, static_cast<size_t>(count));
  for (int32_t i = 0; i < count; ++i) {
    const Napi::HandleScope scope(env);
    all.Set(static_cast<uint32_t>(i), describe(*spec(i)));
  }
  return all;
}

}  // namespace

void Model::define(Napi::Env env, Napi::Object exports) {
  const Napi::Function constructor =
      DefineClass(env, "Model",
                  {
                      InstanceMethod<&Model::guarded_method<&Model::describe>>("describe"),
                      InstanceMethod<&Model::guarded_method<&Model::id>>("id"),
                      InstanceMethod<&Model::guarded_method<&Model::find>>("find"),
                      InstanceMethod<&Model::guarded_method<&Model::refuse_empty>>("refuseEmpty"),
                      InstanceMethod<&Model::guarded_method<&Model::close>>("close"),
                  });
  Environment::of(env).model_constructor = Napi::Persistent(constructor);
  exports.Set("Model", constructor);
}

Napi::Object Model::make(Environment& environment, sidecall_model** opened, int64_t bytes) {
  const Napi::Env env = environment.env;
  return environment.model_constructor.New({Napi::External<sidecall_model*>::New(env, opened),
                                            Napi::Number::New(env, static_cast<double>(bytes))});
}

// The constructor takes ownership of the handle in its last line: the lines before may throw, and
// then the handle still belongs to the caller.
Model::Model(const Napi::CallbackInfo& info)
    : ObjectWrap(info),
      environment_(*info.Env().GetInstanceData<std::shared_ptr<Environment>>()),
      bytes_(kSessionBytes + info[1].As<Napi::Number>().Int64Value()) {
  Napi::MemoryManagement::AdjustExternalMemory(info.Env(), bytes_);
  handle_ = std::exchange(*info[0].As<Napi::External<sidecall_model*>>().Data(), nullptr);
}

Model::~Model() { release(); }

void Model::release() {
  if (handle_ == nullptr) return;
  sidecall_model_close(std::exchange(handle_, nullptr));
  if (!environment_->is_closing)
    Napi::MemoryManagement::AdjustExternalMemory(environment_->env, -bytes_);
}

Napi::Value Model::close(const Napi::CallbackInfo& info) {
  release();
  return info.Env().Undefined();
}

// describe(): returns {name, version, engine, engineReason, warning, contract, inputs, outputs,
// features, columns}; `contract` is JSON text, or null.
Napi::Value Model::describe(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto text_or_null = [&](const char* text) {
    return text == nullptr ? env.Null() : Napi::String::New(env, text).As<Napi::Value>();
  };
  auto all = Napi::Object::New(env);
  all.Set("name", sidecall_model_name(handle_));
  all.Set("version", sidecall_model_version(handle_));
  all.Set("route", sidecall_model_route(handle_));
  all.Set("engine", sidecall_model_engine(handle_));
  all.Set("engineReason", sidecall_model_engine_reason(handle_));
  all.Set("warning", text_or_null(sidecall_model_warning(handle_)));
  all.Set("contract", text_or_null(sidecall_model_contract(handle_, nullptr)));
  const auto tensor = [&](const sidecall_tensor_spec& spec) { return describe_tensor(env, spec); };
  all.Set("inputs", list(
                        env, sidecall_model_num_inputs(handle_),
                        [&](int32_t i) { return sidecall_model_input_spec(handle_, i); }, tensor));
  all.Set("outputs",
          list(
              env, sidecall_model_num_outputs(handle_),
              [&](int32_t i) { return sidecall_model_output_spec(handle_, i); }, tensor));
  all.Set("features", list(
                          env, sidecall_model_num_features(handle_),
                          [&](int32_t i) { return sidecall_model_feature_spec(handle_, i); },
                          [&](const sidecall_feature_spec& spec) {
                            auto feature = Napi::Object::New(env);
                            feature.Set("name", spec.name);
                            feature.Set("dtype", sidecall_dtype_name(spec.dtype));
                            feature.Set("nullable", Napi::Boolean::New(env, spec.nullable != 0));
                            feature.Set("input",
                                        sidecall_model_input_spec(handle_, spec.input)->name);
                            feature.Set("column", spec.column);
                            if (*spec.unit != '\0') feature.Set("unit", spec.unit);
                            if (*spec.zone != '\0') feature.Set("zone", spec.zone);
                            if (*spec.epoch != '\0') feature.Set("epoch", spec.epoch);
                            return feature;
                          }));
  all.Set("columns", list(
                         env, sidecall_model_num_columns(handle_),
                         [&](int32_t i) { return sidecall_model_column_spec(handle_, i); },
                         [&](const sidecall_column_spec& spec) {
                           auto column = Napi::Object::New(env);
                           column.Set("name", spec.name);
                           column.Set("output",
                                      sidecall_model_output_spec(handle_, spec.output)->name);
                           column.Set("dtype", sidecall_dtype_name(spec.dtype));
                           column.Set("key", spec.key);
                           column.Set("column", spec.column);
                           column.Set("form", spec.form);
                           return column;
                         }));
  return all;
}

// If the file does not contain the id, the library computes it on first use, which reads the whole
// model.
Napi::Value Model::id(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), sidecall_model_id(handle_));
}

// find(kind, name): returns the index of the name, or throws UNKNOWN_NAME with the text of core.
Napi::Value Model::find(const Napi::CallbackInfo& info) {
  const std::string name = info[1].As<Napi::String>();
  int32_t index = -1;
  environment_->check(sidecall_model_find(handle_, info[0].As<Napi::Number>().Int32Value(),
                                          name.data(), name.size(), &index, environment_->error()));
  return Napi::Number::New(info.Env(), index);
}

// refuseEmpty(): throws the error of core for an empty list of records.
Napi::Value Model::refuse_empty(const Napi::CallbackInfo& info) {
  sidecall_text* text = nullptr;
  environment_->check(sidecall_predict_json(handle_, "[]", 2, &text, environment_->error()));
  sidecall_text_close(text);
  return info.Env().Undefined();
}

}  // namespace sidecall_node
