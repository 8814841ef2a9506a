// The addon's entry: what lib/addon.js gets. Everything public of the package is JavaScript; this is the thin part below.
#include <cstdlib>

#include "call.h"
#include "environment.h"
#include "model.h"
#include "open.h"

namespace sidecall_node {
namespace {

// configure({makeError, copies}): the function that makes a SidecallError, and whether external ArrayBuffers are to be avoided.
Napi::Value configure(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  const auto options = info[0].As<Napi::Object>();
  environment.error_factory = Napi::Persistent(options.Get("makeError").As<Napi::Function>());
  environment.copies = options.Get("copies").ToBoolean();
  return info.Env().Undefined();
}

Napi::Value drain(const Napi::CallbackInfo& info) {
  Environment::of(info.Env()).drain();
  return info.Env().Undefined();
}

}  // namespace

static Napi::Object define(Napi::Env env, Napi::Object exports) {
  // Official builds of ONNX Runtime send telemetry unless this stands before their environment exists. Here, because later there
  // may be threads that read the environment.
  ::setenv("ORT_DISABLE_TELEMETRY", "1", 0);
  Environment::open(env);
  Model::define(env, exports);
  Call::define(env, exports);
  define_open(env, exports);
  exports.Set("configure", Napi::Function::New<configure>(env, "configure"));
  exports.Set("drain", Napi::Function::New<drain>(env, "drain"));
  exports.Set("version", sidecall_version());
  return exports;
}

}  // namespace sidecall_node

using sidecall_node::define;
NODE_API_MODULE(sidecall, define)
