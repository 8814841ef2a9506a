// sidecall doctor: shows what the command finds on this machine, for bug reports and for the setup.
#include <sidecall/sidecall.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>

#include "doctor_machine.hpp"
#include "doctor_network.hpp"
#include "formats/json.hpp"
#include "model/model.hpp"
#include "python.hpp"
#include "terminal/output.hpp"
#include "terminal/platform.hpp"

namespace sidecall::cli {
namespace {

// What was found out about one model.
struct ModelFindings {
  std::string uri;
  std::string native_problem;      // why the native engine cannot run it; "" if it can
  std::string engine, reason;      // what "auto" takes, and why
  std::string problem;             // why it cannot be opened; "" if it can
  std::vector<NetworkStep> steps;  // of a model on another host, which has none of the others
};

struct Findings {
  JsonDocument engine{rapidjson::kObjectType};
  ExitCode engine_code = kOk;
  std::string engine_problem;
  NetworkFindings network;
  std::vector<PythonCandidate> pythons;
  JsonDocument machine{rapidjson::kObjectType};
  std::optional<ModelFindings> model;

  const PythonCandidate* python() const {
    return pythons.empty() || pythons.back().package.empty() ? nullptr : &pythons.back();
  }
};

Findings look(const ModelOptions& options) {
  Findings findings;
  const sidecall_model_options engine_options = to_options(options);
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_text* raw = nullptr;
  findings.engine_code = exit_code_of(sidecall_engine_describe(&engine_options, &raw, &err));
  const Text text(raw);
  if (text) findings.engine = parse_json({text->data, text->length});
  else findings.engine_problem = err.message;
  findings.network = look_at_network();
  findings.pythons = find_python();
  findings.machine = look_at_machine();
  return findings;
}

// Removes a variable from the environment until the end of its scope.
class Unset {
 public:
  explicit Unset(const char* name) : name_(name) {
    if (const char* value = std::getenv(name)) value_ = value;
    unsetenv(name);
  }
  ~Unset() {
    if (value_) setenv(name_, value_->c_str(), 1);
  }
  Unset(const Unset&) = delete;
  Unset& operator=(const Unset&) = delete;

