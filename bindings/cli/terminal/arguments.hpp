// The command line of one command: CLI11 with our help texts, and the options that several commands share.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "command.hpp"

namespace sidecall::cli {

// `notes` and the command's example end the help text. Notes are wrapped by hand, at 80 columns.
class Arguments {
 public:
  Arguments(const Command& command, const std::string& notes);

  // False when the help was asked for and printed, and while describe_instead() holds. A mistake on the command line is a Failure with kNo.
  bool parse(std::vector<std::string> arguments);

  const Command& command() const { return command_; }
  const std::string& notes() const { return notes_; }

  CLI::App app;

 private:
  const Command& command_;
  const std::string notes_;
};

// From now on commands do not parse, but show their definitions to `observer`: what completions and the manual page are made from. Empty ends it.
void describe_instead(std::function<void(Arguments&)> observer);

// Checks of values that say what was expected. The name of one_of lists its choices after kChoices, for completions.
constexpr const char* kChoices = "one of ";
CLI::Validator one_of(std::vector<std::string> choices);
CLI::Validator positive_seconds();
CLI::Validator whole_number(int64_t least, int64_t most);
CLI::Validator number_between(double least, double most);

// How a model is opened; the defaults are the library's.
struct ModelOptions {
  std::string verify = "error";
  std::string extra = "error";
  double timeout_s = -1;
  double wait_s = 0;
  bool allow_exec = false;
  std::string onnxruntime;
};

void add_engine_option(CLI::App& app, ModelOptions& options);

// For commands whose model may be that of another process; the engine's option too.
void add_route_options(CLI::App& app, ModelOptions& options);

}  // namespace sidecall::cli
