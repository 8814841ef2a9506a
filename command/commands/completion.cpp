// sidecall completion: writes the completion script of a shell, generated from the option
// definitions of all commands.
#include <algorithm>

#include "describe.hpp"
#include "terminal/arguments.hpp"
#include "terminal/output.hpp"

namespace sidecall::cli {
namespace {

std::string joined(const std::vector<std::string>& words, const char* between = " ") {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

// Returns `text` in single quotes for bash and zsh, or for fish, which also interprets backslashes
// in single quotes.
std::string quoted(const std::string& text, bool is_fish = false) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'') result += is_fish ? "\\'" : "'\\''";
    else if (c == '\\' && is_fish) result += "\\\\";
    else result += c;
  }
  return result + "'";
}

std::vector<std::string> names_of(const CommandHelp& help) {
  std::vector<std::string> names;
  for (const auto& option : help.options)
    names.insert(names.end(), option.names.begin(), option.names.end());
  for (const auto& name : help.options_of_python) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

// ---- bash ----

constexpr const char* kBashBegin =
    R"(# Completion of sidecall for bash, written by: sidecall completion bash
_sidecall_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2"); }
_sidecall_files() {
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -f -- "$1")
}
_sidecall() {
  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}"
  COMPREPLY=()
  # bash passes --from=csv as three words
  if [ "$cur" = = ]; then
    cur=
  elif [ "$prev" = = ] && [ "$COMP_CWORD" -gt 2 ]; then
    prev="${COMP_WORDS[COMP_CWORD-2]}"
  fi
)";

std::string bash() {
  const auto all = describe_commands();
  std::vector<std::string> names;
  names.reserve(all.size());
  for (const auto& help : all) names.emplace_back(help.command->name);
  std::string text = kBashBegin;
  text += "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    _sidecall_words '" + joined(names) +
          " --help --version' \"$cur\"\n    return\n  fi\n";
  std::string values, options;
  for (const auto& help : all) {
    const std::string name = help.command->name;
    for (const auto& option : help.options) {
      if (option.value.empty()) continue;
      std::string patterns;
      for (const auto& word : option.names)
        patterns += (patterns.empty() ? "" : " | ") + quoted(name + " " + word);
      const std::string action =
          !option.choices.empty()
              ? "_sidecall_words " + quoted(joined(option.choices)) + " \"$cur\""
          : option.is_file ? "_sidecall_files \"$cur\""
                           : "";
      values += "    " + patterns + ")\n" + (action.empty() ? "" : "      " + action + "\n") +
                "      return\n      ;;\n";
    }
    std::vector<std::string> choices;
    for (const auto& argument : help.arguments)
      choices.insert(choices.end(), argument.choices.begin(), argument.choices.end());
    const std::string action = help.takes_files()
                                   ? "_sidecall_files \"$cur\""
                                   : "_sidecall_words " + quoted(joined(choices)) + " \"$cur\"";
    options += "    " + name + ")\n      case $cur in\n        -*) _sidecall_words " +
               quoted(joined(names_of(help))) + " \"$cur\" ;;\n        *) " + action +
               " ;;\n      esac\n      ;;\n";
  }
  return text + "  case \"${COMP_WORDS[1]} $prev\" in\n" + values +
         "  esac\n  case ${COMP_WORDS[1]} in\n" + options +
         "  esac\n}\ncomplete -F _sidecall sidecall\n";
}

// ---- zsh ----

// Escapes a description for a specification of the zsh function _arguments.
std::string zsh_escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') result += '\\';
    result += c;
  }
  return result;
}

std::string zsh_value(const OptionHelp& option) {
  const std::string action = !option.choices.empty() ? "(" + joined(option.choices) + ")"
                             : option.is_file        ? "_files"
                                                     : " ";
  return ":" + zsh_escaped(option.value) + ":" + action;
}

