// sidecall lambda: a function of AWS Lambda. It opens the model, then answers one event after the
// other until a signal comes. --zip is handed over to the Python package.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/http_status.h"
#include "base/text/utf8.h"
#include "event.hpp"
#include "event_memory.hpp"
#include "model/model.hpp"
#include "python.hpp"
#include "runtime_api.hpp"
#include "terminal/output.hpp"
#include "terminal/platform.hpp"

namespace sidecall::cli {
namespace {

struct LambdaOptions {
  ModelOptions model;
  std::string uri;
  std::string zip;
};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool parse(const Command& self, std::vector<std::string> words, LambdaOptions* options) {
  Arguments arguments(
      self,
      "In Lambda, this command is the program of a function, a custom runtime: it needs\n"
      "no Python. An event is a record, a list of records, or a request of API Gateway\n"
      "or of a function URL whose body is one of these. It opens the model and runs its\n"
      "golden rows before the first event. Lambda starts a program with the name\n"
      "bootstrap; under that name, this program runs this command. The page\n"
      "docs/deployment/lambda.md describes it all.");
  CLI::App& app = arguments.app;
  app.add_option("MODEL", options->uri,
                 "a model file (default: the handler of the function, a file in its folder)")
      ->option_text(" ");
  app.add_option("--zip", options->zip,
                 "do not run; write the zip file of a function for provided.al2023: this command "
                 "as bootstrap, MODEL, and ONNX Runtime if MODEL needs it (uses Python)")
      ->option_text("FILE");
  app.add_option("--verify", options->model.verify,
                 "what to do if a golden row fails when MODEL is opened: error (default), warn or "
                 "off (do not run the golden rows)")
      ->check(one_of({"error", "warn", "off"}))
      ->option_text("HOW");
  app.add_option("--extra", options->model.extra,
                 "what to do with keys that are not features: error (default) or ignore")
      ->check(one_of({"error", "ignore"}))
      ->option_text("HOW");
  add_engine_options(app, options->model);
  if (!arguments.parse(std::move(words))) return false;
  for (const char* name : {"--verify", "--extra"}) {
    if (!options->zip.empty() && app.count(name) > 0)
      throw Failure(kUsage, std::string("lambda: ") + name +
                                ": expected no --zip, got both: a function of a zip file gets no "
                                "options");
  }
  if (app.count("--zip") > 0 && options->zip.empty())
    throw Failure(kUsage, "lambda: --zip: expected a file, got an empty name");
  if (!options->zip.empty() && options->uri.empty())
    throw Failure(kUsage, "lambda: --zip: expected MODEL, got nothing");
  return true;
}

[[noreturn]] void write_zip(const Command& self, const LambdaOptions& options) {
  std::vector<std::string> words = {options.uri, "--zip", options.zip, "--engine",
                                    options.model.engine};
  if (!options.model.onnxruntime.empty())
    words.insert(words.end(), {"--onnxruntime", options.model.onnxruntime});
  words.insert(words.end(), {"--bootstrap", executable()});
  hand_over("sidecall.lambda_zip", self.name, words);
}

// What a run may report. The library fills one element of `faults` for each bad value.
struct ErrorRoom {
  ErrorRoom() {
    error.faults = faults.data();
    error.faults_capacity = static_cast<uint32_t>(faults.size());
  }
  sidecall_status set(sidecall_status status, const std::string& message) {
    error.num_faults = 0;
    const size_t length = cut_length(message, sizeof error.message - 1);
    message.copy(error.message, length);
    error.message[length] = '\0';
    return status;
  }
  std::array<sidecall_fault, 64> faults;
  sidecall_error error = SIDECALL_ERROR_INIT;
};

// The model of the function: MODEL, or its handler, which is a file in the folder of the function.
std::string model_of_function(const std::string& given) {
  if (!given.empty()) return given;
  const std::string handler = environment("_HANDLER"), folder = environment("LAMBDA_TASK_ROOT");
  const bool is_absolute = !handler.empty() && handler[0] == '/';
  return handler.empty() || is_absolute || folder.empty() ? handler : folder + "/" + handler;
}

// Opens a model that answers records, or tells Lambda why not and throws.
Model open_for_events(RuntimeApi& api, const std::string& uri, const ModelOptions& options) {
  ErrorRoom room;
  Model model;
  sidecall_status status =
      uri.empty() ? room.set(SIDECALL_INVALID_ARGUMENT,
                             "lambda: expected MODEL, or a handler that names it, got neither")
                  : try_open_model(uri, options, model, room.error);
  if (status == SIDECALL_OK) {
    // An empty list is refused with SHAPE_MISMATCH, unless the model takes no records at all.
    sidecall_text* none = nullptr;
    status = sidecall_predict_json(model.get(), "[]", 2, &none, &room.error);
    if (status == SIDECALL_SHAPE_MISMATCH) status = SIDECALL_OK;
  }
  if (status == SIDECALL_OK) return model;
  const Failure failure = failure_of(uri, status, room.error);
  room.set(status, failure.what());
  try {
    api.fail_init(sidecall_status_name(status), lambda_error(status, room.error));
  } catch (const Failure&) {  // it hides why the model does not open
    complain(std::string("sidecall: ") + failure.what());
    throw;
  }
  throw failure;
}

// How long the run of an invocation may take, in nanoseconds: until Lambda ends it, without the
// time that the answer needs. 0 if no time is left, -1 without a deadline.
int64_t time_left_ns(const Invocation& invocation) {
  using std::chrono::milliseconds;
  constexpr auto kForAnswer = milliseconds(20);
  if (invocation.deadline_ms < 0) return -1;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto now_ms = std::chrono::duration_cast<milliseconds>(now);
  constexpr auto kLongest = milliseconds(std::chrono::hours(24));
  const auto left = std::min(milliseconds(invocation.deadline_ms), now_ms + kLongest) - now_ms;
  return std::max<int64_t>(std::chrono::nanoseconds(left - kForAnswer).count(), 0);
}

class Function {
 public:
  Function(RuntimeApi& api, const Model& model)
      : api_(api),
        model_(model),
        memory_(model.get(), environment("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")) {}

