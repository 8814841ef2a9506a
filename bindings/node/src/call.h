// The native side of a call: one sidecall_call and the memory that JavaScript sees; used by
// lib/workspace.js. It does not repeat the checks of lib/*.js; core reports all other errors.
#pragma once

#include <memory>
#include <vector>

#include "environment.h"
#include "memory.h"

namespace sidecall_node {

class Call final : public Napi::ObjectWrap<Call> {
 public:
  static void define(Napi::Env env, Napi::Object exports);

  explicit Call(const Napi::CallbackInfo& info);
  ~Call() override;

  // The parts of a closed call that the engine may still use.
  struct Abandoned {
    sidecall_call* handle = nullptr;
    std::vector<std::shared_ptr<Memory>> memory;
  };

  void cancel() { sidecall_call_cancel(handle_); }

  // At the end of the environment, close() gets `abandoned`: if a run is still under way, it
  // appends the call there and does not wait for the run.
  void close(std::vector<Abandoned>* abandoned = nullptr);

  // ---- For Completions ----

  // A completion of the run was taken. `is_held`: the engine still uses the memory, and another
  // completion follows.
  void note_outcome(bool is_success, bool is_held) noexcept;
  napi_value make_error();                    // of the run that was taken
  void fail(napi_value error, bool is_held);  // tells JavaScript
  int32_t slot() const { return slot_; }

 private:
  template <Napi::Value (Call::*kMethod)(const Napi::CallbackInfo&)>
  Napi::Value guarded_method(const Napi::CallbackInfo& info) {
    return guarded_body(info.Env(), [&] { return (this->*kMethod)(info); });
  }

  void open(const sidecall_model* model, int64_t rows, const Napi::CallbackInfo& info);
  static napi_value run_now(napi_env env, napi_callback_info info);

  // call.cpp
  Napi::Value run_until(const Napi::CallbackInfo& info);
  Napi::Value submit(const Napi::CallbackInfo& info);
  Napi::Value expected_ns(const Napi::CallbackInfo& info);
  Napi::Value cancel_run(const Napi::CallbackInfo& info);
  Napi::Value close_call(const Napi::CallbackInfo& info);

  // call_tensors.cpp
  Napi::Value own_input(const Napi::CallbackInfo& info);
  Napi::Value borrow_input(const Napi::CallbackInfo& info);
  Napi::Value copy_input(const Napi::CallbackInfo& info);
  Napi::Value give_strings(const Napi::CallbackInfo& info);
  Napi::Value refuse_input(const Napi::CallbackInfo& info);
  Napi::Value reset(const Napi::CallbackInfo& info);
  Napi::Value output_dims(const Napi::CallbackInfo& info);
  Napi::Value own_output(const Napi::CallbackInfo& info);
  Napi::Value read_output(const Napi::CallbackInfo& info);

  // call_records.cpp
  static napi_value set_records(napi_env env, napi_callback_info info);
  static napi_value read_text(napi_env env, napi_callback_info info);
  Napi::Value set_invalid(const Napi::CallbackInfo& info);
  Napi::Value set_unknown(const Napi::CallbackInfo& info);
  Napi::Value clear(const Napi::CallbackInfo& info);
  Napi::Value refuse_column(const Napi::CallbackInfo& info);

  void add_function(Napi::Object self, const char* name, napi_callback callback);
  void throw_error(napi_env env, sidecall_status status);
  sidecall_status run(int64_t timeout_ns);
  sidecall_status clear_records(int64_t rows);
  void give_tensor(const Napi::CallbackInfo& info, bool borrow);

  std::shared_ptr<Environment> environment_;
  sidecall_call* handle_ = nullptr;
  std::vector<Window> inputs_;
  std::vector<Window> outputs_;
  std::vector<std::shared_ptr<Memory>> closed_memory_;  // has room for all that close() puts there
  std::vector<int64_t> dims_;                           // of the input that is being set
  bool is_pending_ = false;  // a run was submitted, and the engine may use the memory
  int32_t slot_ = -1;        // by which tasks.js knows the run
  int64_t external_bytes_ = 0;
};

}  // namespace sidecall_node
