// The entry point of the `sidecall` command: finds the command in the table, runs it, and converts
// its result to an exit code.
#include <sidecall/sidecall.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <new>

#include "command.hpp"
#include "terminal/output.hpp"
#include "terminal/platform.hpp"

namespace sidecall::cli {
namespace {

std::string help() {
  std::string text = std::string("sidecall ") + sidecall_version() +
                     ": call machine-learning models that were trained in Python\n\nUsage: "
                     "sidecall COMMAND [options]\n\n";
  for (const auto& command : commands()) {
    std::string name = command.name;
    name.resize(12, ' ');
    text += name + command.summary + "\n";
  }
  return text +
         "\nMODEL is a file (fraud.onnx), the address of a server on this host (shm:NAME or\n"
         "shm:/path) or, with --allow-exec, a program to start (exec:COMMAND).\n\n"
         "sidecall COMMAND --help shows the options of a command and an example.\n"
         "sidecall --version shows the version.\n\n"
         "Exit codes: " +
         kExitCodes + "\n";
}

// The words of the command line. A program with the name that AWS Lambda starts is
// `sidecall lambda`.
std::vector<std::string> words_of(int argc, char** argv) {
  std::vector<std::string> words(argv, argv + argc);
  if (words.empty()) return words;
  const std::string program = words[0].substr(words[0].rfind('/') + 1);
  if (program == "bootstrap") words[0] = "lambda";
  else words.erase(words.begin());
  return words;
}

int run(const std::vector<std::string>& words) {
  if (words.empty()) {
    complain("sidecall: expected a command, got none (see sidecall --help)");
    return kUsage;
  }
  if (words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    out().write(help());
    return kOk;
  }
  if (words[0] == "--version") {
    out().write(std::string("sidecall ") + sidecall_version() + "\n");
    return kOk;
  }
  for (const auto& command : commands()) {
    if (words[0] == command.name) return command.run(command, {words.begin() + 1, words.end()});
  }
  throw Failure(kUsage, "unknown command '" + words[0] + "' (see sidecall --help)");
}

// Allocates nothing.
void complain_about_memory() {
  static constexpr std::string_view kText = "sidecall: out of memory\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kText.data(), kText.size());
}

// end_without_memory() is called for an exception that cannot be caught, for example one that a
// noexcept function of CLI11 throws. If it is not std::bad_alloc, g_default_end is called.
std::terminate_handler g_default_end = nullptr;

[[noreturn]] void end_without_memory() {
  try {
    if (const std::exception_ptr error = std::current_exception()) std::rethrow_exception(error);
  } catch (const std::bad_alloc&) {
    complain_about_memory();
    ::_exit(kEnvironment);
  } catch (...) {  // a defect
  }
  g_default_end();
  std::abort();
}

// Catches every exception, prints it and returns an exit code. Also used for the final flush of the
// output buffer.
template <typename Body>
int guarded(Body body) {
  try {
    return body();
  } catch (const InputFailure& failure) {
    complain(failure.what());
    return failure.exit_code;
  } catch (const Failure& failure) {
    complain(std::string("sidecall: ") + failure.what());
    return failure.exit_code;
  } catch (const std::bad_alloc&) {
    complain_about_memory();
  } catch (const std::exception& error) {
    complain(std::string("sidecall: internal error: ") + error.what());
  }
  return kEnvironment;
}

}  // namespace
}  // namespace sidecall::cli

int main(int argc, char** argv) {
  using namespace sidecall::cli;
  g_default_end = std::set_terminate(end_without_memory);
  occupy_standard_streams();
  setenv("ORT_DISABLE_TELEMETRY", "1", 0);  // before any thread or engine exists
  // Some parent processes pass on SIGPIPE as ignored. With the default action, the process ends
  // without a message when the reader of its output has closed the pipe.
  std::signal(SIGPIPE, SIG_DFL);
  // With SIGXFSZ ignored, a write() beyond the file size limit (ulimit -f) fails, and the command
  // handles this like a full disk.
  std::signal(SIGXFSZ, SIG_IGN);
  int exit_code = guarded([&] { return run(words_of(argc, argv)); });
  exit_code = guarded([&] {
    out().close();
    return exit_code;
  });
  _exit(exit_code);  // skips destructors of libraries; those of ONNX Runtime take 4 to 5 ms
}
