// sidecall serve: serves a model file at an address until SIGTERM. Python objects and pickles are
// handed over to the Python package.
#include <grp.h>
#include <poll.h>
#include <sidecall/server.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>

#include "base/json/json.h"
#include "base/text/percent.h"
#include "formats/json.hpp"
#include "model/model.hpp"
#include "needs.hpp"
#include "options.hpp"
#include "python.hpp"
#include "terminal/output.hpp"
#include "terminal/platform.hpp"
#include "terminal/sandbox.hpp"
#include "terminal/service_manager.hpp"

namespace sidecall::cli {
namespace {

constexpr double kMebibyte = 1024.0 * 1024.0;

struct ServeArguments : ServeOptions {
  std::string uri;
  ModelOptions model;
};

struct ServerCloser {
  void operator()(sidecall_server* server) const { sidecall_server_close(server); }
};
using Server = std::unique_ptr<sidecall_server, ServerCloser>;

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Whether a text has the form of names of Python with dots between them.
bool is_dotted_name(std::string_view text) {
  bool is_start = true;
  for (const char c : text) {
    const bool is_digit = c >= '0' && c <= '9';
    if (is_start && (is_digit || c == '.')) return false;
    const bool is_ascii_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (c != '.' && !is_digit && !is_ascii_letter && static_cast<unsigned char>(c) < 0x80)
      return false;
    is_start = c == '.';
  }
  return !is_start;
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
    // HOST:PORT is not one, because a port is a number.
    const size_t colon = word.find(':');
    if (colon != std::string::npos && is_dotted_name(word.substr(0, colon)) &&
        is_dotted_name(word.substr(colon + 1)))
      return true;
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

bool parse(const Command& self, std::vector<std::string> words, ServeArguments& options) {
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
  add_serve_options(app, options);
  // Not shown: only a Python object has workers, which --max-run needs.
  std::string max_run;
  CLI::Option* const has_max_run = app.add_option("--max-run", max_run)->group("");
  add_engine_options(app, options.model);
  if (!arguments.parse(std::move(words))) return false;
  if (has_max_run->count() > 0)
    throw Failure(kUsage,
                  "serve: --max-run: expected a Python object with --workers, whose workers can be "
                  "replaced, got a file: --timeout and the deadlines of calls end its runs");
  const bool has_network = !options.http.empty() || !options.grpc.empty();
  if (options.at.empty() && !has_network && std::getenv("SIDECALL_FD") == nullptr)
    throw Failure(kUsage,
                  "serve: expected --at, --http or --grpc with an address, got nothing (see "
                  "sidecall serve --help)");
  return true;
}

// The address of a server over HTTP or gRPC with its options; see net/PROTOCOL.md. `where` is
// HOST:PORT or the path of a socket.
std::string network_address(const ServeOptions& options, const std::string& protocol,
                            const std::string& where) {
  const bool is_socket = !where.empty() && where.front() == '/';
  const bool is_secure = !options.tls_cert.empty() && !is_socket;
  std::string address = protocol +
                        (is_socket   ? "+unix:"
                         : is_secure ? "s://"
                                     : "://") +
                        percent_encode(where, "/:[]");
  char separator = '?';
  const auto add = [&](const char* name, const std::string& value) {
    if (value.empty()) return;
    address += separator + std::string(name) + "=" + percent_encode(value);
    separator = '&';
  };
  add("name", options.name);
  add("tokens", options.tokens);
  if (!is_socket) {
    add("cert", options.tls_cert);
    add("key", options.tls_key);
    add("client_ca", options.tls_client_ca);
    if (options.insecure) add("insecure", "yes");
  }
  for (const std::string& name : options.allow_host) add("host", name);
  return address;
}

// All addresses, as the library takes them; nullopt for the connections of SIDECALL_FD.
std::vector<std::optional<std::string>> addresses_of(const ServeOptions& options) {
  std::vector<std::optional<std::string>> addresses;
  if (!options.at.empty()) addresses.emplace_back(options.at);
  for (const std::string& where : options.http)
    addresses.emplace_back(network_address(options, "http", where));
  for (const std::string& where : options.grpc)
    addresses.emplace_back(network_address(options, "grpc", where));
  if (addresses.empty()) addresses.emplace_back();
  return addresses;
}

int32_t level_of(const std::string& word) {
  return word == "debug" ? 0 : word == "info" ? 1 : word == "warning" ? 2 : 3;
}

sidecall_server_options server_options(const ServeOptions& options, sidecall_log_lines& log) {
  sidecall_server_options result;
  sidecall_server_options_init(&result);
  result.num_threads = options.threads;
  result.copy_inputs = options.copy == "always" ? SIDECALL_COPY_ALWAYS : SIDECALL_COPY_AUTO;
  result.allow_uids = options.allow_uid.data();
  result.num_allow_uids = static_cast<int32_t>(options.allow_uid.size());
  result.group = group_id(options.group);
  result.max_connections = options.max_connections;
  result.max_connections_per_user = options.max_connections_per_user;
  result.max_request_bytes = result.max_response_bytes =
      static_cast<uint64_t>(options.max_call_mib * kMebibyte);
  result.max_memory_bytes = static_cast<uint64_t>(options.max_memory_mib * kMebibyte);
  result.max_memory_per_user_bytes =
      static_cast<uint64_t>(options.max_memory_per_user_mib * kMebibyte);
  result.drain_ns = static_cast<int64_t>(options.drain_timeout_s * 1e9);
  result.timeout_ns = static_cast<int64_t>(options.timeout_s * 1e9);
  result.unready_after_ns = static_cast<int64_t>(options.unready_after_s * 1e9);
  result.log = &log;
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
  json.Key("at");
  const auto add = [&](const std::string& at) {
    json.String(at.data(), static_cast<rapidjson::SizeType>(at.size()));
  };
  if (options.http.empty() && options.grpc.empty()) {
    add(options.at.empty() ? "SIDECALL_FD" : options.at);
  } else {
    json.StartArray();
    for (const auto& at : addresses_of(options)) add(at->substr(0, at->find('?')));
    json.EndArray();
  }
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
  if (at.empty()) return true;  // it serves over the network only
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

void start(sidecall_server* server) {
  sidecall_error err = SIDECALL_ERROR_INIT;
  const sidecall_status status = sidecall_server_start(server, &err);
  if (status != SIDECALL_OK) throw failure_of("serve", status, err);
}

// What a confined server still needs, with the addresses in `options` resolved.
Needs needs_of(ServeArguments* options, const sidecall_model* model) {
  Needs needs = needs_of_addresses(options->at, &options->http, &options->grpc,
                                   &options->allow_host, options->uri, model);
  add_read_folders("--tokens", options->tokens, &needs);
  add_read_folders("--tls-cert", options->tls_cert, &needs);
  add_read_folders("--tls-key", options->tls_key, &needs);
  add_read_folders("--tls-client-ca", options->tls_client_ca, &needs);
  return needs;
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

// Serves, then drains all servers. After a signal, running calls have `drain_ns` to complete.
// Returns false if some were still running after that.
bool serve_to_the_end(const std::vector<Server>& servers, const std::string& at, int64_t drain_ns,
                      const ServiceManager& manager, sidecall_log_lines* log) {
  const bool is_signal = serve_until_end(servers.front().get(), at, manager);
  if (is_signal) sidecall_log_line(log, 1, "{\"event\":\"serve.draining\"}");
  manager.send("STOPPING=1\nSTATUS=draining");
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::nanoseconds(is_signal ? drain_ns : 0);
  bool is_done = true;
  // All of them stop to accept before the first one has answered everything.
  std::vector<std::thread> drains;
  std::vector<char> results(servers.size(), 0);
  for (size_t i = 0; i < servers.size(); ++i) {
    const auto drain = [&, i] {
      const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(
          end - std::chrono::steady_clock::now());
      results[i] = sidecall_server_drain(servers[i].get(), std::max<int64_t>(left.count(), 0),
                                         nullptr) == SIDECALL_OK;
    };
    bool has_thread = false;
    try {
      if (i + 1 < servers.size()) {
        drains.emplace_back(drain);
        has_thread = true;
      }
    } catch (const std::system_error&) {
      // Without a thread this server is drained before the ones that follow.
    }
    if (!has_thread) drain();
  }
  for (std::thread& each : drains) each.join();
  for (const char result : results) is_done = is_done && result != 0;
  return is_done;
}

}  // namespace

int run_serve(const Command& self, std::vector<std::string> words) {
  if (is_for_python(words)) hand_over("sidecall.serving", self.name, words);
  ServeArguments options;
  if (!parse(self, std::move(words), options)) return kOk;
  sidecall_log_lines log;
  sidecall_log_lines_init(&log);
  log.as_json = options.json_log ? 1 : 0;
  log.least_level = level_of(options.log_level);
  sidecall_server_options known = server_options(options, log);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGHUP, SIG_IGN);  // tokens and certificates are read again without it
  if (options.sandbox != "off") {
    const char* const parent = std::getenv("SIDECALL_FD");
    const std::string failure = close_inherited(parent == nullptr ? -1 : std::atoi(parent));
    if (!failure.empty()) note_confined(options, "descriptors", failure, &log);
  }
  raise_descriptor_limit();
  note_interrupts();
  const Model model = open_model(options.uri, options.model);
  const bool is_confined = options.sandbox != "off";
  Needs needs;
  if (is_confined) needs = needs_of(&options, model.get());
  // Without an address, this process was started by a client and is not the service itself.
  const std::vector<std::optional<std::string>> addresses = addresses_of(options);
  ServiceManager manager(addresses.front().has_value());
  if (is_confined && manager.keep_alive_ns() >= 0)
    throw Failure(kUsage,
                  "serve: --sandbox: expected a service without WatchdogSec=, got one with it: a "
                  "confined server cannot send messages to its manager");
  // Before the threads of the server start, because they inherit it.
  // Reading is allowed to all threads below, so only if Landlock says what they can read.
  bool may_read = !needs.read_folders.empty();
  if (is_confined) {
    const std::string failure = confine_files(needs);
    note_confined(options, "files", failure, &log);
    may_read = may_read && failure.empty();
  }
  // No client is served before the confinement is complete.
  known.start_later = is_confined ? 1 : 0;
  std::vector<Server> servers;
  std::string places;
  for (const std::optional<std::string>& at : addresses) {
    sidecall_error err = SIDECALL_ERROR_INIT;
    sidecall_server* opened = nullptr;
    const sidecall_status status =
        sidecall_server_open(at ? at->c_str() : nullptr, model.get(), &known, &opened, &err);
    servers.emplace_back(opened);
    const std::string place = at ? at->substr(0, at->find('?')) : options.uri;
    if (status != SIDECALL_OK) throw failure_of(place, status, err);
    places += (places.empty() ? "" : " ") + place;
  }
  manager.send("READY=1\nSTATUS=serving at " + printable(places));
  // Afterwards, because opening a server makes a socket and starts threads.
  if (is_confined) {
    manager.close();
    note_confined(options, "system calls", confine_calls(may_read), &log);
    for (const Server& server : servers) start(server.get());
  }
  sidecall_log_line(&log, 1, listening_event(options, model.get()).c_str());
  if (!serve_to_the_end(servers, options.at, known.drain_ns, manager, &log)) {
    sidecall_log_line(
        &log, 2,
        "{\"event\":\"serve.cut\",\"reason\":\"calls were still running at the drain timeout\"}");
    sidecall_log_flush(kFlushNs);
    ::_exit(kEnvironment);  // closing the server would wait for the running calls
  }
  servers.clear();
  sidecall_log_line(&log, 1, "{\"event\":\"serve.ended\"}");
  sidecall_log_flush(kFlushNs);
  return kOk;
}

}  // namespace sidecall::cli
