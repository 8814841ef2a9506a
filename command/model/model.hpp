// Models through the C ABI: opens them with the options of the command, closes them automatically,
// and converts their errors to Failures; used by most commands.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>
#include <string>

#include "command.hpp"
#include "terminal/arguments.hpp"

namespace sidecall::cli {

struct Closer {
  void operator()(sidecall_model* model) const { sidecall_model_close(model); }
  void operator()(sidecall_call* call) const { sidecall_call_close(call); }
  void operator()(sidecall_text* text) const { sidecall_text_close(text); }
};
using Model = std::unique_ptr<sidecall_model, Closer>;
using Call = std::unique_ptr<sidecall_call, Closer>;
using Text = std::unique_ptr<sidecall_text, Closer>;

// The exit code for a status: kBadInput for errors in the data, kBadModel for errors in files and
// contracts, kEnvironment for the rest.
ExitCode exit_code_of(sidecall_status status);

sidecall_model_options to_options(const ModelOptions& options);

// Whether a model is on another host: its address begins with http:, https:, grpc:, grpcs:,
// http+unix: or grpc+unix:.
bool is_network_uri(const std::string& uri);

// Returns the timeout of a run: the one that the user gave, or else -1, which the library resolves.
int64_t run_timeout_ns(const ModelOptions& options);

// Opens a model, or throws a Failure whose message contains `uri`. With verify=warn, a warning goes
// to stderr.
Model open_model(const std::string& uri, const ModelOptions& options);

// Opens a model, for callers that continue after a failure: in that case `model` stays empty, and
// `err` has the reason.
sidecall_status try_open_model(const std::string& uri, const ModelOptions& options, Model& model,
                               sidecall_error& err);

// Return the message of an error, and a Failure with it. `status` must not be OK. The message
// begins with `uri`, unless the error already contains it.
std::string message_about(const std::string& uri, sidecall_status status,
                          const sidecall_error& err);
Failure failure_of(const std::string& uri, sidecall_status status, const sidecall_error& err);

}  // namespace sidecall::cli
