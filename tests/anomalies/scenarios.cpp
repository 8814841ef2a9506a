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
#include "scenarios_network.h"
#include "servers.h"
#include "steps.h"

namespace anomalies {
namespace {

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
  options.log = log_to_nowhere();
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
    Model slow{nullptr, sidecall_model_close};
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
  const auto open_slow_function = [=] {
    world->peer = std::make_unique<Peer>(program, kSlowFunction, peer_address);
    Steps steps;
    world->slow = open_model(steps, peer_address);
    require(steps);
  };
  const auto nothing = [] {};
  const std::string command = program.substr(0, program.rfind('/')) + "/sidecall";
  std::ofstream(folder + "/rows.csv")
      << "bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,island,sex,year\n"
         "39.1,18.7,181,3750,Torgersen,male,2007\n";
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

  std::vector<Scenario> scenarios = {
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
               [=](Steps& steps) { run_queued(steps, world->penguins.get()); }),
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
                 const Server server = open_function(steps, address);
                 if (steps.ok()) run_doubling(steps, address, 3);
                 if (steps.ok()) run_doubling(steps, address, 20000);  // a large answer
               }),
      // The client looks at the server's process while it waits.
      scenario("slow-function", open_slow_function,
               [=](Steps& steps) { run_doubling(steps, world->slow.get(), 1); }),
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
               [=](Steps& steps) { run_queued(steps, world->penguins.get()); }),
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
  for (Scenario& each : make_network_scenarios(models, folder, program))
    scenarios.push_back(std::move(each));
  return scenarios;
}

int serve_peer(const std::string& models, const std::string& address) {
  Steps steps;
  const bool is_function = models == kSlowFunction;
  const Model model =
      is_function ? Model(nullptr, nullptr) : open_model(steps, models + "/penguins.onnx");
  const bool is_child = address.empty();
  const timespec pause{0, 30'000'000};
  const auto open = [&] {
    if (is_function) return open_function(steps, address, &pause);
    sidecall_server* made = nullptr;
    const sidecall_status status = sidecall_server_open(is_child ? nullptr : address.c_str(),
                                                        model.get(), nullptr, &made, steps.error());
    return own(steps, status, made, sidecall_server_close);
  };
  if (!steps.ok()) return 1;
  Server server = open();
  if (steps.ok() && is_child) {
    pollfd end{sidecall_server_fd(server.get()), POLLIN, 0};
    poll(&end, 1, -1);
    return 0;
  }
  // Says when the server listens. Each byte of the input asks for a new server.
  char byte = '.';
  while (steps.ok()) {
    if (write(1, &byte, 1) != 1) return 1;
    if (read(0, &byte, 1) != 1) return 0;
    server.reset();
    server = open();
  }
  return 1;
}

}  // namespace anomalies