  void answer(const Invocation& invocation) {
    const Event event = read_event(invocation.event, memory_.left());
    if (event.refused != 0)
      return api_.answer(invocation, http_answer(event.refused, http_refusal(event.reason)));
    std::string answer;
    const sidecall_status status = predict(event, time_left_ns(invocation), &answer);
    if (status == SIDECALL_OK) return api_.answer(invocation, answer);
    // Errors over HTTP that are the client's are not those of the function.
    if (!event.is_http || http_status_of(status) >= 500)
      complain("sidecall: lambda: request " + invocation.id + ": " + sidecall_status_name(status) +
               ": " + room_.error.message);
    if (event.is_http)
      api_.answer(invocation, http_answer(http_status_of(status), http_error(status, room_.error)));
    else api_.fail(invocation, sidecall_status_name(status), lambda_error(status, room_.error));
  }

 private:
  sidecall_status predict(const Event& event, int64_t timeout_ns, std::string* answer) {
    if (timeout_ns == 0)
      return room_.set(SIDECALL_TIMEOUT, "the deadline of the invocation has passed");
    const uint64_t needed = memory_.of_records(event.records());
    if (needed > memory_.left())
      return room_.set(SIDECALL_OUT_OF_MEMORY, not_enough_memory(needed, memory_.left()));
    sidecall_text* raw = nullptr;
    const sidecall_status status =
        sidecall_predict_json_within(model_.get(), event.records().data(), event.records().size(),
                                     timeout_ns, &raw, &room_.error);
    const Text text(raw);
    if (status != SIDECALL_OK) return status;
    const std::string_view json(text->data, text->length);
    size_t bytes = json.size();
    if (bytes <= kMaxAnswerBytes) {  // a larger one is not copied
      *answer = event.is_http ? http_answer(200, json) : std::string(json);
      bytes = answer->size();
    }
    if (bytes <= kMaxAnswerBytes) return SIDECALL_OK;
    return room_.set(SIDECALL_OUT_OF_RANGE, "answer: expected at most " +
                                                std::to_string(kMaxAnswerBytes) + " bytes, got " +
                                                std::to_string(bytes) + ": send fewer records");
  }

  RuntimeApi& api_;
  const Model& model_;
  const EventMemory memory_;
  ErrorRoom room_;
};

// Libraries for tracing read it from there. No other thread reads the environment meanwhile.
void set_trace_id(const std::string& trace_id) {
  if (trace_id.empty()) unsetenv("_X_AMZN_TRACE_ID");
  else setenv("_X_AMZN_TRACE_ID", trace_id.c_str(), 1);
}

}  // namespace

int run_lambda(const Command& self, std::vector<std::string> words) {
  LambdaOptions options;
  if (!parse(self, std::move(words), &options)) return kOk;
  if (!options.zip.empty()) write_zip(self, options);
  const std::string address = environment("AWS_LAMBDA_RUNTIME_API");
  if (address.empty())
    throw Failure(kUsage,
                  "lambda: expected the address of the Runtime API in AWS_LAMBDA_RUNTIME_API, got "
                  "nothing: Lambda and its emulator set it");
  note_interrupts();
  RuntimeApi api(address);
  const Model model = open_for_events(api, model_of_function(options.uri), options.model);
  if (const char* warning = sidecall_model_warning(model.get()))
    complain(std::string("sidecall: warning: ") + warning);
  Function function(api, model);
  for (Invocation invocation; noted_interrupt() == 0 && api.next(&invocation);) {
    set_trace_id(invocation.trace_id);
    function.answer(invocation);
  }
  return kOk;
}

}  // namespace sidecall::cli
