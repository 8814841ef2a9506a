// A child process with pipes to its stdin and from its stdout. Used by process.cpp and stream.cpp.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace bench {

// {"command": [...]} of `at`.
class Child {
 public:
  explicit Child(const std::vector<std::string>& command);  // throws std::runtime_error
  ~Child();  // ends it, when it has not ended by itself
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  void write(const std::string& text);
  void close_input();
  // Appends what comes until a newline, which is left out, or the end. False at the end. Throws when nothing comes for too long.
  bool read_line(std::string& line);
  // Waits for it and throws where its status is not 0.
  void wait();

 private:
  pid_t pid_ = -1;
  int input_ = -1;
  int output_ = -1;
  std::string rest_;  // behind the last line
};

}  // namespace bench
