// sidecall doctor: what this machine gives the command, for bug reports and for whoever sets it up.
#include <sidecall/sidecall.h>

#include <cstdlib>

#include "json.hpp"
#include "model.hpp"
#include "output.hpp"
#include "platform.hpp"
#include "python.hpp"

namespace sidecall::cli {
namespace {

constexpr const char* kSettings[] = {"SIDECALL_ONNXRUNTIME", "SIDECALL_PYTHON", "SIDECALL_VERIFY", "ORT_DISABLE_TELEMETRY"};

struct Findings {
  JsonDocument engine{rapidjson::kObjectType};
  ExitCode engine_code = kYes;
  std::string engine_problem;
  std::vector<PythonCandidate> pythons;

  const PythonCandidate* python() const { return pythons.empty() || pythons.back().package.empty() ? nullptr : &pythons.back(); }
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
  findings.pythons = find_python();
  return findings;
}

std::string page(const Findings& findings) {
  Table table("ll");
  table.add({"sidecall", std::string(sidecall_version()) + ", ABI " + std::to_string(sidecall_abi_version())});
  table.add({"command", executable_folder()});
  if (findings.engine_problem.empty()) {
    table.add({"engine", text_at(findings.engine, "engine") + " " + text_at(findings.engine, "version") + ", API " +
                             text_at(findings.engine, "api")});
    table.add({"", text_at(findings.engine, "path")});
    table.add({"", "found by: " + text_at(findings.engine, "found_by") + "; telemetry " + text_at(findings.engine, "telemetry")});
  } else {
    table.add({"engine", "NONE: " + findings.engine_problem});
  }
  if (const PythonCandidate* python = findings.python()) {
    table.add({"python", python->path + " (" + python->found_by + ")"});
    table.add({"", "package sidecall " + (python->version.empty() ? "" : python->version + " ") + "in " + python->package});
  } else {
    table.add({"python", "package sidecall not found; export and check need it (pip install sidecall)"});
    for (const auto& tried : findings.pythons) table.add({"", "tried " + tried.path + " (" + tried.found_by + ")"});
  }
  for (const char* name : kSettings) {
    const char* value = std::getenv(name);
    table.add({name == kSettings[0] ? "settings" : "", std::string(name) + (value ? std::string("=") + value : " is not set")});
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
    json.Key("settings");
    json.StartObject();
    for (const char* name : kSettings) {
      const char* value = std::getenv(name);
      json.Key(name);
      if (value) write_text(json, value);
      else json.Null();
    }
    json.EndObject();
    json.EndObject();
  });
}

}  // namespace

int run_doctor(const Command& self, std::vector<std::string> words) {
  Arguments arguments(self,
                      "Exit code 4 when no usable ONNX Runtime was found. Python is needed for\n"
                      "export and check only.");
  ModelOptions options;
  bool json = false;
  arguments.app.add_flag("--json", json, "for programs");
  add_engine_option(arguments.app, options);
  if (!arguments.parse(std::move(words))) return kYes;

  const Findings findings = look(options);
  out().write(json ? as_json(findings) : page(findings));
  return findings.engine_code;
}

}  // namespace sidecall::cli
