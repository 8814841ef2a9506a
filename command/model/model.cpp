// Opens models for the commands; see model.hpp.
#include "model.hpp"

#include <cstring>

#include "terminal/output.hpp"

namespace sidecall::cli {

ExitCode exit_code_of(sidecall_status status) {
  if (status == SIDECALL_BUSY)
    return kEnvironment;  // the only usage status that is not a caller error
  switch (status / 10 * 10) {
    case 0:
      return kOk;
    case 10:
      return kUsage;
    case 20:
    case 30:
      return kBadModel;
    case 40:
      return kBadInput;
    default:
      return kEnvironment;
  }
}

sidecall_model_options to_options(const ModelOptions& options) {
  sidecall_model_options result;
  sidecall_model_options_init(&result);
  result.verify = options.verify == "off"    ? SIDECALL_VERIFY_OFF
                  : options.verify == "warn" ? SIDECALL_VERIFY_WARN
                                             : SIDECALL_VERIFY_ERROR;
  result.extra = options.extra == "ignore" ? SIDECALL_EXTRA_IGNORE : SIDECALL_EXTRA_ERROR;
  if (options.timeout_s > 0) result.timeout_ns = static_cast<int64_t>(options.timeout_s * 1e9);
  if (options.wait_s > 0) result.wait_ns = static_cast<int64_t>(options.wait_s * 1e9);
  result.engine = options.engine == "native"        ? SIDECALL_ENGINE_NATIVE
                  : options.engine == "onnxruntime" ? SIDECALL_ENGINE_ONNXRUNTIME
                                                    : SIDECALL_ENGINE_AUTO;
  result.allow_exec = options.allow_exec ? 1 : 0;
  if (!options.onnxruntime.empty()) result.onnxruntime = options.onnxruntime.c_str();
  return result;
}

bool is_network_uri(const std::string& uri) {
  const std::string scheme = uri.substr(0, uri.find_first_of("+:/"));
  return uri.size() > scheme.size() && uri[scheme.size()] != '/' &&
         (scheme == "http" || scheme == "https" || scheme == "grpc" || scheme == "grpcs");
}

int64_t run_timeout_ns(const ModelOptions& options) {
  return options.timeout_s > 0 ? static_cast<int64_t>(options.timeout_s * 1e9) : -1;
}

sidecall_status try_open_model(const std::string& uri, const ModelOptions& options, Model& model,
                               sidecall_error& err) {
  const sidecall_model_options opened_with = to_options(options);
  sidecall_model* opened = nullptr;
  const sidecall_status status = sidecall_model_open(uri.c_str(), &opened_with, &opened, &err);
  model.reset(opened);
  // The library names the field of the C API instead of the option.
  if (status == SIDECALL_INVALID_ARGUMENT && std::strstr(err.message, "allow_exec") != nullptr)
    throw Failure(kUsage, uri +
                              ": expected the option --allow-exec, got none: opening an exec: "
                              "model starts a program");
  return status;
}

Model open_model(const std::string& uri, const ModelOptions& options) {
  sidecall_error err = SIDECALL_ERROR_INIT;
  Model model;
  if (const sidecall_status status = try_open_model(uri, options, model, err))
    throw failure_of(uri, status, err);
  if (const char* warning = sidecall_model_warning(model.get()))
    complain("sidecall: warning: " + uri + ": " + warning);
  return model;
}

std::string message_about(const std::string& uri, sidecall_status status,
                          const sidecall_error& err) {
  const std::string message = *err.message != '\0' ? err.message : sidecall_status_name(status);
  return message.find(uri) != std::string::npos ? message : uri + ": " + message;
}

Failure failure_of(const std::string& uri, sidecall_status status, const sidecall_error& err) {
  return Failure(exit_code_of(status), message_about(uri, status, err));
}

}  // namespace sidecall::cli
