// sidecall serve: serves a model file at an address until SIGTERM. Python objects and pickles are
// handed over to the Python package.
#include <grp.h>
#include <poll.h>
#include <sidecall/server.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>

#include "base/json.h"
#include "base/socket_folder.h"
#include "formats/json.hpp"
#include "model/model.hpp"
#include "python.hpp"
#include "terminal/output.hpp"
#include "terminal/platform.hpp"
#include "terminal/sandbox.hpp"
#include "terminal/service_manager.hpp"

namespace sidecall::cli {
namespace {

constexpr double kMebibyte = 1024.0 * 1024.0;

struct ServeOptions {
  ModelOptions model;
  std::string uri;
  std::string at;
  std::string copy = "auto";
  std::string group;
  std::string level = "info";
  std::string sandbox = "off";
  std::vector<uint32_t> allow_uids;
  int32_t threads = 1;
  int32_t max_connections = 1024;
  int32_t max_connections_per_user = 512;
  double max_call_mib = 256;
  double max_memory_mib = 4096;
  double max_memory_per_user_mib = 0;  // 0: the default of the library
  double drain_s = 10;
  bool as_json = false;
};

struct ServerCloser {
  void operator()(sidecall_server* server) const { sidecall_server_close(server); }
};
using Server = std::unique_ptr<sidecall_server, ServerCloser>;

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Whether the Python package must serve the model. It serves `module:object` and pickles. All other
// models, including file: URIs, are model files.
bool is_for_python(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    if (word.empty() || word[0] == '-') continue;
    if (ends_with(word, ".onnx") || word.compare(0, 5, "file:") == 0 ||
        word.compare(0, 4, "shm:") == 0)
      continue;
    if (ends_with(word, ".joblib") || ends_with(word, ".pkl") || ends_with(word, ".pickle"))
      return true;
    const size_t colon = word.find(':');
    if (colon != std::string::npos && colon > 0 && word.find('/') == std::string::npos) return true;
  }
  return false;
}

int64_t group_id(const std::string& name) {
  if (name.empty()) return -1;
  uint32_t number = 0;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), number);
  if (parsed.ec == std::errc() && parsed.ptr == name.data() + name.size()) return number;
  errno = 0;
  const group* found = ::getgrnam(name.c_str());
  if (found == nullptr)
    throw Failure(kUsage, "serve: --group: expected the name or number of a group, got '" +
                              printable(name) + "'");
  return found->gr_gid;
}

bool parse(const Command& self, std::vector<std::string> words, ServeOptions& options) {
  Arguments arguments(self, "");
  auto& app = arguments.app;
  app.usage(
      "Usage: sidecall serve [options] MODEL\n\n"
      "A Python object or a pickle has more options (--workers, --data,\n"
      "--trust-pickle and others): sidecall serve app:model --help");
  app.get_formatter()->column_width(31);
  app.add_option("MODEL", options.uri,
                 "an .onnx file, app:model (an object of a Python module) or a pickle")
      ->required()
      ->option_text(" ");
  CLI::Option* at = app.add_option("--at", options.at,
                                   "address of the server: shm:NAME or shm:/path; required, except "
                                   "in a child process with SIDECALL_FD")
                        ->option_text("ADDRESS");
  app.add_option("--threads", options.threads, "threads that run the model, 1 to 1024 (default: 1)")
      ->check(whole_number(1, 1024))
      ->option_text("N");
  app.add_option("--allow-uid", options.allow_uids, "id of another user to admit; may be repeated")
      ->check(whole_number(0, UINT32_MAX))
      ->option_text("UID")
      ->allow_extra_args(false);
  app.add_option("--group", options.group, "group to admit, by name or number (default: none)")
      ->option_text("GROUP");
  app.add_option("--copy", options.copy,
                 "auto (default): copy an input only if reading it in place is unsafe; "
                 "always: copy every input")
      ->check(one_of({"auto", "always"}))
      ->option_text("WHEN");
  app.add_option("--max-connections", options.max_connections,
                 "connections at the same time, 1 to 1000000 (default: 1024)")
      ->check(whole_number(1, 1000000))
      ->option_text("N");
  app.add_option("--max-connections-per-user", options.max_connections_per_user,
                 "connections of one user, 1 to 1000000 (default: 512)")
      ->check(whole_number(1, 1000000))
      ->option_text("N");
  app.add_option("--max-call", options.max_call_mib,
                 "largest request or answer in MiB (default: 256)")
      ->check(number_between(0.001, 1048576.0))
      ->option_text("MIB");
  app.add_option("--max-memory", options.max_memory_mib,
                 "memory that all clients can make the server hold, in MiB (default: 4096)")
      ->check(number_between(0.001, 1e9))
      ->option_text("MIB");
  app.add_option("--max-memory-per-user", options.max_memory_per_user_mib,
                 "the limit for one user, in MiB (default: half of --max-memory if other users are "
                 "admitted, else all of it)")
      ->check(number_between(0.001, 1e9))
      ->option_text("MIB");
  app.add_option("--drain-timeout", options.drain_s,
                 "time for running calls to end after SIGTERM (default: 10)")
      ->check(number_of_seconds())
      ->option_text("SECONDS");
  app.add_flag("--json-log", options.as_json, "write log lines as JSON");
  app.add_option("--log-level", options.level,
                 "lowest level to log: debug, info (default), warning or error")
      ->check(one_of({"debug", "info", "warning", "error"}))
      ->option_text("LEVEL");
  // As a flag with a value, --sandbox takes no word of its own: the next word is the model.
  app.add_flag("--sandbox", options.sandbox,
               "once the golden rows have run, take files, network and other processes away from "
               "the server; =require: fail if this system cannot (see docs/hardening.md)")
      ->check(one_of({"on", "require"}))
      ->transform(
          [](const std::string& given) { return given == "true" ? std::string("on") : given; })
      ->option_text("[=require]");
  add_engine_options(app, options.model);
  if (!arguments.parse(std::move(words))) return false;
  if (at->count() == 0 && std::getenv("SIDECALL_FD") == nullptr)
    throw Failure(kUsage, "serve: expected --at ADDRESS, got nothing (see sidecall serve --help)");
  return true;
}

