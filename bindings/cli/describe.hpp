// What the command line of each command looks like, read off its CLI11 definitions: for completions and the manual page.
#pragma once

#include <string>
#include <vector>

#include "command.hpp"

namespace sidecall::cli {

struct OptionHelp {
  std::vector<std::string> names;  // "--from"; of a positional argument its one name, "MODEL"
  std::string value;               // "FORMAT", or "" where none is taken
  std::string description;
  std::vector<std::string> choices;  // the values that there are, where they are few
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
