// Opens models on this thread or on a separate one; see open.h.
#include "open.h"

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>

#include "model.h"

namespace sidecall_node {
namespace {

// The arguments and the result of one opening, independent of JavaScript.
struct Opening {
  std::shared_ptr<Environment> environment;
  std::string source;
  bool is_bytes = false;
  std::string onnxruntime, onnxruntime_package;
  sidecall_model_options options;

  sidecall_status status = SIDECALL_INTERNAL;
  sidecall_error error = Environment::empty_error();
  sidecall_model* model = nullptr;

  ~Opening() { sidecall_model_close(model); }

  sidecall_status run(sidecall_error* err) {
    return is_bytes ? sidecall_model_open_bytes(source.data(), source.size(), &options, &model, err)
                    : sidecall_model_open(source.c_str(), &options, &model, err);
  }

  int64_t bytes() const {
    if (is_bytes) return static_cast<int64_t>(source.size());
    std::error_code none;
    const auto size = std::filesystem::file_size(source, none);
    return none ? 0 : static_cast<int64_t>(size);
  }
};

int64_t number_of(const Napi::Object& from, const char* name) {
  return from.Get(name).As<Napi::Number>().Int64Value();
}

void read_options(const Napi::Object& from, Opening* opening) {
  sidecall_model_options_init(&opening->options);
  opening->options.verify = static_cast<int32_t>(number_of(from, "verify"));
  opening->options.extra = static_cast<int32_t>(number_of(from, "extra"));
  opening->options.engine = static_cast<int32_t>(number_of(from, "engine"));
  opening->options.allow_exec = static_cast<int32_t>(number_of(from, "allowExec"));
  opening->options.timeout_ns = number_of(from, "timeoutNs");
  opening->options.wait_ns = number_of(from, "waitNs");
  const auto read_path = [&](const char* name, std::string* to) -> const char* {
    const Napi::Value value = from.Get(name);
    if (!value.IsString()) return nullptr;
    *to = value.As<Napi::String>();
    return to->c_str();
  };
  opening->options.onnxruntime = read_path("onnxruntime", &opening->onnxruntime);
  opening->options.onnxruntime_package =
      read_path("onnxruntimePackage", &opening->onnxruntime_package);
}

std::unique_ptr<Opening> read_arguments(const Napi::CallbackInfo& info) {
  auto opening = std::make_unique<Opening>();
  opening->environment = *info.Env().GetInstanceData<std::shared_ptr<Environment>>();
  if (info[0].IsString()) {
    opening->source = info[0].As<Napi::String>();
  } else {
    const auto bytes = info[0].As<Napi::Uint8Array>();
    opening->is_bytes = true;
    opening->source.assign(reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength());
  }
  read_options(info[1].As<Napi::Object>(), opening.get());
  return opening;
}

Napi::Value take_model(Environment& environment, Opening* opening) {
  return Model::make(environment, &opening->model, opening->bytes());
}

Napi::Value open_sync(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  const std::unique_ptr<Opening> opening = read_arguments(info);
  environment.check(opening->run(environment.error()));
  return take_model(environment, opening.get());
}

void settle(Opening* opening, napi_value done) {
  Environment& environment = *opening->environment;
  try {
    const Napi::Value null = environment.env.Null();
    Napi::Value model = null;
    napi_value error = null;
    if (opening->status == SIDECALL_OK) {
      try {
        model = guarded_body(environment.env, [&] { return take_model(environment, opening); });
      } catch (const Napi::Error& failure) {
        error = failure.Value();
      }
    } else {
      error = environment.make_error(opening->status, &opening->error);
    }
    Napi::Function(environment.env, done).Call({error, model});
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
  }
}

// The thread-safe function that a thread calls when it has opened the model. Null after that call,
// and when Node has freed it because the environment has ended.
struct Callback {
  std::mutex mutex;
  napi_threadsafe_function function = nullptr;

  void forget() {
    const std::lock_guard lock(mutex);
    function = nullptr;
  }

  // Returns false if the environment has ended.
  bool call(Opening* opening) {
    const std::lock_guard lock(mutex);
    if (function == nullptr ||
        napi_call_threadsafe_function(function, opening, napi_tsfn_nonblocking) != napi_ok)
      return false;
    napi_release_threadsafe_function(function, napi_tsfn_release);
    return true;
  }
};

// Called on the loop. `env` is null if the environment has ended; then `callback` has already been
// freed.
void on_opened(napi_env env, napi_value done, void* callback, void* data) {
  const std::unique_ptr<Opening> opening(static_cast<Opening*>(data));
  if (env == nullptr) return;
  (*static_cast<std::shared_ptr<Callback>*>(callback))->forget();
  if (!opening->environment->is_closing) settle(opening.get(), done);
}

// open(source, options, done): opens on a thread of its own and calls done(error, model). Servers
// that do not respond would occupy Node's pool, which files and name lookups need too. Returns
// a function that lets the process exit while the thread still waits. If the environment ends
// first, the thread finishes its work and discards the result.
Napi::Value open_async(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::unique_ptr<Opening> opening = read_arguments(info);
  const auto callback = std::make_shared<Callback>();
  auto owner = std::make_unique<std::shared_ptr<Callback>>(callback);
  const auto finalize = [](napi_env, void* data, void*) {
    const std::unique_ptr<std::shared_ptr<Callback>> freed(
        static_cast<std::shared_ptr<Callback>*>(data));
    (*freed)->forget();
  };
  if (napi_create_threadsafe_function(
          env, info[2], nullptr, Napi::String::New(env, "sidecall.open"), 0, 1, owner.get(),
          finalize, owner.get(), on_opened, &callback->function) != napi_ok) {
    throw Napi::Error::New(env, "Node-API cannot create a thread-safe function");
  }
  owner.release();  // NOLINT(bugprone-unused-return-value): finalize() frees it
  std::atomic<int>& num_openings = opening->environment->num_openings;
  try {
    ++num_openings;
    std::thread([work = opening.get(), callback] {
      work->status = work->run(&work->error);
      --work->environment->num_openings;
      if (!callback->call(work)) delete work;
    }).detach();
  } catch (...) {
    --num_openings;
    napi_release_threadsafe_function(callback->function, napi_tsfn_release);
    throw;
  }
  opening.release();  // NOLINT(bugprone-unused-return-value): on_opened() or the thread frees it
  return Napi::Function::New(env, [callback](const Napi::CallbackInfo& call) {
    if (callback->function != nullptr)
      napi_unref_threadsafe_function(call.Env(), callback->function);
  });
}

Napi::Value describe_engine(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  Opening opening;
  read_options(info[0].As<Napi::Object>(), &opening);
  sidecall_text* text = nullptr;
  environment.check(sidecall_engine_describe(&opening.options, &text, environment.error()));
  const Napi::Value result = Napi::String::New(info.Env(), text->data, text->length);
  sidecall_text_close(text);
  return result;
}

}  // namespace

void define_open(Napi::Env env, Napi::Object exports) {
  exports.Set("openSync", Napi::Function::New<guarded<open_sync>>(env, "openSync"));
  exports.Set("open", Napi::Function::New<guarded<open_async>>(env, "open"));
  exports.Set("describeEngine",
              Napi::Function::New<guarded<describe_engine>>(env, "describeEngine"));
}

}  // namespace sidecall_node