 private:
  const char* const name_;
  std::optional<std::string> value_;
};

// Opens the model with the native engine and with the one that "auto" takes. Golden rows do not
// run, because a model that fails verification has an engine too.
ModelFindings look_at_model(const std::string& uri, ModelOptions options) {
  ModelFindings findings;
  findings.uri = uri;
  options.verify = "off";
  const Unset verify("SIDECALL_VERIFY");  // it would override "off"
  const auto open = [&](const char* engine, Model& model) -> std::string {
    options.engine = engine;
    sidecall_error err = SIDECALL_ERROR_INIT;
    return try_open_model(uri, options, model, err) == SIDECALL_OK ? "" : err.message;
  };
  Model native, automatic;
  findings.problem = open("auto", automatic);
  {
    const Unset engine("SIDECALL_ENGINE");  // it would override "native"
    findings.native_problem = open("native", native);
  }
  // A query of the address overrides "native" too, and a server chooses its own engine.
  if (native && std::string_view(sidecall_model_engine(native.get())).substr(0, 7) != "native ")
    findings.native_problem = "not tried, because the address of the model says what runs it";
  if (!findings.problem.empty()) return findings;
  findings.engine = sidecall_model_engine(automatic.get());
  findings.reason = sidecall_model_engine_reason(automatic.get());
  return findings;
}

std::string mebibytes(const Json& bytes) {
  return bytes.IsUint64() ? std::to_string(bytes.GetUint64() >> 20) + " MiB" : "no limit";
}

// Formats the cgroup limits. For the CPU, "max 100000" is no limit, and "150000 100000" is 1.5
// CPUs.
std::string cgroup_text(const Json& limits) {
  std::string text;
  const std::string cpu = text_at(limits, "cgroup_cpu_max"),
                    memory = text_at(limits, "cgroup_memory_max");
  const double quota = std::atof(cpu.c_str()),
               period = std::atof(cpu.substr(std::min(cpu.find(' '), cpu.size())).c_str());
  if (quota > 0 && period > 0)
    text += ", limited to " + short_number(quota / period) + " by the cgroup";
  if (std::atof(memory.c_str()) > 0)
    text += ", memory limited to " + std::to_string(std::atoll(memory.c_str()) >> 20) +
            " MiB by the cgroup";
  return text;
}

void add_machine(Table& table, const Json& machine) {
  const Json& node = at(machine, "node");
  if (node.IsObject()) {
    table.add({"node", text_at(node, "path") + " " + text_at(node, "version")});
    const std::string package = text_at(node, "package");
    table.add(
        {"", package.empty()
                 ? "package sidecall not found in this folder or its parents (npm install sidecall)"
                 : "package sidecall " + text_at(node, "package_version") + " in " + package});
  } else {
    table.add({"node", "not found; only the Node.js package needs it"});
  }
  const Json& sockets = at(machine, "sockets");
  const std::string problem = text_at(sockets, "problem");
  table.add({"sockets",
             text_at(sockets, "folder") + (!problem.empty()             ? ": " + problem
                                           : true_at(sockets, "exists") ? ""
                                                                        : " (not created yet)")});
  if (const std::string names = list_of(at(sockets, "addresses"), 6); !names.empty())
    table.add({"", names});
  const Json& limits = at(machine, "limits");
  table.add({"limits", text_at(limits, "cpus") + " CPUs" + cgroup_text(limits)});
  table.add({"", (at(limits, "open_files").IsNull() ? "unlimited" : text_at(limits, "open_files")) +
                     " open files, address space: " + mebibytes(at(limits, "address_space"))});
  table.add({"", std::string("shared memory: ") +
                     (true_at(limits, "shared_memory")
                          ? "yes"
                          : "no: sealed memory files (memfd) are not allowed") +
                     "; kernel " + text_at(limits, "kernel")});
}

std::string page(const Findings& findings) {
  Table table("ll");
  table.add({"sidecall",
             std::string(sidecall_version()) + ", ABI " + std::to_string(sidecall_abi_version())});
  table.add({"command", executable_folder()});
  if (findings.engine_problem.empty()) {
    table.add({"engine", text_at(findings.engine, "engine") + " " +
                             text_at(findings.engine, "version") + ", API " +
                             text_at(findings.engine, "api") + " (" +
                             text_at(findings.engine, "oldest") + " or newer is needed)"});
    table.add({"", text_at(findings.engine, "path")});
    table.add({"", "found: " + text_at(findings.engine, "found_by") + "; telemetry " +
                       text_at(findings.engine, "telemetry")});
  } else {
    table.add({"engine", "not found: " + findings.engine_problem});
  }
  add_network(table, findings.network);
  if (const PythonCandidate* python = findings.python()) {
    table.add({"python", python->path + " (" + python->found_by + ")"});
    table.add({"", "package sidecall " + (python->version.empty() ? "" : python->version + " ") +
                       "in " + python->package});
  } else {
    table.add({"python",
               "package sidecall not found; export, check, compare, and serve of Python objects "
               "need it (pip install sidecall)"});
    for (const auto& tried : findings.pythons)
      table.add({"", "tried " + tried.path + " (" + tried.found_by + ")"});
  }
  if (findings.model) {
    const ModelFindings& model = *findings.model;
    table.add({"model", model.uri});
    add_steps(table, model.steps);
    if (model.steps.empty()) {
      table.add({"", "native engine: " + (model.native_problem.empty() ? "has all operators"
                                                                       : model.native_problem)});
      table.add(
          {"", "opens with " + (!model.problem.empty() ? "no engine: " + model.problem
                                : model.reason.empty() ? model.engine
                                                       : model.engine + ": " + model.reason)});
    }
  }
  add_machine(table, findings.machine);
  for (const auto& setting : settings()) {
    const std::string name = setting.name;
    const char* value = std::getenv(setting.name);
    table.add({&setting == &settings().front() ? "settings" : "",
               name + (value ? std::string("=") + value : " is not set")});
  }
  return table.text();
}

std::string as_json(const Findings& findings) {
  return to_json([&](JsonWriter& json) {
    json.StartObject();
    write_member(json, "version", sidecall_version());
    json.Key("abi");
    json.Uint(sidecall_abi_version());
    write_member(json, "command", executable_folder());
    json.Key("engine");
    if (findings.engine_problem.empty()) findings.engine.Accept(json);
    else json.Null();
    json.Key("problem");
    if (findings.engine_problem.empty()) json.Null();
    else write_text(json, findings.engine_problem);
    json.Key("network");
    if (findings.network.problem.empty()) findings.network.library.Accept(json);
    else json.Null();
    json.Key("network_problem");
    if (findings.network.problem.empty()) json.Null();
    else write_text(json, findings.network.problem);
    json.Key("python");
    if (const PythonCandidate* python = findings.python()) {
      json.StartObject();
      write_member(json, "path", python->path);
      write_member(json, "found_by", python->found_by);
      write_member(json, "package", python->package);
      json.Key("version");
      if (python->version.empty()) json.Null();
      else write_text(json, python->version);
      json.EndObject();
    } else {
      json.Null();
    }
    json.Key("model");
    if (findings.model) {
      const auto text_or_null = [&](const char* key, const std::string& value) {
        json.Key(key);
        if (value.empty()) json.Null();
        else write_text(json, value);
      };
      json.StartObject();
      write_member(json, "uri", findings.model->uri);
      text_or_null("native_problem", findings.model->native_problem);
      text_or_null("engine", findings.model->engine);
      text_or_null("engine_reason", findings.model->reason);
      text_or_null("problem", findings.model->problem);
      json.Key("steps");
      if (findings.model->steps.empty()) json.Null();
      else write_steps(json, findings.model->steps);
      json.EndObject();
    } else {
      json.Null();
    }
    for (const auto& member : findings.machine.GetObject()) {
      write_key(json, text_of(member.name));
      member.value.Accept(json);
    }
    json.Key("settings");
    json.StartObject();
    for (const auto& setting : settings()) {
      const char* value = std::getenv(setting.name);
      json.Key(setting.name);
      if (value) write_text(json, value);
      else json.Null();
    }
    json.EndObject();
    json.EndObject();
  });
}

}  // namespace

int run_doctor(const Command& self, std::vector<std::string> words) {
  Arguments arguments(
      self,
      "Exit code 4 if no usable ONNX Runtime was found. For the address of a model on\n"
      "another host, the exit code is that of the first step that failed. Python is\n"
      "needed only for export, check, compare, and serve of Python objects.");
  ModelOptions options;
  std::string uri;
  bool json = false;
  arguments.app
      .add_option("MODEL", uri,
                  "a model file: also shows which engine opens it, why, and which node the native "
                  "engine lacks; an address such as https://HOST/MODEL: tries each step on the way "
                  "to its answers")
      ->option_text(" ");
  arguments.app.add_flag("--json", json, "write the findings as JSON");
  add_onnxruntime_option(arguments.app, options);
  if (!arguments.parse(std::move(words))) return kOk;

  Findings findings = look(options);
  if (is_network_uri(uri)) {
    findings.model.emplace().uri = uri;
    findings.model->steps = try_network_model(uri);
  } else if (!uri.empty()) {
    findings.model = look_at_model(uri, options);
  }
  out().write(json ? as_json(findings) : page(findings));
  return is_network_uri(uri) ? exit_code_of_steps(findings.model->steps) : findings.engine_code;
}

}  // namespace sidecall::cli