int32_t level_of(const std::string& word) {
  return word == "debug" ? 0 : word == "info" ? 1 : word == "warning" ? 2 : 3;
}

sidecall_server_options server_options(const ServeOptions& options, sidecall_log_lines& log) {
  sidecall_server_options result;
  sidecall_server_options_init(&result);
  result.num_threads = options.threads;
  result.copy_inputs = options.copy == "always" ? SIDECALL_COPY_ALWAYS : SIDECALL_COPY_AUTO;
  result.allow_uids = options.allow_uids.data();
  result.num_allow_uids = static_cast<int32_t>(options.allow_uids.size());
  result.group = group_id(options.group);
  result.max_connections = options.max_connections;
  result.max_connections_per_user = options.max_connections_per_user;
  result.max_request_bytes = result.max_response_bytes =
      static_cast<uint64_t>(options.max_call_mib * kMebibyte);
  result.max_memory_bytes = static_cast<uint64_t>(options.max_memory_mib * kMebibyte);
  result.max_memory_per_user_bytes =
      static_cast<uint64_t>(options.max_memory_per_user_mib * kMebibyte);
  result.drain_ns = static_cast<int64_t>(options.drain_s * 1e9);
  result.log = sidecall_log_line;
  result.log_context = &log;
  return result;
}

std::string listening_event(const ServeOptions& options, const sidecall_model* model) {
  json::Buffer buffer;
  json::Writer json(buffer);
  const auto text = [&](const char* key, const std::string& value) {
    json.Key(key);
    json.String(value.c_str(), static_cast<rapidjson::SizeType>(value.size()));
  };
  json.StartObject();
  text("event", "serve.ready");
  text("at", options.at.empty() ? "SIDECALL_FD" : options.at);
  text("model", sidecall_model_name(model));
  text("version", sidecall_model_version(model));
  text("id", sidecall_model_id(model));
  text("engine", sidecall_model_engine(model));
  json.Key("threads");
  json.Int(options.threads);
  json.Key("process");
  json.Int(static_cast<int>(::getpid()));
  json.EndObject();
  return {buffer.GetString(), buffer.GetSize()};
}

constexpr int64_t kFlushNs = INT64_C(200) * 1000 * 1000;

// Whether the server answers at its own address, as a client would see it.
bool is_answering(const std::string& at) {
  sidecall_text* raw = nullptr;
  const sidecall_status status = sidecall_server_query(at.c_str(), 0, &raw, nullptr);
  const Text text(raw);
  return status == SIDECALL_OK || status == SIDECALL_BUSY;
}

// Logs whether one part of the sandbox is in place, or fails if it must be.
void note_confined(const ServeOptions& options, const char* part, const std::string& failure,
                   sidecall_log_lines* log) {
  if (!failure.empty() && options.sandbox == "require")
    throw Failure(kEnvironment,
                  "serve: --sandbox=require: cannot confine " + std::string(part) + ": " + failure);
  json::Buffer buffer;
  json::Writer json(buffer);
  json.StartObject();
  json.Key("event");
  json.String(failure.empty() ? "sandbox.confined" : "sandbox.failed");
  json.Key("part");
  json.String(part);
  if (!failure.empty()) {
    json.Key("reason");
    json.String(failure);
  }
  json.EndObject();
  sidecall_log_line(log, failure.empty() ? 1 : 2, buffer.GetString());
}

