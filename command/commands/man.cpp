// sidecall man: writes the manual page in roff, generated from the same definitions as --help.
#include <sidecall/sidecall.h>

#include "describe.hpp"
#include "terminal/arguments.hpp"
#include "terminal/output.hpp"

namespace sidecall::cli {
namespace {

// Escapes the characters of a text that have a special meaning in roff.
std::string roff(const std::string& text) {
  std::string result;
  for (const char c : text) {
    const bool begins_line = result.empty() || result.back() == '\n';
    if (begins_line && (c == '.' || c == '\'')) result += "\\&";
    if (c == '\\') result += "\\e";
    else if (c == '-') result += "\\-";
    else result += c;
  }
  return result;
}

std::string tagged(const std::string& tag, const std::string& text) {
  return ".TP\n" + tag + "\n" + roff(text) + "\n";
}

std::string option_tag(const OptionHelp& option) {
  std::string tag;
  for (const auto& name : option.names)
    tag += (tag.empty() ? "" : ", ") + ("\\fB" + roff(name) + "\\fR");
  if (!option.value.empty()) tag += " \\fI" + roff(option.value) + "\\fR";
  return tag;
}

std::string example(const std::string& command) { return ".PP\n.EX\n" + roff(command) + "\n.EE\n"; }

std::string section_of(const CommandHelp& help) {
  std::string text = ".SS " + roff(help.synopsis()) + "\n" + roff(help.command->summary) + "\n";
  for (const auto& argument : help.arguments)
    text += tagged("\\fI" + roff(argument.value) + "\\fR", argument.description);
  for (const auto& option : help.options) text += tagged(option_tag(option), option.description);
  if (!help.options_of_python.empty()) {
    std::string names;
    for (const auto& name : help.options_of_python) names += (names.empty() ? "" : ", ") + name;
    text +=
        ".PP\n" + roff("Options of the Python package, described by its --help: " + names) + "\n";
  }
  if (!help.notes.empty()) text += ".PP\n" + roff(help.notes) + "\n";
  return text + example(help.command->example);
}

std::string page() {
  std::string text = std::string(".TH SIDECALL 1 \"\" \"sidecall ") + sidecall_version() +
                     "\" \"User Commands\"\n";
  text += ".SH NAME\nsidecall \\- call machine\\-learning models that were trained in Python\n";
  text +=
      ".SH SYNOPSIS\n.B sidecall\n\\fICOMMAND\\fR [options]\n.br\n.B sidecall\n\\fICOMMAND\\fR "
      "\\fB\\-\\-help\\fR\n.br\n.B sidecall "
      "\\-\\-version\n";
  text += ".SH DESCRIPTION\n";
  text += roff(
      "Calls models that were exported from Python: in this process through ONNX Runtime, or over "
      "shared memory in a process\n"
      "that serves them. Python is started only for export, check, compare, and serve of Python "
      "objects.\n");
  text +=
      ".PP\n" + roff(
                    "A MODEL is a file (fraud.onnx, file:///m/fraud.onnx), the address of a server "
                    "on this host (shm:NAME,\n"
                    "shm:/run/app/fraud.sock), or a program that is started as the server "
                    "(exec:COMMAND, with --allow-exec).\n"
                    "Without FILE, or if FILE is -, rows are read from standard input.\n");
  text += ".SH COMMANDS\n";
  for (const auto& help : describe_commands()) text += section_of(help);
  text +=
      ".SH EXIT STATUS\n" + roff(kExitCodes) + "\n.PP\n" +
      roff(
          "If the reader of the output closes the pipe (SIGPIPE), on Ctrl-C (SIGINT) and on "
          "SIGTERM, the command ends by that signal, with these exceptions. On Ctrl-C and on "
          "SIGTERM, predict first writes the answers that it has, and serve finishes the running "
          "calls and ends with 0. On Ctrl-C, export, check and compare end with 130.\n");
  text += ".SH ENVIRONMENT\n";
  for (const auto& setting : settings())
    text += tagged(std::string("\\fB") + setting.name + "\\fR", setting.meaning);
  return text;
}

}  // namespace

int run_man(const Command& self, std::vector<std::string> words) {
  Arguments arguments(self, "Written in roff, from the same texts as --help.");
  if (!arguments.parse(std::move(words))) return kOk;
  out().write(page());
  return kOk;
}

}  // namespace sidecall::cli
