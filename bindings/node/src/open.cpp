// Opens models, on this thread or through the completion queue; see open.h.
#include "open.h"

#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "model.h"

namespace sidecall_node {
namespace {

// What JavaScript gives to open a model.
struct Arguments {
  std::string uri;
  Napi::Uint8Array bytes;  // empty if there is a URI. Valid until JavaScript runs again
  std::string onnxruntime, onnxruntime_package;
  sidecall_model_options options;
};

// The bytes of an array. JavaScript has no address for an empty one.
const void* data_of(const Napi::Uint8Array& bytes) {
  return bytes.ByteLength() == 0 ? "" : static_cast<const void*>(bytes.Data());
}

// The size of the file of a model; 0 if the URI is not that of a file.
int64_t file_bytes(const std::string& uri) {
  std::error_code none;
  const auto size = std::filesystem::file_size(uri, none);
  return none ? 0 : static_cast<int64_t>(size);
}

int64_t number_of(const Napi::Object& from, const char* name) {
  return from.Get(name).As<Napi::Number>().Int64Value();
}

void read_options(const Napi::Object& from, Arguments* to) {
  sidecall_model_options_init(&to->options);
  to->options.verify = static_cast<int32_t>(number_of(from, "verify"));
  to->options.extra = static_cast<int32_t>(number_of(from, "extra"));
  to->options.engine = static_cast<int32_t>(number_of(from, "engine"));
  to->options.allow_exec = static_cast<int32_t>(number_of(from, "allowExec"));
  to->options.timeout_ns = number_of(from, "timeoutNs");
  to->options.wait_ns = number_of(from, "waitNs");
  const auto read_path = [&](const char* name, std::string* path) -> const char* {
    const Napi::Value value = from.Get(name);
    if (!value.IsString()) return nullptr;
    *path = value.As<Napi::String>();
    return path->c_str();
  };
  to->options.onnxruntime = read_path("onnxruntime", &to->onnxruntime);
  to->options.onnxruntime_package = read_path("onnxruntimePackage", &to->onnxruntime_package);
}

void read_arguments(const Napi::CallbackInfo& info, Arguments* to) {
  if (info[0].IsString()) to->uri = info[0].As<Napi::String>();
  else to->bytes = info[0].As<Napi::Uint8Array>();
  read_options(info[1].As<Napi::Object>(), to);
}

// An opening whose outcome JavaScript gets as done(error, model).
class ModelOpening final : public Opening {
 public:
  explicit ModelOpening(const Napi::CallbackInfo& info)
      : environment_(Environment::of(info.Env())),
        done_(Napi::Persistent(info[2].As<Napi::Function>())) {
    read_arguments(info, &arguments_);
    if (!arguments_.bytes.IsEmpty())
      num_bytes_ = static_cast<int64_t>(arguments_.bytes.ByteLength());
  }
  ~ModelOpening() override { sidecall_model_close(model_); }

  sidecall_status submit(sidecall_queue* queue, uint64_t tag, sidecall_error* err) override {
    const Napi::Uint8Array& bytes = arguments_.bytes;
    if (bytes.IsEmpty())
      return sidecall_queue_open_model(queue, arguments_.uri.c_str(), &arguments_.options, -1, tag,
                                       &error_, nullptr, err);
    return sidecall_queue_open_bytes(queue, data_of(bytes), bytes.ByteLength(), &arguments_.options,
                                     -1, tag, &error_, nullptr, err);
  }

  void note_outcome(const sidecall_completion& outcome) noexcept override {
    status_ = outcome.status;
    model_ = outcome.model;
  }

  void report() override {
    const Napi::Value null = environment_.env.Null();
    Napi::Value model = null;
    napi_value error = null;
    if (status_ == SIDECALL_OK) {
      try {
        model = guarded_body(environment_.env, [&] {
          const int64_t bytes = arguments_.uri.empty() ? num_bytes_ : file_bytes(arguments_.uri);
          return Model::make(environment_, &model_, bytes).As<Napi::Value>();
        });
      } catch (const Napi::Error& failure) {
        error = failure.Value();
      }
    } else {
      error = environment_.make_error(status_, &error_);
    }
    done_.MakeCallback(environment_.env.Global(), {error, model}, environment_.context);
  }

 private:
  Environment& environment_;
  Napi::FunctionReference done_;
  Arguments arguments_;
  int64_t num_bytes_ = 0;
  sidecall_status status_ = SIDECALL_INTERNAL;
  sidecall_error error_ = Environment::empty_error();
  sidecall_model* model_ = nullptr;
};

Napi::Value open_sync(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  Arguments arguments;
  read_arguments(info, &arguments);
  sidecall_model* model = nullptr;
  const Napi::Uint8Array& bytes = arguments.bytes;
  environment.check(bytes.IsEmpty() ? sidecall_model_open(arguments.uri.c_str(), &arguments.options,
                                                          &model, environment.error())
                                    : sidecall_model_open_bytes(data_of(bytes), bytes.ByteLength(),
                                                                &arguments.options, &model,
                                                                environment.error()));
  return Model::make(
      environment, &model,
      bytes.IsEmpty() ? file_bytes(arguments.uri) : static_cast<int64_t>(bytes.ByteLength()));
}

// open(source, options, done): opens on a thread of the library, and calls done(error, model).
// Returns a function that lets the process exit while the thread still waits. If the environment
// ends first, the thread finishes its work and discards the result.
Napi::Value open_async(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  const uint64_t number = environment.completions.submit(std::make_unique<ModelOpening>(info));
  return Napi::Function::New(
      info.Env(), [owner = environment.shared_from_this(), number](const Napi::CallbackInfo&) {
        owner->completions.abandon(number);
      });
}

Napi::Value describe_engine(const Napi::CallbackInfo& info) {
  Environment& environment = Environment::of(info.Env());
  Arguments arguments;
  read_options(info[0].As<Napi::Object>(), &arguments);
  sidecall_text* text = nullptr;
  environment.check(sidecall_engine_describe(&arguments.options, &text, environment.error()));
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
