// Models through the C ABI: opened with the command's options, closed by themselves, their errors
// as Failures.
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

// Where a status sends the exit code: data is the caller's input, files and contracts are the
// model, the rest is the machine.
ExitCode exit_code_of(sidecall_status status);

sidecall_model_options to_options(const ModelOptions& options);

// The deadline of a run: what was given, else none in process and 30 seconds for another process,
// as in every language.
int64_t run_timeout_ns(const std::string& uri, const ModelOptions& options);

// Opens or throws Failure; `uri` stands in its message. Under verify=warn a warning goes to stderr.
Model open_model(const std::string& uri, const ModelOptions& options);

// The same for callers that go on after a failure: `model` stays empty, and `err` says why.
sidecall_status try_open_model(const std::string& uri, const ModelOptions& options, Model& model,
                               sidecall_error& err);

// What failed with `status`, which is never OK: the error's message, with the model's name before
// it where it does not stand in it already.
std::string message_about(const std::string& uri, sidecall_status status,
                          const sidecall_error& err);
Failure failure_of(const std::string& uri, sidecall_status status, const sidecall_error& err);

}  // namespace sidecall::cli
