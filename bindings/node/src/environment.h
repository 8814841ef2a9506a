// The state that the addon keeps for each environment of Node (one for the main thread and one for
// each worker); used by all other files here.
#pragma once

#define NAPI_VERSION 9
#include <napi.h>
#include <sidecall/sidecall.h>

#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <unordered_set>
#include <vector>

#include "completions.h"
#include "uv.h"

namespace sidecall_node {

class Call;

constexpr uint32_t kMaxFaults = 1000;  // the number of faults that the library keeps

class Environment : public std::enable_shared_from_this<Environment> {
 public:
  // Creates the state of an environment and registers its cleanup. There must be no global state:
  // two copies of the package and any number of workers may share the process.
  static std::shared_ptr<Environment> open(Napi::Env env);
  static Environment& of(Napi::Env env) {
    return **env.GetInstanceData<std::shared_ptr<Environment>>();
  }

  // Throws the error that the library stored in error() as a JavaScript exception, unless `status`
  // is SIDECALL_OK.
  void check(sidecall_status status) {
    if (status != SIDECALL_OK) throw Napi::Error(env, make_error(status));
  }
  // Makes a SidecallError from `from`, or from error() if `from` is null. Calls the function that
  // the JavaScript side registered for this.
  napi_value make_error(sidecall_status status, const sidecall_error* from = nullptr);

  // Makes an OUT_OF_MEMORY error with this message.
  napi_value make_exhausted(const char* text);

  // The error struct of this thread. The library writes to it only on failure.
  sidecall_error* error() { return &error_; }
  static sidecall_error empty_error();

  // Count the libuv handles that are open or closing: the loop must not end before all of them are
  // closed.
  void handle_opened() { ++num_handles_; }
  void handle_closed();

  // Tells JavaScript that `count` runs have succeeded; `finished` has their slots.
  void tell_finished(size_t count);

  // Cancels all runs under way, and waits a short time until the engine no longer uses their
  // memory, and until models that are being opened are open. Called before the process exits.
  void drain();

  Napi::Env env;
  uv_loop_s* loop = nullptr;
  napi_async_context context = nullptr;
  Completions completions{this};
  Napi::FunctionReference error_factory;
  // tasks.js sets these: a function, and the Int32Array with the slots of the runs that it is told.
  Napi::FunctionReference on_finished;
  Napi::Reference<Napi::Int32Array> finished_array;
  int32_t* finished = nullptr;
  Napi::FunctionReference model_constructor;
  // True if external ArrayBuffers are not allowed, as in Electron. Views are then copies (see
  // Window).
  bool copies = false;
  bool is_closing = false;          // JavaScript must not be called any more
  std::unordered_set<Call*> calls;  // the calls that hold an open sidecall_call

 private:
  explicit Environment(Napi::Env from);
  static void clean_up(napi_async_cleanup_hook_handle handle, void* data);

  int num_handles_ = 0;
  napi_async_cleanup_hook_handle hook_ = nullptr;  // set while the cleanup waits for the handles
  sidecall_error error_;
  std::unique_ptr<sidecall_fault[]> faults_;
};

// Runs the body of a function that JavaScript calls. If memory runs out or no thread can be
// started, JavaScript gets an OUT_OF_MEMORY error.
template <typename Body>
auto guarded_body(Napi::Env env, const Body& body) {
  const char* text = nullptr;
  try {
    return body();
  } catch (const Napi::Error& error) {
    // The text that node-addon-api gives a std::bad_alloc of a constructor that JavaScript calls.
    // No C++ exception may cross JavaScript's frames.
    if (error.Message() != "std::bad_alloc") throw;
    text = "out of memory";
  } catch (const std::bad_alloc&) {
    text = "out of memory";
  } catch (const std::length_error&) {
    text = "out of memory";
  } catch (const std::system_error&) {
    text = "no thread can be started: raise ulimit -u";
  }
  throw Napi::Error(env, Environment::of(env).make_exhausted(text));
}

template <Napi::Value (*kFunction)(const Napi::CallbackInfo&)>
Napi::Value guarded(const Napi::CallbackInfo& info) {
  return guarded_body(info.Env(), [&] { return kFunction(info); });
}

// Converts a number to a JavaScript number; -1, which means that there is none, becomes null.
inline Napi::Value number_or_null(Napi::Env env, int64_t value) {
  return value < 0 ? env.Null()
                   : Napi::Number::New(env, static_cast<double>(value)).As<Napi::Value>();
}

}  // namespace sidecall_node
