// Runs each command with an observer that records its option definitions; see describe.hpp.
#include "describe.hpp"

#include <algorithm>
#include <cstring>
#include <sstream>

#include "terminal/arguments.hpp"

namespace sidecall::cli {
namespace {

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::vector<std::string> choices_of(CLI::Option& option) {
  for (int i = 0;; ++i) {
    const CLI::Validator* validator = nullptr;
    try {
      validator = option.get_validator(i);
    } catch (const CLI::OptionNotFound&) {
      return {};
    }
    const std::string& name = validator->get_name();
    if (name.compare(0, std::strlen(kChoices), kChoices) == 0)
      return words_of(name.substr(std::strlen(kChoices)));
  }
}

OptionHelp describe(CLI::Option& option) {
  OptionHelp help;
  for (const auto& name : option.get_snames()) help.names.push_back("-" + name);
  for (const auto& name : option.get_lnames()) help.names.push_back("--" + name);
  const bool is_positional = help.names.empty();
  if (is_positional) help.names.push_back(option.get_name());
  const bool takes_value = option.get_items_expected_max() > 0;
  const std::string text =
      words_of(option.get_option_text()).empty() ? "VALUE" : option.get_option_text();
  help.value = is_positional ? option.get_name() : takes_value ? text : "";
  help.description = option.get_description();
  help.choices = choices_of(option);
  help.is_repeated = option.get_expected_max() > 1 ||
                     option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
  help.is_required = option.get_required();
  static const std::vector<std::string> files = {"MODEL", "FILE", "OLD", "NEW", "PATH"};
  help.is_file = std::find(files.begin(), files.end(), help.value) != files.end();
  return help;
}

}  // namespace

bool CommandHelp::takes_files() const {
  const bool is_handed_over = arguments.empty() && !options_of_python.empty();
  return is_handed_over || std::any_of(arguments.begin(), arguments.end(),
                                       [](const OptionHelp& argument) { return argument.is_file; });
}

std::string CommandHelp::synopsis() const {
  std::string text = std::string("sidecall ") + command->name;
  if (!options.empty() || !options_of_python.empty()) text += " [options]";
  if (arguments.empty() && !options_of_python.empty())
    text += std::string(" ") + command->arguments_of_python;
  for (const auto& argument : arguments) {
    const std::string name = argument.value + (argument.is_repeated ? "..." : "");
    text += argument.is_required ? " " + name : " [" + name + "]";
  }
  return text;
}

std::vector<CommandHelp> describe_commands() {
  std::vector<CommandHelp> commands_help;
  for (const auto& command : commands()) {
    CommandHelp help;
    help.command = &command;
    help.options_of_python = words_of(command.options_of_python);
    // Commands that run entirely in Python have no definitions here.
    const bool is_native =
        command.run != run_export && command.run != run_check && command.run != run_compare;
    if (is_native) {
      describe_instead([&](Arguments& arguments) {
        help.notes = arguments.notes();
        for (CLI::Option* option : arguments.app.get_options())
          (option->get_positional() ? help.arguments : help.options).push_back(describe(*option));
      });
      command.run(command, {});
      describe_instead(nullptr);
    }
    commands_help.push_back(std::move(help));
  }
  return commands_help;
}

}  // namespace sidecall::cli
