// Describes the command line of each command, taken from its CLI11 definitions; used for shell
// completions and the manual page.
#pragma once

#include <string>
#include <vector>

#include "command.hpp"

namespace sidecall::cli {

struct OptionHelp {
  std::vector<std::string> names;  // "--from"; for a positional argument its one name, "MODEL"
  std::string value;               // "FORMAT", or "" if the option takes no value
  std::string description;
  std::vector<std::string> choices;  // the possible values, if they are a short list
  bool is_repeated = false;
  bool is_required = false;
  bool is_file = false;
};

struct CommandHelp {
  const Command* command = nullptr;
  std::string notes;
  std::vector<OptionHelp> arguments;  // positional
  std::vector<OptionHelp> options;
  std::vector<std::string> options_of_python;

  bool takes_files() const;
  std::string synopsis() const;  // "sidecall predict [options] MODEL [FILE]"
};

std::vector<CommandHelp> describe_commands();

}  // namespace sidecall::cli
