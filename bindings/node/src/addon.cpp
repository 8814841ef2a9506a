// The entry point of the addon: defines the exports that lib/addon.js loads. The public API of the
// package is JavaScript; the addon is a thin layer below it.
#include <cstdlib>

#include "call.h"
#include "environment.h"
#include "model.h"
#include "open.h"

namespace sidecall_node {
namespace {

// configure({makeError, copies}): sets the function that makes a SidecallError, and whether the
// addon must not use external ArrayBuffers.
Napi::Value configure(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  const auto options = info[0].As<Napi::Object>();
  environment.error_factory = Napi::Persistent(options.Get("makeError").As<Napi::Function>());
  environment.copies = options.Get("copies").ToBoolean();
  return info.Env().Undefined();
}

// onFinish(slots, callback): whenever runs have succeeded, their slots are written to `slots`, and
// callback(count) is called. `slots` is an Int32Array with Completions::kMaxAtOnce elements.
Napi::Value on_finish(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  auto slots = info[0].As<Napi::Int32Array>();
  environment.finished_array = Napi::Persistent(slots);
  environment.finished = slots.Data();
  environment.on_finished = Napi::Persistent(info[1].As<Napi::Function>());
  return info.Env().Undefined();
}

Napi::Value drain(const Napi::CallbackInfo& info) {
  Environment::of(info.Env()).drain();
  return info.Env().Undefined();
}

}  // namespace

static Napi::Object define(Napi::Env env, Napi::Object exports) {
  // Official builds of ONNX Runtime send telemetry unless this variable is set before they are
  // initialized. Set it now: later there may be threads that read the environment, and setenv()
  // would race with them.
  ::setenv("ORT_DISABLE_TELEMETRY", "1", 0);
  Environment::open(env);
  Model::define(env, exports);
  Call::define(env, exports);
  define_open(env, exports);
  exports.Set("configure", Napi::Function::New<guarded<configure>>(env, "configure"));
  exports.Set("onFinish", Napi::Function::New<guarded<on_finish>>(env, "onFinish"));
  exports.Set("maxFinished", static_cast<double>(Completions::kMaxAtOnce));
  exports.Set("drain", Napi::Function::New<guarded<drain>>(env, "drain"));
  exports.Set("version", sidecall_version());
  return exports;
}

}  // namespace sidecall_node

using sidecall_node::define;
NODE_API_MODULE(sidecall, define)
