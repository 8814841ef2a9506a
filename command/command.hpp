// Declares the commands of `sidecall`: each is one entry of the table in commands.cpp and is
// defined in its own file. Used by all files of the command.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace sidecall::cli {

// The exit codes of every command. kUsage: the command line is wrong, or the command asks a
// question (verify, diff, compare, check) and the answer is no.
enum ExitCode : int { kOk = 0, kUsage = 1, kBadInput = 2, kBadModel = 3, kEnvironment = 4 };

// The text for --help and the manual page, two lines.
constexpr const char* kExitCodes =
    "0 success; 1 wrong usage, or a check that failed; 2 bad input;\n3 bad model; 4 a failure of "
    "the engine or the machine";

struct Command {
  const char* name;
  const char* summary;
  const char* example;
  int (*run)(const Command& self, std::vector<std::string> arguments);  // returns an ExitCode
  // The options of a command that runs in Python. A test compares them with the Python package.
  const char* options_of_python = "";
  const char* arguments_of_python = "PIPELINE";
};

const std::vector<Command>& commands();

// An environment variable that the command or the library reads.
struct Setting {
  const char* name;
  const char* meaning;
};
const std::vector<Setting>& settings();

int run_bench(const Command& self, std::vector<std::string> arguments);
int run_check(const Command& self, std::vector<std::string> arguments);
int run_compare(const Command& self, std::vector<std::string> arguments);
int run_completion(const Command& self, std::vector<std::string> arguments);
int run_diff(const Command& self, std::vector<std::string> arguments);
int run_doctor(const Command& self, std::vector<std::string> arguments);
int run_export(const Command& self, std::vector<std::string> arguments);
int run_info(const Command& self, std::vector<std::string> arguments);
int run_lambda(const Command& self, std::vector<std::string> arguments);
int run_man(const Command& self, std::vector<std::string> arguments);
int run_predict(const Command& self, std::vector<std::string> arguments);
int run_run(const Command& self, std::vector<std::string> arguments);
int run_serve(const Command& self, std::vector<std::string> arguments);
int run_status(const Command& self, std::vector<std::string> arguments);
int run_types(const Command& self, std::vector<std::string> arguments);
int run_verify(const Command& self, std::vector<std::string> arguments);

// An error that ends the command with one line on stderr. Thrown anywhere, caught in main.
struct Failure : std::runtime_error {
  Failure(ExitCode code, const std::string& message)
      : std::runtime_error(message), exit_code(code) {}
  ExitCode exit_code;
};

// A Failure about a row of input. Its message begins with file:line:column, so main prints it
// without the prefix "sidecall: ".
struct InputFailure : Failure {
  explicit InputFailure(const std::string& message) : Failure(kBadInput, message) {}
};

}  // namespace sidecall::cli
