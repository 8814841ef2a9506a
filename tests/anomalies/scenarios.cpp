// The scenarios of the campaign; see scenario.h.
#include "scenario.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>

#include "inject.h"

namespace anomalies {
namespace {

constexpr int64_t kSecond = 1000000000;
constexpr int64_t kTimeout = kSecond;

// Keeps the status and the message of the first step that fails.
class Steps {
 public:
  sidecall_error* error() { return &error_; }
  bool ok() const { return outcome_.status == SIDECALL_OK && !outcome_.is_wrong; }

  // Returns whether the call succeeded, so that the next step may follow.
  bool operator()(sidecall_status status) {
    if (status != SIDECALL_OK && ok()) {
      outcome_.status = status;
      outcome_.text = error_.message;
      if (error_.status != status) wrong("the error has another status than the call returned");
    }
    return status == SIDECALL_OK;
  }
  void expect(bool is_right, const char* what) {
    if (!is_right) wrong(what);
  }
  void wrong(const char* what) {
    outcome_.is_wrong = true;
    outcome_.text = what;
  }
  void fail(sidecall_status status, const std::string& text) {
    outcome_.status = status;
    outcome_.text = text;
  }
  Outcome outcome() const { return outcome_; }

 private:
  sidecall_error error_ = SIDECALL_ERROR_INIT;
  Outcome outcome_;
};

template <typename T>
using Handle = std::unique_ptr<T, void (*)(T*)>;
using Model = Handle<sidecall_model>;
using Call = Handle<sidecall_call>;
using Server = Handle<sidecall_server>;
using Text = Handle<sidecall_text>;

// Takes what an open function returned. The handle must be NULL after a failure.
template <typename T>
Handle<T> own(Steps& steps, sidecall_status status, T* made, void (*close)(T*)) {
  if (!steps(status) && made != nullptr) steps.wrong("a failed open returned a handle");
  return Handle<T>(made, close);
}

Model open_model(Steps& steps, const std::string& uri) {
  sidecall_model_options options;
  sidecall_model_options_init(&options);
  options.allow_exec = 1;
  options.timeout_ns = kTimeout;
  options.wait_ns = kTimeout;
  sidecall_model* model = nullptr;
  const sidecall_status status = sidecall_model_open(uri.c_str(), &options, &model, steps.error());
  return own(steps, status, model, sidecall_model_close);
}

Call open_call(Steps& steps, const sidecall_model* model, int64_t rows) {
  sidecall_call* call = nullptr;
  const sidecall_status status = sidecall_call_open(model, rows, &call, steps.error());
  return own(steps, status, call, sidecall_call_close);
}

// Sets the features of a penguin for which the model answers "Adelie".
bool set_penguin(Steps& steps, sidecall_call* call, const sidecall_model* model, int64_t row = 0) {
  if (row == 0 && !steps(sidecall_call_clear(call, steps.error()))) return false;
  const auto number = [&](const char* name, double value) {
    return steps(sidecall_call_set_f64(call, row, sidecall_model_feature(model, name), value,
                                       steps.error()));
  };
  const auto text = [&](const char* name, const char* value) {
    return steps(sidecall_call_set_str(call, row, sidecall_model_feature(model, name), value,
                                       std::strlen(value), steps.error()));
  };
  return number("bill_length_mm", 39.1) && number("bill_depth_mm", 18.7) &&
         number("flipper_length_mm", 181) && number("body_mass_g", 3750) &&
         text("island", "Torgersen") && text("sex", "male");
}

void expect_adelie(Steps& steps, sidecall_call* call) {
  const char* label = nullptr;
  size_t length = 0;
  if (steps(sidecall_call_get_str(call, 0, 0, &label, &length, steps.error())))
    steps.expect(std::string(label, length) == "Adelie", "the label is not Adelie");
}

void run_record(Steps& steps, const sidecall_model* model) {
  const Call call = open_call(steps, model, 1);
  if (steps.ok() && set_penguin(steps, call.get(), model) &&
      steps(sidecall_call_run(call.get(), kTimeout, steps.error())))
    expect_adelie(steps, call.get());
}

// Runs one row and then several, so that the engine prepares for other shapes.
void run_growing(Steps& steps, const sidecall_model* model) {
  constexpr int64_t kRows = 20;
  const Call call = open_call(steps, model, 1);
  if (!steps.ok() || !set_penguin(steps, call.get(), model) ||
      !steps(sidecall_call_run(call.get(), kTimeout, steps.error())) ||
      !steps(sidecall_call_resize(call.get(), kRows, steps.error())))
    return;
  for (int64_t row = 0; row < kRows; ++row) {
    if (!set_penguin(steps, call.get(), model, row)) return;
  }
  if (steps(sidecall_call_run(call.get(), kTimeout, steps.error())))
    expect_adelie(steps, call.get());
}

// Sets the features of all rows and reads a column of all rows, with one call each.
void run_table(Steps& steps, const sidecall_model* model) {
  constexpr int64_t kRows = 20;
  const Call call = open_call(steps, model, kRows);
  const auto feature = [&](const char* name) { return sidecall_model_feature(model, name); };
  const auto numbers = [&](const char* name, double value) {
    std::array<double, kRows> values;
    values.fill(value);
    return steps(sidecall_call_set_feature_f64(call.get(), feature(name), values.data(), nullptr,
                                               kRows, steps.error()));
  };
  const auto texts = [&](const char* name, const char* value) {
    std::array<char, kRows * 16> data{};
    std::array<int64_t, kRows + 1> offsets{};
    const size_t length = std::strlen(value);
    for (size_t row = 0; row < kRows; ++row) {
      std::memcpy(data.data() + row * length, value, length);
      offsets[row + 1] = static_cast<int64_t>((row + 1) * length);
    }
    return steps(sidecall_call_set_feature_str(call.get(), feature(name), data.data(), data.size(),
                                               offsets.data(), nullptr, kRows, steps.error()));
  };
  sidecall_value bill[1] = {{SIDECALL_VALUE_F64, 0, 39.1, 0, nullptr, 0}};
  const int32_t named[1] = {feature("bill_length_mm")};
  std::array<const char*, kRows> labels{};
  std::array<size_t, kRows> lengths{};
  if (!steps.ok() || !numbers("bill_length_mm", 1) || !numbers("bill_depth_mm", 18.7) ||
      !numbers("flipper_length_mm", 181) || !numbers("body_mass_g", 3750) ||
      !texts("island", "Torgersen") || !texts("sex", "male") ||
      !steps(sidecall_call_set_row(call.get(), 0, named, bill, 1, steps.error())) ||
      !steps(sidecall_call_run(call.get(), kTimeout, steps.error())) ||
      !steps(sidecall_call_get_column_str(call.get(), 0, labels.data(), lengths.data(), kRows,
                                          steps.error())))
    return;
  steps.expect(std::string(labels[0], lengths[0]) == "Adelie", "the first label is not Adelie");
}

void run_json(Steps& steps, const sidecall_model* model) {
  static const char kRecord[] =
      R"({"bill_length_mm": 39.1, "bill_depth_mm": 18.7, "flipper_length_mm": 181,)"
      R"( "body_mass_g": 3750, "island": "Torgersen", "sex": "male"})";
  sidecall_text* made = nullptr;
  const sidecall_status status =
      sidecall_predict_json(model, kRecord, sizeof kRecord - 1, &made, steps.error());
  const Text text = own(steps, status, made, sidecall_text_close);
  if (steps.ok())
    steps.expect(std::string(text->data, text->length).find("\"Adelie\"") != std::string::npos,
                 "the answer does not say Adelie");
}

// Starts a run and waits for its outcome as an event loop does.
void run_started(Steps& steps, const sidecall_model* model, bool is_lazy) {
  sidecall_call* made = nullptr;
  const sidecall_status status = is_lazy ? sidecall_call_open_lazy(model, 1, &made, steps.error())
                                         : sidecall_call_open(model, 1, &made, steps.error());
  const Call call = own(steps, status, made, sidecall_call_close);
  int32_t fd = -1;
  if (!steps.ok() || !steps(sidecall_call_fd(call.get(), &fd, steps.error())) ||
      !set_penguin(steps, call.get(), model) ||
      !steps(sidecall_call_start(call.get(), kTimeout, steps.error())))
    return;
  for (int i = 0; i < 100; ++i) {
    pollfd ready{fd, POLLIN, 0};
    poll(&ready, 1, 100);
    const sidecall_status finished = sidecall_call_finish(call.get(), 0, steps.error());
    if (finished == SIDECALL_PENDING) continue;
    if (steps(finished)) expect_adelie(steps, call.get());
    return;
  }
  steps.wrong("a started run has no outcome after 10 s");
}

// Runs with whole tensors: a string tensor, and an output whose shape is known only after the run.
void run_tensors(Steps& steps, const sidecall_model* strings, const sidecall_model* nonzero) {
  {
    const Call call = open_call(steps, strings, 2);
    static const char kData[] = "ab\xC3\xA9";
    static const int64_t kOffsets[] = {0, 1, 4};
    if (!steps.ok() ||
        !steps(sidecall_call_set_strings(call.get(), 0, kData, kOffsets, 2, steps.error())))
      return;
    sidecall_view view = SIDECALL_VIEW_INIT;
    if (!steps(sidecall_call_run(call.get(), kTimeout, steps.error())) ||
        !steps(sidecall_call_output(call.get(), 0, &view, steps.error())))
      return;
    steps.expect(view.offsets[2] == 4 && std::memcmp(view.data, kData, 4) == 0,
                 "the strings are not those that were given");
    if (!steps(sidecall_call_resize(call.get(), 3, steps.error()))) return;
  }
  const Call call = open_call(steps, nonzero, 4);
  sidecall_view view = SIDECALL_VIEW_INIT;
  if (!steps.ok() || !steps(sidecall_call_input(call.get(), 0, &view, steps.error()))) return;
  std::memset(view.data, 0, view.data_bytes);
  if (steps(sidecall_call_run(call.get(), kTimeout, steps.error())))
    steps(sidecall_call_output(call.get(), 0, &view, steps.error()));
}

void ignore_event(void*, int32_t, const char*) {}

// ---- Servers ----

Server open_server(Steps& steps, const std::string& address, const sidecall_model* model,
                   int32_t num_threads = 1) {
  sidecall_server_options options;
  sidecall_server_options_init(&options);
  options.log = ignore_event;
  options.num_threads = num_threads;
  sidecall_server* server = nullptr;
  const sidecall_status status =
      sidecall_server_open(address.c_str(), model, &options, &server, steps.error());
  return own(steps, status, server, sidecall_server_close);
}

void query(Steps& steps, const std::string& address) {
  sidecall_text* made = nullptr;
  const sidecall_status status =
      sidecall_server_query(address.c_str(), kTimeout, &made, steps.error());
  const Text text = own(steps, status, made, sidecall_text_close);
}

const char kSignature[] =
    R"({"inputs": [{"name": "x", "dtype": "float64", "dims": [-1, 2], "dim_names": ["N", ""]}],)"
    R"( "outputs": [{"name": "y", "dtype": "float64", "dims": [-1, 2], "dim_names": ["N", ""]}]})";

sidecall_status double_each(void*, sidecall_request* request) {
  sidecall_error error = SIDECALL_ERROR_INIT;
  sidecall_view in = SIDECALL_VIEW_INIT, out = SIDECALL_VIEW_INIT;
  sidecall_status status = sidecall_request_input(request, 0, &in, &error);
  if (status == SIDECALL_OK)
    status = sidecall_request_output(request, 0, in.dims, in.rank, &out, &error);
  if (status != SIDECALL_OK) return status;
  for (int64_t i = 0; i < 2 * in.dims[0]; ++i)
    static_cast<double*>(out.data)[i] = 2 * static_cast<const double*>(in.data)[i];
  sidecall_request_log(request, 1, "doubled", R"({"rows": 1})");
  return SIDECALL_OK;
}

sidecall_service make_service() {
  sidecall_service service;
  sidecall_service_init(&service);
  service.signature = kSignature;
  service.signature_length = sizeof kSignature - 1;
  service.handler = double_each;
  return service;
}

void run_doubling(Steps& steps, const std::string& address, int64_t rows) {
  const Model model = open_model(steps, address);
  const Call call = steps.ok() ? open_call(steps, model.get(), rows) : Call(nullptr, nullptr);
  sidecall_view view = SIDECALL_VIEW_INIT;
  if (!steps.ok() || !steps(sidecall_call_input(call.get(), 0, &view, steps.error()))) return;
  for (int64_t i = 0; i < 2 * rows; ++i)
    static_cast<double*>(view.data)[i] = static_cast<double>(i);
  if (!steps(sidecall_call_run(call.get(), kTimeout, steps.error())) ||
      !steps(sidecall_call_output(call.get(), 0, &view, steps.error())))
    return;
  for (int64_t i = 0; i < 2 * rows; ++i)
    if (static_cast<const double*>(view.data)[i] != static_cast<double>(2 * i))
      return steps.wrong("an element is not twice the input");
}

// The server of a scenario in which only the client's calls fail: another process.
class Peer {
 public:
  Peer(const std::string& program, const std::string& models, const std::string& address) {
    int ends[2], ready[2];
    if (pipe(ends) != 0 || pipe(ready) != 0) std::abort();
    process_ = fork();
    if (process_ == 0) {
      dup2(ends[0], 0);
      dup2(ready[1], 1);
      for (const int fd : {ends[0], ends[1], ready[0], ready[1]}) close(fd);
      unsetenv("SIDECALL_INJECT_STATE");  // its calls do not fail
      unsetenv("LD_PRELOAD");
      execl(program.c_str(), program.c_str(), "--peer", models.c_str(), address.c_str(), nullptr);
      _exit(127);
    }
    close(ends[0]);
    close(ready[1]);
    input_ = ends[1];
    char byte = 0;
    if (read(ready[0], &byte, 1) != 1) std::abort();
    close(ready[0]);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() {
    close(input_);
    waitpid(process_, nullptr, 0);
  }

 private:
  pid_t process_;
  int input_;
};

// ---- The command ----

// Runs the sidecall command, whose calls fail as planned. It must end with the right output, or
// with an exit code and a message. A failure counts as INTERNAL if the message says so, and
// otherwise as OUT_OF_MEMORY.
void run_command(Steps& steps, const std::string& folder, const std::vector<std::string>& arguments,
                 const char* expected) {
  const std::string output = folder + "/output", errors = folder + "/errors";
  std::vector<char*> words;
  for (const std::string& each : arguments) words.push_back(const_cast<char*>(each.c_str()));
  words.push_back(nullptr);
  const pid_t process = fork();
  if (process == 0) {
    if (freopen("/dev/null", "r", stdin) == nullptr ||
        freopen(output.c_str(), "w", stdout) == nullptr ||
        freopen(errors.c_str(), "w", stderr) == nullptr)
      _exit(126);
    execv(words[0], words.data());
    _exit(127);
  }
  int status = 0;
  waitpid(process, &status, 0);
  const auto text_of = [](const std::string& path) {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  // A command that cannot write cannot give a reason either, and ends like other programs do if the
  // reader of its output has gone.
  const char* const planned = sidecall_inject_planned();
  const bool cannot_write = planned != nullptr && std::string(planned) == "write";
  if (cannot_write &&
      (WIFSIGNALED(status) ? WTERMSIG(status) == SIGPIPE : WEXITSTATUS(status) != 0))
    return steps.fail(SIDECALL_OUT_OF_MEMORY, "the command cannot write");
  if (!WIFEXITED(status)) return steps.wrong("the command was ended by a signal");
  if (WEXITSTATUS(status) == 0)
    return steps.expect(text_of(output).find(expected) != std::string::npos,
                        "the command succeeded with another output");
  std::string message = text_of(errors);
  if (message.empty()) return steps.wrong("the command failed without a message");
  steps.fail(message.find("internal error") != std::string::npos ? SIDECALL_INTERNAL
                                                                 : SIDECALL_OUT_OF_MEMORY,
             message);
}

// ---- Supervisor ----

void run_supervised(Steps& steps, const std::string& address, const sidecall_model* model) {
  sidecall_server_options options;
  sidecall_server_options_init(&options);
  options.log = ignore_event;
  sidecall_supervisor* made = nullptr;
  const sidecall_status status =
      sidecall_supervisor_open(address.c_str(), &options, &made, steps.error());
  Handle<sidecall_supervisor> supervisor = own(steps, status, made, sidecall_supervisor_close);
  int32_t fd = -1;
  if (!steps.ok() || !steps(sidecall_supervisor_add(made, 0, &fd, steps.error()))) return;
  const std::string number = std::to_string(fd);
  setenv("SIDECALL_FD", number.c_str(), 1);
  sidecall_server* worker = nullptr;
  const sidecall_status opened =
      sidecall_server_open(nullptr, model, &options, &worker, steps.error());
  unsetenv("SIDECALL_FD");
  const Server server = own(steps, opened, worker, sidecall_server_close);
  if (!steps.ok()) {
    close(fd);
    return;
  }
  if (!steps(sidecall_supervisor_listen(made, kTimeout, steps.error()))) return;
  // If the worker ends, clients would wait 30 s for another one. Other programs with a supervisor
  // start a new worker; this one closes the supervisor.
  int ends[2];
  if (pipe(ends) != 0) std::abort();
  std::thread manager([&] {
    pollfd events[] = {{sidecall_server_fd(worker), POLLIN, 0}, {ends[0], POLLIN, 0}};
    poll(events, 2, -1);
    supervisor.reset();
  });
  const Model client = open_model(steps, address);
  if (steps.ok()) run_record(steps, client.get());
  if (steps.ok()) query(steps, address);
  close(ends[1]);
  manager.join();
  close(ends[0]);
}

}  // namespace

std::vector<Scenario> make_scenarios(const std::string& models, const std::string& folder,
                                     const std::string& program) {
  // What `before` makes stays until the process of the scenario ends.
  struct World {
    Model penguins{nullptr, sidecall_model_close};
    Model strings{nullptr, sidecall_model_close};
    Model nonzero{nullptr, sidecall_model_close};
    Server server{nullptr, sidecall_server_close};
    std::unique_ptr<Peer> peer;
  };
  const auto world = std::make_shared<World>();
  const std::string penguins = models + "/penguins.onnx";
  const std::string address = "shm:" + folder + "/server.sock";
  const std::string peer_address = "shm:" + folder + "/peer.sock";

  const auto require = [](const Steps& steps) {
    if (!steps.ok()) throw std::runtime_error(steps.outcome().text);
  };
  const auto open_penguins = [=] {
    Steps steps;
    world->penguins = open_model(steps, penguins);
    require(steps);
  };
  const auto open_on_native_engine = [=] {
    Steps steps;
    world->penguins = open_model(steps, penguins + "?engine=native");
    require(steps);
  };
  const auto start_peer = [=] {
    world->peer = std::make_unique<Peer>(program, models, peer_address);
  };
  const auto open_remote = [=] {
    start_peer();
    Steps steps;
    world->penguins = open_model(steps, peer_address);
    require(steps);
  };
  const auto nothing = [] {};
  const std::string command = program.substr(0, program.rfind('/')) + "/sidecall";
  std::ofstream(folder + "/rows.csv")
      << "bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,island,sex\n"
         "39.1,18.7,181,3750,Torgersen,male\n";
  const auto scenario = [](const char* name, std::function<void()> before,
                           std::function<void(Steps&)> body) {
    return Scenario{name, std::move(before), [body = std::move(body)] {
                      Steps steps;
                      body(steps);
                      return steps.outcome();
                    }};
  };
  const auto slow = [](Scenario one) {
    one.is_slow = true;
    return one;
  };

  return {
      scenario("open", nothing, [=](Steps& steps) { open_model(steps, penguins); }),
      scenario("open-external-data", nothing,
               [=](Steps& steps) { open_model(steps, models + "/external/inside.onnx"); }),
      scenario("open-native", nothing,
               [=](Steps& steps) { open_model(steps, penguins + "?engine=native"); }),
      scenario("records-native", open_on_native_engine,
               [=](Steps& steps) { run_growing(steps, world->penguins.get()); }),
      scenario("json-native", open_on_native_engine,
               [=](Steps& steps) { run_json(steps, world->penguins.get()); }),
      scenario("records", open_penguins,
               [=](Steps& steps) { run_record(steps, world->penguins.get()); }),
      scenario("table", open_penguins,
               [=](Steps& steps) { run_table(steps, world->penguins.get()); }),
      scenario(
          "tensors",
          [=] {
            Steps steps;
            world->strings = open_model(steps, models + "/identity_string.onnx");
            world->nonzero = open_model(steps, models + "/nonzero.onnx");
            require(steps);
          },
          [=](Steps& steps) { run_tensors(steps, world->strings.get(), world->nonzero.get()); }),
      scenario("json", open_penguins,
               [=](Steps& steps) { run_json(steps, world->penguins.get()); }),
      scenario("asynchronous-run", open_penguins,
               [=](Steps& steps) { run_started(steps, world->penguins.get(), false); }),
      scenario("serve-model", open_penguins,
               [=](Steps& steps) {
                 const Server server = open_server(steps, address, world->penguins.get(), 2);
                 if (steps.ok()) {
                   const Model client = open_model(steps, address);
                   if (steps.ok()) run_record(steps, client.get());
                 }
                 if (steps.ok()) query(steps, address);
                 if (steps.ok())
                   steps(sidecall_server_drain(server.get(), kTimeout, steps.error()));
               }),
      scenario("serve-function", nothing,
               [=](Steps& steps) {
                 const sidecall_service service = make_service();
                 sidecall_server_options options;
                 sidecall_server_options_init(&options);
                 options.log = ignore_event;
                 options.max_response_bytes = 1 << 16;
                 sidecall_server* made = nullptr;
                 const sidecall_status status =
                     sidecall_server_open_service(address.c_str(), &service, SIDECALL_VERIFY_ERROR,
                                                  &options, &made, steps.error());
                 const Server server = own(steps, status, made, sidecall_server_close);
                 if (steps.ok()) run_doubling(steps, address, 3);
                 if (steps.ok()) run_doubling(steps, address, 20000);  // a large answer
               }),
      scenario("connect", start_peer,
               [=](Steps& steps) {
                 const Model model = open_model(steps, peer_address);
                 if (steps.ok()) run_record(steps, model.get());
               }),
      scenario("remote-records", open_remote,
               [=](Steps& steps) { run_record(steps, world->penguins.get()); }),
      scenario("remote-json", open_remote,
               [=](Steps& steps) { run_json(steps, world->penguins.get()); }),
      scenario("remote-asynchronous-run", open_remote,
               [=](Steps& steps) { run_started(steps, world->penguins.get(), true); }),
      slow(scenario("reconnect", nothing,
                    [=](Steps& steps) {
                      const auto serve = [&] {
                        auto peer = std::make_unique<Peer>(program, models, peer_address);
                        return peer;
                      };
                      auto peer = serve();
                      const Model model = open_model(steps, peer_address);
                      const Call call =
                          steps.ok() ? open_call(steps, model.get(), 1) : Call(nullptr, nullptr);
                      if (!steps.ok() || !set_penguin(steps, call.get(), model.get()) ||
                          !steps(sidecall_call_run(call.get(), kTimeout, steps.error())))
                        return;
                      peer.reset();
                      peer = serve();
                      if (steps(sidecall_call_run(call.get(), kTimeout, steps.error())))
                        expect_adelie(steps, call.get());
                    })),
      slow(scenario("exec", nothing,
                    [=](Steps& steps) {
                      const Model model =
                          open_model(steps, "exec:" + program + " --child " + models);
                      if (steps.ok()) run_record(steps, model.get());
                    })),
      slow(scenario("command-info", nothing,
                    [=](Steps& steps) {
                      run_command(steps, folder, {command, "info", penguins}, "island");
                    })),
      slow(scenario("command-predict", nothing,
                    [=](Steps& steps) {
                      run_command(steps, folder,
                                  {command, "predict", penguins, folder + "/rows.csv"}, "Adelie");
                    })),
      slow(scenario("supervisor", open_penguins,
                    [=](Steps& steps) { run_supervised(steps, address, world->penguins.get()); })),
  };
}

int serve_peer(const std::string& models, const std::string& address) {
  Steps steps;
  const Model model = open_model(steps, models + "/penguins.onnx");
  if (!steps.ok()) return 1;
  const bool is_child = address.empty();
  sidecall_server* made = nullptr;
  const sidecall_status status = sidecall_server_open(is_child ? nullptr : address.c_str(),
                                                      model.get(), nullptr, &made, steps.error());
  const Server server = own(steps, status, made, sidecall_server_close);
  if (!steps.ok()) return 1;
  if (is_child) {
    pollfd end{sidecall_server_fd(made), POLLIN, 0};
    poll(&end, 1, -1);
  } else {
    char byte = '.';
    if (write(1, &byte, 1) != 1) return 1;
    while (read(0, &byte, 1) > 0) {
    }
  }
  return 0;
}

}  // namespace anomalies
