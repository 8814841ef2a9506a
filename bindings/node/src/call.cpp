// Construction, runs and destruction of a call; see call.h. Tensors are in call_tensors.cpp,
// records in call_records.cpp.
#include "call.h"

#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "model.h"

namespace sidecall_node {
namespace {

// Approximate memory of a call in addition to its tensors. V8 cannot see this memory, and would run
// the garbage collector too late.
constexpr int64_t kCallBytes = 16 * 1024;

}  // namespace

// The state of one run that a separate thread is starting. Shared by that thread, the call, and the
// threadsafe function that calls back on the event loop.
struct Call::Starting {
  Call* call = nullptr;  // only for the thread of the loop
  int64_t timeout_ns = -1;
  sidecall_status status = SIDECALL_INTERNAL;
  std::unique_ptr<sidecall_fault[]> faults{new sidecall_fault[kMaxFaults]};
  sidecall_error error = Environment::empty_error();

  std::mutex mutex;
  bool is_over = false;       // the thread no longer uses the call
  bool is_abandoned = false;  // the environment has ended: the thread closes the call
  Abandoned own;              // the call, and its memory if `is_abandoned`
  napi_threadsafe_function callback = nullptr;  // null when Node has freed it

  void work() {
    status = sidecall_call_start(own.handle, timeout_ns, &error);
    const std::lock_guard lock(mutex);
    is_over = true;
    if (is_abandoned) sidecall_call_close(own.handle);
    if (callback == nullptr ||
        napi_call_threadsafe_function(callback, nullptr, napi_tsfn_nonblocking) != napi_ok)
      return;
    napi_release_threadsafe_function(callback, napi_tsfn_release);
  }

