// What a command of `sidecall` is: one entry of the table in commands.cpp, defined in a file of its own.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace sidecall::cli {

// The exit codes, in every command. kNo is for the caller's own mistake on the command line and for a question that was
// answered with no (verify, diff, compare, check).
enum ExitCode : int { kYes = 0, kNo = 1, kBadInput = 2, kBadModel = 3, kBadMachine = 4 };

// For --help and the manual page, two lines.
constexpr const char* kExitCodes =
    "0 done, yes; 1 no, or wrong usage; 2 bad input; 3 bad model;\n4 the engine or the machine";

struct Command {
  const char* name;
  const char* summary;
  const char* example;
  int (*run)(const Command& self, std::vector<std::string> arguments);  // answers an ExitCode
  const char* options_of_python =
      "";  // of what is handed over; a test compares them with the package
  const char* arguments_of_python = "PIPELINE";
};

const std::vector<Command>& commands();

// The environment variables that the command and its library read.
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
int run_man(const Command& self, std::vector<std::string> arguments);
int run_predict(const Command& self, std::vector<std::string> arguments);
int run_run(const Command& self, std::vector<std::string> arguments);
int run_serve(const Command& self, std::vector<std::string> arguments);
int run_status(const Command& self, std::vector<std::string> arguments);
int run_types(const Command& self, std::vector<std::string> arguments);
int run_verify(const Command& self, std::vector<std::string> arguments);

// Ends the command with one line on stderr; thrown anywhere, caught in main.
struct Failure : std::runtime_error {
  Failure(ExitCode code, const std::string& message)
      : std::runtime_error(message), exit_code(code) {}
  ExitCode exit_code;
};

// One whose message begins with file:line:column, as those of rows do: the line has nothing before it.
struct InputFailure : Failure {
  explicit InputFailure(const std::string& message) : Failure(kBadInput, message) {}
};

}  // namespace sidecall::cli
