// Construction, runs and destruction of a call; see call.h. Tensors are in call_tensors.cpp,
// records in call_records.cpp.
#include "call.h"

#include <cstdint>
#include <limits>
#include <utility>

#include "model.h"

namespace sidecall_node {
namespace {

// Approximate memory of a call in addition to its tensors. V8 cannot see this memory, and would run
// the garbage collector too late.
constexpr int64_t kCallBytes = 16 * 1024;

}  // namespace

void Call::define(Napi::Env env, Napi::Object exports) {
  const Napi::Function constructor =
      DefineClass(env, "Call",
                  {
                      InstanceMethod<&Call::guarded_method<&Call::run_until>>("runUntil"),
                      InstanceMethod<&Call::guarded_method<&Call::submit>>("submit"),
                      InstanceMethod<&Call::guarded_method<&Call::expected_ns>>("expectedNs"),
                      InstanceMethod<&Call::guarded_method<&Call::cancel_run>>("cancel"),
                      InstanceMethod<&Call::guarded_method<&Call::close_call>>("close"),
                      InstanceMethod<&Call::guarded_method<&Call::own_input>>("ownInput"),
                      InstanceMethod<&Call::guarded_method<&Call::borrow_input>>("borrowInput"),
                      InstanceMethod<&Call::guarded_method<&Call::copy_input>>("copyInput"),
                      InstanceMethod<&Call::guarded_method<&Call::give_strings>>("giveStrings"),
                      InstanceMethod<&Call::guarded_method<&Call::refuse_input>>("refuseInput"),
                      InstanceMethod<&Call::guarded_method<&Call::reset>>("reset"),
                      InstanceMethod<&Call::guarded_method<&Call::output_dims>>("outputDims"),
                      InstanceMethod<&Call::guarded_method<&Call::own_output>>("ownOutput"),
                      InstanceMethod<&Call::guarded_method<&Call::read_output>>("readOutput"),
                      InstanceMethod<&Call::guarded_method<&Call::set_invalid>>("setInvalid"),
                      InstanceMethod<&Call::guarded_method<&Call::set_unknown>>("setUnknown"),
                      InstanceMethod<&Call::guarded_method<&Call::clear>>("clear"),
                      InstanceMethod<&Call::guarded_method<&Call::refuse_column>>("refuseColumn"),
                  });
  exports.Set("Call", constructor);
}

// new Call(model, rows, onFail). Every function of Node-API may throw while a worker is
// being terminated, and then the destructor does not run. So the constructor takes ownership of the
// handle in its last line.
Call::Call(const Napi::CallbackInfo& info)
    : ObjectWrap(info), environment_(*info.Env().GetInstanceData<std::shared_ptr<Environment>>()) {
  const Napi::Env env = info.Env();
  const sidecall_model* model = Model::Unwrap(info[0].As<Napi::Object>())->handle();
  const int64_t rows = info[1].As<Napi::Number>().Int64Value();
  guarded_body(env, [&] { open(model, rows, info); });
}

void Call::open(const sidecall_model* model, int64_t rows, const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  sidecall_call* opened = nullptr;
  environment_->check(sidecall_model_take_call(model, rows, &opened, environment_->error()));
  std::unique_ptr<sidecall_call, void (*)(sidecall_call*)> handle(opened, sidecall_call_close);
  inputs_.resize(static_cast<size_t>(sidecall_model_num_inputs(model)));
  outputs_.resize(static_cast<size_t>(sidecall_model_num_outputs(model)));
  closed_memory_.reserve(inputs_.size() + outputs_.size());

  const auto self = info.This().As<Napi::Object>();
  add_function(self, "run", run_now);
  add_function(self, "setRecords", set_records);
  add_function(self, "readText", read_text);
  self.Set("onFail", info[2]);
  Napi::MemoryManagement::AdjustExternalMemory(env, kCallBytes);
  try {
    environment_->calls.insert(this);
  } catch (...) {
    Napi::MemoryManagement::AdjustExternalMemory(env, -kCallBytes);
    throw;
  }
  handle_ = handle.release();
}

// The most frequent functions are plain functions whose data pointer is the call: 60 ns instead of
// 150 ns for a method.
void Call::add_function(Napi::Object self, const char* name, napi_callback callback) {
  const Napi::Env env = self.Env();
  napi_value made = nullptr;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, this, &made) != napi_ok)
    throw Napi::Error::New(env);
  Napi::Function(env, made).Set("call", self);  // a reference to the function keeps the call alive
  self.Set(name, made);
}

