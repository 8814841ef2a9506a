// What the addon keeps per environment of Node, one for the main thread and one for each worker; used by every other file here.
#pragma once

#define NAPI_VERSION 9
#include <napi.h>
#include <sidecall/sidecall.h>

#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "uv.h"

namespace sidecall_node {

class Call;

constexpr uint32_t kMaxFaults = 1000;  // what the library keeps

class Environment {
 public:
  // Registers the clean-up of the environment. Never global state: two copies of the package and any number of workers share the process.
  static std::shared_ptr<Environment> open(Napi::Env env);
  static Environment& of(Napi::Env env) {
    return **env.GetInstanceData<std::shared_ptr<Environment>>();
  }

  // Takes what the library filled into error() to JavaScript: throws unless `status` is SIDECALL_OK.
  void check(sidecall_status status) {
    if (status != SIDECALL_OK) throw Napi::Error(env, make_error(status));
  }
  // A SidecallError, made by the function that the JavaScript side registered. `text` replaces the message of error() where given.
  napi_value make_error(sidecall_status status, const sidecall_error* from = nullptr);

  // The one error struct of this thread. The library writes it on failure only.
  sidecall_error* error() { return &error_; }
  static sidecall_error empty_error();

  // Handles of libuv that are open or closing: the loop must not end before they are closed.
  void poll_opened() { ++num_polls_; }
  void poll_closed();

  // Cancels all runs under way and waits a moment for the engine to let go of their memory: before the process exits.
  void drain();

  Napi::Env env;
  uv_loop_s* loop = nullptr;
  napi_async_context context = nullptr;
  Napi::FunctionReference error_factory;
  Napi::FunctionReference model_constructor;
  bool copies = false;  // external ArrayBuffers are refused here, as in Electron: views are copies
  bool is_closing = false;          // JavaScript is over
  std::unordered_set<Call*> calls;  // those that hold a sidecall_call

 private:
  explicit Environment(Napi::Env from);
  static void clean_up(napi_async_cleanup_hook_handle handle, void* data);

  int num_polls_ = 0;
  napi_async_cleanup_hook_handle hook_ = nullptr;  // while the environment waits for them
  sidecall_error error_;
  std::unique_ptr<sidecall_fault[]> faults_;
};

// For what is -1 where there is none.
inline Napi::Value number_or_null(Napi::Env env, int64_t value) {
  return value < 0 ? env.Null()
                   : Napi::Number::New(env, static_cast<double>(value)).As<Napi::Value>();
}

}  // namespace sidecall_node
