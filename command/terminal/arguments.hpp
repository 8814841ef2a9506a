// The command line of one command: CLI11 with our help texts, and the options that several commands
// share; used by every native command.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "command.hpp"

namespace sidecall::cli {

// `notes` and the example of the command are printed at the end of the help text. Notes are wrapped
// by hand at 80 columns.
class Arguments {
 public:
  Arguments(const Command& command, const std::string& notes);

  // Returns false if --help was given (after printing the help), or if describe_instead() has set
  // an observer. Throws a Failure with kUsage for a wrong command line.
  bool parse(std::vector<std::string> arguments);

  const Command& command() const { return command_; }
  const std::string& notes() const { return notes_; }

  CLI::App app;

 private:
  const Command& command_;
  const std::string notes_;
};

// From now on commands pass their definitions to `observer` instead of parsing. Shell completions
// and the manual page are made from these definitions. An empty observer ends this mode.
void describe_instead(std::function<void(Arguments&)> observer);

// Validators whose error texts say what was expected. The validator that one_of() returns is named
// kChoices followed by the choices; describe.cpp reads the choices from this name.
constexpr const char* kChoices = "one of ";
CLI::Validator one_of(std::vector<std::string> choices);
enum class ZeroSeconds { kRefused, kAllowed };
CLI::Validator number_of_seconds(ZeroSeconds zero = ZeroSeconds::kRefused);
CLI::Validator whole_number(int64_t least, int64_t most);
CLI::Validator number_between(double least, double most);

// The description of the argument MODEL.
constexpr const char* kModelHelp =
    "a model file, shm:NAME, shm:/path, exec:COMMAND, http://HOST/NAME or grpc://HOST/NAME";

// How a model is opened. The defaults are those of the library.
struct ModelOptions {
  std::string verify = "error";
  std::string extra = "error";
  std::string absent = "error";
  double timeout_s = -1;
  double wait_s = 0;
  bool allow_exec = false;
  std::string engine = "auto";
  std::string onnxruntime;
};

void add_onnxruntime_option(CLI::App& app, ModelOptions& options);

// Adds the options for a model that this process runs.
void add_engine_options(CLI::App& app, ModelOptions& options);

// Adds the options for a model that may run in another process, and those of the engine.
void add_route_options(CLI::App& app, ModelOptions& options);

}  // namespace sidecall::cli