Call::~Call() { close(); }

void Call::close(std::vector<Abandoned>* abandoned) {
  if (handle_ == nullptr) return;
  environment_->calls.erase(this);
  if (is_pending_) environment_->completions.forget();
  Abandoned closed{std::exchange(handle_, nullptr), std::move(closed_memory_)};
  for (Window& window : inputs_) closed.memory.push_back(window.close());
  for (Window& window : outputs_) closed.memory.push_back(window.close());
  if (is_pending_ && abandoned != nullptr) abandoned->push_back(std::move(closed));
  else sidecall_call_close(closed.handle);
  if (!environment_->is_closing)
    Napi::MemoryManagement::AdjustExternalMemory(environment_->env, -kCallBytes);
}

// Must not be called while a run is under way: closing could wait for a node of the graph.
Napi::Value Call::close_call(const Napi::CallbackInfo& info) {
  close();
  return info.Env().Undefined();
}

sidecall_status Call::run(int64_t timeout_ns) {
  for (const Window& window : inputs_) window.copy_in();
  const sidecall_status status = sidecall_call_run(handle_, timeout_ns, environment_->error());
  if (status == SIDECALL_OK && environment_->copies) {
    for (const Window& window : outputs_) window.copy_out();
  }
  return status;
}

// The function of the addon that is called most often.
napi_value Call::run_now(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
  auto* self = static_cast<Call*>(data);
  Environment& environment = *self->environment_;
  const sidecall_status status = environment.copies
                                     ? self->run(-1)
                                     : sidecall_call_run(self->handle_, -1, environment.error());
  if (status != SIDECALL_OK) self->throw_error(env, status);
  return nullptr;
}

// For the functions that add_function() adds.
void Call::throw_error(napi_env env, sidecall_status status) {
  try {
    napi_throw(env, environment_->make_error(status));
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
  }
}

// runUntil(timeoutNs): runs on this thread, with a deadline.
Napi::Value Call::run_until(const Napi::CallbackInfo& info) {
  environment_->check(run(info[0].As<Napi::Number>().Int64Value()));
  return info.Env().Undefined();
}

// submit(timeoutNs, slot): starts a run without blocking. If it succeeds, the callback of onFinish
// (addon.cpp) gets `slot`; else onFail(error, isHeld) is called. If isHeld is true, the engine
// still uses the memory, and onFail is called a second time when it no longer does. Until the run
// is over, JavaScript must keep a reference to this object.
Napi::Value Call::submit(const Napi::CallbackInfo& info) {
  for (const Window& window : inputs_) window.copy_in();
  slot_ = info[1].As<Napi::Number>().Int32Value();
  environment_->completions.submit(this, handle_, info[0].As<Napi::Number>().Int64Value());
  is_pending_ = true;
  return info.Env().Undefined();
}

// expectedNs(): how long a run will take in this process; Infinity if that is not known.
Napi::Value Call::expected_ns(const Napi::CallbackInfo& info) {
  const int64_t ns = sidecall_call_expected_ns(handle_);
  return Napi::Number::New(info.Env(), ns == INT64_MAX ? std::numeric_limits<double>::infinity()
                                                       : static_cast<double>(ns));
}

void Call::note_outcome(bool is_success, bool is_held) noexcept {
  is_pending_ = is_held;
  if (is_success && environment_->copies) {
    for (const Window& window : outputs_) window.copy_out();
  }
}

napi_value Call::make_error() {
  return environment_->make_error(sidecall_call_error(handle_, environment_->error()));
}

void Call::fail(napi_value error, bool is_held) {
  const Napi::Env env = environment_->env;
  const auto on_fail = Value().Get("onFail").As<Napi::Function>();
  on_fail.MakeCallback(Value(), {error, Napi::Boolean::New(env, is_held)}, environment_->context);
}

Napi::Value Call::cancel_run(const Napi::CallbackInfo& info) {
  cancel();
  return info.Env().Undefined();
}

}  // namespace sidecall_node