// The folder in which the server makes its socket; "" if it has no address.
std::string folder_of(const std::string& at) {
  if (at.empty()) return "";
  const std::string address = at.substr(at.find(':') + 1);
  if (address.empty() || address[0] != '/') {
    const std::string folder = socket_folder();
    ::mkdir(folder.c_str(), 0700);  // the server checks it
    return folder;
  }
  const char* fault = nullptr;
  const std::string path = decode_socket_path(address, &fault);
  return path.substr(0, path.rfind('/') + 1);
}

// Serves until a signal arrives, or until the parent process closes its control socket and the
// server has ended. Returns whether a signal arrived.
bool serve_until_end(sidecall_server* server, const std::string& at,
                     const ServiceManager& manager) {
  for (;;) {
    const Wake wake = wait_readable_for(sidecall_server_fd(server), manager.keep_alive_ns());
    if (wake != Wake::kTimeout) return wake == Wake::kSignal;
    if (is_answering(at)) manager.send("WATCHDOG=1");
  }
}

// Serves, then drains the server. After a signal, running calls have `drain_ns` to complete.
// Returns false if some were still running after that.
bool serve_to_the_end(sidecall_server* server, const std::string& at, int64_t drain_ns,
                      const ServiceManager& manager, sidecall_log_lines* log) {
  const bool is_signal = serve_until_end(server, at, manager);
  if (is_signal) sidecall_log_line(log, 1, "{\"event\":\"serve.draining\"}");
  manager.send("STOPPING=1\nSTATUS=draining");
  return sidecall_server_drain(server, is_signal ? drain_ns : 0, nullptr) == SIDECALL_OK;
}

}  // namespace

int run_serve(const Command& self, std::vector<std::string> words) {
  if (is_for_python(words)) hand_over("sidecall.serving", self.name, words);
  ServeOptions options;
  if (!parse(self, std::move(words), options)) return kOk;
  sidecall_log_lines log;
  sidecall_log_lines_init(&log);
  log.as_json = options.as_json ? 1 : 0;
  log.least_level = level_of(options.level);
  const sidecall_server_options known = server_options(options, log);
  std::signal(SIGPIPE, SIG_IGN);
  if (options.sandbox != "off") {
    const char* const parent = std::getenv("SIDECALL_FD");
    close_inherited(parent == nullptr ? -1 : std::atoi(parent));
  }
  raise_descriptor_limit();
  note_interrupts();
  const Model model = open_model(options.uri, options.model);
  // Without an address, this process was started by a client and is not the service itself.
  ServiceManager manager(!options.at.empty());
  const bool is_confined = options.sandbox != "off";
  if (is_confined && manager.keep_alive_ns() >= 0)
    throw Failure(kUsage,
                  "serve: --sandbox: expected a service without WatchdogSec=, got one with it: a "
                  "confined server cannot send messages to its manager");
  // Before the threads of the server start, because they inherit it.
  if (is_confined) note_confined(options, "files", confine_files(folder_of(options.at)), &log);
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_server* opened = nullptr;
  const sidecall_status status = sidecall_server_open(
      options.at.empty() ? nullptr : options.at.c_str(), model.get(), &known, &opened, &err);
  Server server(opened);
  if (status != SIDECALL_OK)
    throw failure_of(options.at.empty() ? options.uri : options.at, status, err);
  manager.send("READY=1\nSTATUS=serving at " + printable(options.at));
  // Afterwards, because opening a server makes a socket and starts threads.
  if (is_confined) {
    manager.close();
    note_confined(options, "system calls", confine_calls(), &log);
  }
  sidecall_log_line(&log, 1, listening_event(options, model.get()).c_str());
  if (!serve_to_the_end(server.get(), options.at, known.drain_ns, manager, &log)) {
    sidecall_log_line(
        &log, 2,
        "{\"event\":\"serve.cut\",\"reason\":\"calls were still running at the drain timeout\"}");
    sidecall_log_flush(kFlushNs);
    ::_exit(kEnvironment);  // closing the server would wait for the running calls
  }
  server.reset();
  sidecall_log_line(&log, 1, "{\"event\":\"serve.ended\"}");
  sidecall_log_flush(kFlushNs);
  return kOk;
}

}  // namespace sidecall::cli