std::string zsh_arguments(const CommandHelp& help) {
  std::string text;
  const auto add = [&](const std::string& specification) {
    text += " \\\n        " + quoted(specification);
  };
  for (const auto& option : help.options) {
    for (const auto& name : option.names) {
      // An equals sign lets both --from csv and --from=csv be completed.
      const bool is_long = name.compare(0, 2, "--") == 0;
      add((option.is_repeated ? "*" : "") + name + (option.value.empty() || !is_long ? "" : "=") +
          "[" + zsh_escaped(option.description) + "]" +
          (option.value.empty() ? "" : zsh_value(option)));
    }
  }
  for (const auto& name : names_of(help)) {
    const bool is_pythons =
        std::none_of(help.options.begin(), help.options.end(), [&](const OptionHelp& option) {
          return std::find(option.names.begin(), option.names.end(), name) != option.names.end();
        });
    if (is_pythons) add(name);
  }
  for (const auto& argument : help.arguments)
    add((argument.is_repeated ? "*" : "") + zsh_value(argument));
  if (help.arguments.empty() && help.takes_files()) add("*:file:_files");
  return text;
}

std::string zsh() {
  std::string text =
      "#compdef sidecall\n# Completion of sidecall for zsh, written by: sidecall completion "
      "zsh\n_sidecall() {\n"
      "  local context state state_descr line\n  typeset -A opt_args\n  local -a names\n  "
      "names=(\n";
  std::string cases;
  for (const auto& help : describe_commands()) {
    const std::string name = help.command->name;
    text += "    " + quoted(name + ":" + zsh_escaped(help.command->summary)) + "\n";
    cases += "    " + name + ")\n      _arguments" + zsh_arguments(help) + "\n      ;;\n";
  }
  return text +
         "  )\n  _arguments -C '--help[show the commands]' '--version[show the version]' "
         "'1:command:->command' '*::argument:->argument'\n"
         "  case $state in\n    command) _describe command names; return ;;\n    argument) ;;\n    "
         "*) return ;;\n  esac\n"
         "  case $words[1] in\n" +
         cases + "  esac\n}\n" +
         "# In a file on fpath, this is the body of the function. If it is sourced, it registers\n"
         "# the function.\n"
         "if [ \"$funcstack[1]\" = _sidecall ]; then _sidecall \"$@\"; else compdef _sidecall "
         "sidecall; fi\n";
}

// ---- fish ----

std::string fish() {
  std::string text =
      "# Completion of sidecall for fish, written by: sidecall completion fish\ncomplete -c "
      "sidecall -f\n";
  for (const auto& help : describe_commands()) {
    const std::string name = help.command->name;
    text += "complete -c sidecall -n __fish_use_subcommand -a " + name + " -d " +
            quoted(help.command->summary, true) + "\n";
    const std::string rule = "complete -c sidecall -n '__fish_seen_subcommand_from " + name + "'";
    if (help.takes_files()) text += rule + " -F\n";
    for (const auto& option : help.options) {
      text += rule;
      for (const auto& word : option.names)
        text += word[1] == '-' ? " -l " + word.substr(2) : " -s " + word.substr(1);
      if (!option.choices.empty()) text += " -x -a " + quoted(joined(option.choices), true);
      else if (!option.value.empty()) text += option.is_file ? " -r -F" : " -x";
      text += " -d " + quoted(option.description, true) + "\n";
    }
    for (const auto& word : help.options_of_python) text += rule + " -l " + word.substr(2) + "\n";
    for (const auto& argument : help.arguments) {
      if (!argument.choices.empty())
        text += rule + " -a " + quoted(joined(argument.choices), true) + "\n";
    }
  }
  return text;
}

}  // namespace

int run_completion(const Command& self, std::vector<std::string> words) {
  Arguments arguments(self,
                      "bash: add the example below to ~/.bashrc.\n"
                      "zsh:  sidecall completion zsh > ~/.zfunc/_sidecall, a folder of $fpath\n"
                      "fish: sidecall completion fish > ~/.config/fish/completions/sidecall.fish\n"
                      "An installation by CMake contains all three.");
  std::string shell;
  arguments.app.add_option("SHELL", shell, "bash, zsh or fish")
      ->required()
      ->check(one_of({"bash", "zsh", "fish"}))
      ->option_text(" ");
  if (!arguments.parse(std::move(words))) return kOk;
  out().write(shell == "bash" ? bash() : shell == "zsh" ? zsh() : fish());
  return kOk;
}

}  // namespace sidecall::cli
