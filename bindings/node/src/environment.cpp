// Makes errors, and cleans up at the end of an environment; see environment.h.
#include "environment.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "call.h"

namespace sidecall_node {
namespace {

// How long the process waits at its exit for runs that it has cancelled. The exit is safe without
// this wait, because memory that the engine uses is never freed.
constexpr std::chrono::milliseconds kExitPatience{200};

Napi::Value fault_fields(Napi::Env env, const sidecall_fault& fault) {
  auto fields = Napi::Array::New(env, 6);
  fields[0U] = Napi::String::New(env, sidecall_status_name(fault.status));
  fields[1U] = number_or_null(env, fault.row);
  fields[2U] = Napi::String::New(env, fault.name);
  fields[3U] = Napi::String::New(env, fault.expected);
  fields[4U] = Napi::String::New(env, fault.got);
  fields[5U] = Napi::String::New(env, fault.message);
  return fields;
}

// The engine may still write to the memory of the abandoned calls, and closing a call waits until
// the engine stops. A separate thread closes the calls, so that the end of a worker does not wait.
void close_on_thread(std::vector<Call::Abandoned> abandoned) noexcept {
  if (abandoned.empty()) return;
  std::shared_ptr<std::vector<Call::Abandoned>> shared;
  try {
    shared = std::make_shared<std::vector<Call::Abandoned>>();
    shared->swap(abandoned);
    std::thread([shared] {
      for (const Call::Abandoned& each : *shared) sidecall_call_close(each.handle);
    }).detach();
  } catch (const std::exception&) {  // no memory, or no thread
    if (shared != nullptr) shared->swap(abandoned);
    for (const Call::Abandoned& each : abandoned) sidecall_call_close(each.handle);
  }
}

}  // namespace

Environment::Environment(Napi::Env from)
    : env(from), error_(empty_error()), faults_(new sidecall_fault[kMaxFaults]) {
  error_.faults = faults_.get();
  error_.faults_capacity = kMaxFaults;
}

sidecall_error Environment::empty_error() { return SIDECALL_ERROR_INIT; }

std::shared_ptr<Environment> Environment::open(Napi::Env env) {
  const std::shared_ptr<Environment> made(new Environment(env));
  if (napi_get_uv_event_loop(env, &made->loop) != napi_ok)
    throw Napi::Error::New(env,
                           "expected a Node.js environment with an event loop of libuv, got none");
  napi_async_init(env, nullptr, Napi::String::New(env, "sidecall"), &made->context);
  env.SetInstanceData<std::shared_ptr<Environment>>(new std::shared_ptr<Environment>(made));
  // The cleanup is asynchronous, because libuv handles close on the loop. `owner` keeps the
  // environment alive until clean_up() runs.
  auto* owner = new std::shared_ptr<Environment>(made);
  if (napi_add_async_cleanup_hook(env, clean_up, owner, nullptr) != napi_ok) delete owner;
  return made;
}

// Runs when the environment ends; JavaScript must not be called any more.
void Environment::clean_up(napi_async_cleanup_hook_handle handle, void* data) {
  const std::unique_ptr<std::shared_ptr<Environment>> owner(
      static_cast<std::shared_ptr<Environment>*>(data));
  const std::shared_ptr<Environment>& self = *owner;
  self->is_closing = true;
  self->error_factory.Reset();
  self->on_finished.Reset();
  self->finished_array.Reset();
  self->model_constructor.Reset();
  napi_async_destroy(self->env, self->context);
  for (Call* call : self->calls) call->cancel();
  self->hook_ = handle;
  // Count one more, so that a handle that closes in the loop below does not remove the hook too
  // early.
  ++self->num_handles_;
  std::vector<Call::Abandoned> abandoned;
  bool has_room = true;
  try {
    abandoned.reserve(self->calls.size());
  } catch (const std::bad_alloc&) {
    has_room = false;  // each close then waits for the engine
  }
  for (auto next = self->calls.begin(); next != self->calls.end();) {
    Call* const call = *next++;  // close() takes it out of the set
    call->close(has_room ? &abandoned : nullptr);
  }
  close_on_thread(std::move(abandoned));
  self->completions.close();
  self->handle_closed();
}

void Environment::handle_closed() {
  --num_handles_;
  if (num_handles_ == 0 && hook_ != nullptr)
    napi_remove_async_cleanup_hook(std::exchange(hook_, nullptr));
}

void Environment::tell_finished(size_t count) {
  on_finished.MakeCallback(env.Global(), {Napi::Number::New(env, static_cast<double>(count))},
                           context);
}

void Environment::drain() {
  for (Call* call : calls) call->cancel();
  const auto deadline = std::chrono::steady_clock::now() + kExitPatience;
  completions.drain(deadline);
}

napi_value Environment::make_exhausted(const char* text) {
  sidecall_error error = empty_error();
  error.retryable = 1;
  std::strncpy(error.message, text, sizeof error.message - 1);
  return make_error(SIDECALL_OUT_OF_MEMORY, &error);
}

napi_value Environment::make_error(sidecall_status status, const sidecall_error* from) {
  const sidecall_error& error = from != nullptr ? *from : error_;
  auto faults = Napi::Array::New(env);
  const uint32_t kept =
      error.faults == nullptr ? 0 : std::min(error.num_faults, error.faults_capacity);
  for (uint32_t i = 0; i < kept; ++i) faults[i] = fault_fields(env, error.faults[i]);
  return error_factory.Call(
      {Napi::String::New(env, sidecall_status_name(status)), Napi::Number::New(env, status),
       Napi::Boolean::New(env, error.retryable != 0), Napi::String::New(env, error.message),
       number_or_null(env, error.row), Napi::String::New(env, error.name),
       Napi::String::New(env, error.expected), Napi::String::New(env, error.got), faults});
}

}  // namespace sidecall_node