  // Gives the call to the thread, which then closes it. Returns false if the thread no longer uses
  // the call.
  bool abandon(std::vector<std::shared_ptr<Memory>>* memory) noexcept {
    const std::lock_guard lock(mutex);
    if (is_over) return false;
    own.memory = std::move(*memory);
    is_abandoned = true;
    return true;
  }
};

void Call::define(Napi::Env env, Napi::Object exports) {
  const Napi::Function constructor = DefineClass(
      env, "Call",
      {
          InstanceMethod<&Call::guarded_method<&Call::run_until>>("runUntil"),
          InstanceMethod<&Call::guarded_method<&Call::start>>("start"),
          InstanceMethod<&Call::guarded_method<&Call::start_on_thread>>("startOnThread"),
          InstanceMethod<&Call::guarded_method<&Call::cancel_run>>("cancel"),
          InstanceMethod<&Call::guarded_method<&Call::disconnect>>("disconnect"),
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

// new Call(model, rows, onFail, isRemote). Every function of Node-API may throw while a worker is
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
  environment_->check(sidecall_call_open_lazy(model, rows, &opened, environment_->error()));
  std::unique_ptr<sidecall_call, void (*)(sidecall_call*)> handle(opened, sidecall_call_close);
  inputs_.resize(static_cast<size_t>(sidecall_model_num_inputs(model)));
  outputs_.resize(static_cast<size_t>(sidecall_model_num_outputs(model)));
  closed_memory_.reserve(inputs_.size() + outputs_.size());

  const auto self = info.This().As<Napi::Object>();
  add_function(self, "run", run_now);
  add_function(self, "setRecords", set_records);
  add_function(self, "readText", read_text);
  self.Set("onFail", info[2]);
  is_remote_ = info[3].ToBoolean();
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
  if (starting_ != nullptr && abandoned == nullptr) {
    is_close_wanted_ = true;
    return cancel();
  }
  environment_->calls.erase(this);
  environment_->finisher.remove(this);
  if (poll_ != nullptr) std::exchange(poll_, nullptr)->close();
  Abandoned closed{std::exchange(handle_, nullptr), std::move(closed_memory_)};
  for (Window& window : inputs_) closed.memory.push_back(window.close());
  for (Window& window : outputs_) closed.memory.push_back(window.close());
  if (starting_ != nullptr && starting_->abandon(&closed.memory)) {
    // The thread closes the handle.
  } else if (is_pending_ && abandoned != nullptr) {
    abandoned->push_back(std::move(closed));
  } else {
    sidecall_call_close(closed.handle);
  }
  if (!environment_->is_closing)
    Napi::MemoryManagement::AdjustExternalMemory(environment_->env, -kCallBytes);
}

// disconnect(): lets the next call of the model have the connection.
Napi::Value Call::disconnect(const Napi::CallbackInfo& info) {
  environment_->check(sidecall_call_disconnect(handle_, environment_->error()));
  return info.Env().Undefined();
}

// Must not be called while a run is under way: it would wait for the end of that run.
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

bool Call::open_poll(int32_t fd) {
  poll_ = Poll::open(
      environment_->loop, fd, [this] { on_ready(); },
      [environment = environment_] { environment->handle_closed(); });
  if (poll_ != nullptr) environment_->handle_opened();
  return poll_ != nullptr;
}

// Called before a run is started, so that the event loop notices the end of the run.
void Call::prepare_start() {
  for (const Window& window : inputs_) window.copy_in();
  if (is_remote_) return environment_->finisher.prepare();
  if (poll_ != nullptr) return;
  int32_t fd = -1;
  environment_->check(sidecall_call_fd(handle_, &fd, environment_->error()));
  if (!open_poll(fd))
    throw Napi::Error::New(environment_->env, "libuv cannot watch the descriptor of a run");
}

void Call::note_started() {
  is_pending_ = true;
  is_watched_ = false;
  if (is_remote_) environment_->finisher.add(this);
  else watch();
}

bool Call::watch() noexcept {
  if (is_watched_) return true;
  if (is_remote_) {
    int32_t fd = -1;
    try {
      if (sidecall_call_watch(handle_, &fd, nullptr) != SIDECALL_OK) return false;
      if (poll_ == nullptr && !open_poll(fd)) return false;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }
  poll_->resume();
  poll_->hold();
  is_watched_ = true;
  return true;
}

// start(timeoutNs, slot): starts a run without blocking. Returns null if starting it would have to
// wait for another process; then the caller must use startOnThread. Returns false if the queue is
// full. Otherwise returns true. If the run succeeds, the callback of onFinish (addon.cpp) gets
// `slot`; else onFail(error, isReleasedOnly) is called. If isReleasedOnly is true, the engine still
// uses the memory, and onFail is called a second time when the engine no longer uses it. Until the
// run is over, JavaScript must keep a reference to this object.
Napi::Value Call::start(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  prepare_start();
  int32_t is_started = 0;
  const sidecall_status status = sidecall_call_try_start(
      handle_, info[0].As<Napi::Number>().Int64Value(), &is_started, environment_->error());
  if (status == SIDECALL_BUSY && sidecall_call_is_busy(handle_) == 0)
    return Napi::Boolean::New(env, false);
  environment_->check(status);
  if (is_started == 0) return env.Null();
  slot_ = info[1].As<Napi::Number>().Int32Value();
  note_started();
  return Napi::Boolean::New(env, true);
}

// startOnThread(timeoutNs, slot, done): lets a separate thread start a run, because starting it may
// have to wait for another process. done(error) is called first; then as for start().
Napi::Value Call::start_on_thread(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  prepare_start();
  slot_ = info[1].As<Napi::Number>().Int32Value();
  const auto starting = std::make_shared<Starting>();
  starting->call = this;
  starting->own.handle = handle_;
  starting->error.faults = starting->faults.get();
  starting->error.faults_capacity = kMaxFaults;
  starting->timeout_ns = info[0].As<Napi::Number>().Int64Value();
  auto context = std::make_unique<std::shared_ptr<Starting>>(starting);
  const auto finalize = [](napi_env, void* data, void*) {
    const std::unique_ptr<std::shared_ptr<Starting>> owner(
        static_cast<std::shared_ptr<Starting>*>(data));
    const std::lock_guard lock((*owner)->mutex);
    (*owner)->callback = nullptr;
  };
  if (napi_create_threadsafe_function(
          env, info[2], nullptr, Napi::String::New(env, "sidecall.start"), 0, 1, context.get(),
          finalize, context.get(), on_started, &starting->callback) != napi_ok) {
    throw Napi::Error::New(env, "Node-API cannot create a thread-safe function");
  }
  context.release();  // NOLINT(bugprone-unused-return-value): finalize() frees it
  try {
    std::thread([starting] { starting->work(); }).detach();
  } catch (...) {
    napi_release_threadsafe_function(starting->callback, napi_tsfn_release);
    throw;
  }
  starting_ = starting;
  Ref();
  return env.Undefined();
}

// Called on the loop. `env` is null if the environment has ended.
void Call::on_started(napi_env env, napi_value done, void* context, void* /*data*/) {
  if (env == nullptr) return;
  const std::shared_ptr<Starting> starting = *static_cast<std::shared_ptr<Starting>*>(context);
  Call* self = starting->call;
  Environment& environment = *self->environment_;
  if (environment.is_closing) return;
  self->starting_.reset();
  if (self->is_close_wanted_) self->close();
  const bool is_started = starting->status == SIDECALL_OK && self->handle_ != nullptr;
  try {
    if (is_started) self->note_started();
    const napi_value error = starting->status == SIDECALL_OK
                                 ? environment.env.Undefined()
                                 : environment.make_error(starting->status, &starting->error);
    Napi::Function(env, done).Call({error});
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
  }
  self->Unref();
}

void Call::on_ready() {
  if (handle_ == nullptr || environment_->is_closing) return;
  // The descriptor of a remote call may become readable without a run that is watched.
  if (!is_pending_ || (is_remote_ && !is_watched_)) return poll_->pause();
  environment_->finisher.look_at(this);
}

Call::Look Call::look() {
  const sidecall_status status = sidecall_call_finish(handle_, 0, environment_->error());
  if (status == SIDECALL_PENDING) return {status, false};
  // A run that was cancelled or whose deadline passed has its outcome at once. After the outcome
  // has been taken, sidecall_call_finish returns NOT_RUN, and the descriptor becomes readable once
  // more when the engine no longer uses the memory.
  const bool is_released_only = status != SIDECALL_OK && sidecall_call_is_busy(handle_) != 0;
  if (is_released_only && status == SIDECALL_NOT_RUN) return {SIDECALL_PENDING, false};
  if (is_remote_) is_watched_ = false;
  if (!is_released_only) {
    is_pending_ = is_watched_ = false;
    if (poll_ != nullptr) poll_->release();
  }
  if (status == SIDECALL_OK && environment_->copies) {
    for (const Window& window : outputs_) window.copy_out();
  }
  return {status, is_released_only};
}

void Call::fail(napi_value error, bool is_released_only) {
  const Napi::Env env = environment_->env;
  const auto on_fail = Value().Get("onFail").As<Napi::Function>();
  on_fail.MakeCallback(Value(), {error, Napi::Boolean::New(env, is_released_only)},
                       environment_->context);
}

Napi::Value Call::cancel_run(const Napi::CallbackInfo& info) {
  cancel();
  return info.Env().Undefined();
}

// Call cancel() first, so that the outcome is available. When the outcome has been taken,
// sidecall_call_finish waits until the engine no longer uses the memory, and returns NOT_RUN.
void Call::await(std::chrono::steady_clock::time_point deadline) {
  while (is_pending_) {
    const int64_t left =
        (deadline - std::chrono::steady_clock::now()) / std::chrono::nanoseconds(1);
    if (left <= 0) return;
    if (sidecall_call_finish(handle_, left, nullptr) == SIDECALL_NOT_RUN) {
      is_pending_ = sidecall_call_is_busy(handle_) != 0;
      return;
    }
  }
}

}  // namespace sidecall_node
