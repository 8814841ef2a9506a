// A child process with pipes to its stdin and from its stdout. Used by process.cpp.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace bench {

// Starts a command: the program and its arguments.
class Child {
 public:
  explicit Child(const std::vector<std::string>& command);  // throws std::runtime_error
  ~Child();  // ends the process if it has not ended by itself
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  void write(const std::string& text);
  void close_input();
  // Appends the child's output up to a newline (which is left out) or up to the end of the output.
  // Returns false at the end. Throws if nothing arrives within kPatienceSeconds.
  bool read_line(std::string& line);
  // Waits for the process to end and throws if its exit status is not 0.
  void wait();

 private:
  pid_t pid_ = -1;
  int input_ = -1;
  int output_ = -1;
  std::string rest_;  // the child's output after the last line
};

}  // namespace bench
