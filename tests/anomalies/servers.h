// The servers of the scenarios: in this process, and in another one.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <string>

#include "steps.h"

namespace anomalies {

// Lines for /dev/null.
const sidecall_log_lines* log_to_nowhere();

Server open_server(Steps& steps, const std::string& address, const sidecall_model* model,
                   int32_t num_threads = 1);
void query(Steps& steps, const std::string& address);

// A function with one input that doubles each number, a server of it, and a call of it. With a
// pause each run takes at least that long.
sidecall_service make_service();
Server open_function(Steps& steps, const std::string& address, const timespec* pause = nullptr);
void run_doubling(Steps& steps, const sidecall_model* model, int64_t rows);
void run_doubling(Steps& steps, const std::string& address, int64_t rows);

// The server of a scenario in which only the client's calls fail: another process. It serves
// penguins.onnx, or a function that takes 30 ms if `models` is kSlowFunction.
constexpr const char* kSlowFunction = "slow-function";
class Peer {
 public:
  Peer(const std::string& program, const std::string& models, const std::string& address) {
    int ends[2], ready[2];
    if (pipe(ends) != 0 || pipe(ready) != 0) std::abort();
    process_ = fork();
    if (process_ == 0) {
      dup2(ends[0], 0);
      dup2(ready[1], 1);
      for (const int fd : {ends[0], ends[1], ready[0], ready[1]}) close(fd);
      unsetenv("SIDECALL_INJECT_STATE");  // its calls do not fail
      unsetenv("LD_PRELOAD");
      execl(program.c_str(), program.c_str(), "--peer", models.c_str(), address.c_str(), nullptr);
      _exit(127);
    }
    close(ends[0]);
    close(ready[1]);
    input_ = ends[1];
    char byte = 0;
    output_ = ready[0];
    if (read(output_, &byte, 1) != 1) std::abort();
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() {
    close(input_);
    close(output_);
    waitpid(process_, nullptr, 0);
  }

  // Closes the server and opens it again, so that the next call needs a new connection.
  void reopen() {
    char byte = '.';
    if (write(input_, &byte, 1) != 1 || read(output_, &byte, 1) != 1) std::abort();
  }

 private:
  pid_t process_;
  int input_, output_;
};

}  // namespace anomalies
