// Starts a child process with posix_spawn and two pipes.
#include "child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "transport.h"

namespace bench {
namespace {

[[noreturn]] void fail(const std::string& what, int number) {
  throw std::runtime_error(what + ": " + std::strerror(number));
}

}  // namespace

Child::Child(const std::vector<std::string>& command) {
  int in[2];
  int out[2];
  if (pipe2(in, O_CLOEXEC) != 0) fail("pipe", errno);
  if (pipe2(out, O_CLOEXEC) != 0) {
    const int number = errno;
    close(in[0]);
    close(in[1]);
    fail("pipe", number);
  }
  input_ = in[1];
  output_ = out[0];
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);  // this program ignores SIGPIPE, but the child must not
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  const int number = posix_spawnp(&pid_, words[0], &actions, &attributes, words.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  if (number == 0) return;
  pid_ = -1;
  close(input_);
  close(output_);
  fail(command[0], number);
}

Child::~Child() {
  close_input();
  if (output_ >= 0) close(output_);
  if (pid_ < 0) return;
  for (int i = 0; i < 200 && waitpid(pid_, nullptr, WNOHANG) == 0; ++i) {
    if (i == 199) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    } else {
      usleep(5000);
    }
  }
}

void Child::write(const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = ::write(input_, text.data() + done, text.size() - done);
    if (count < 0 && errno != EINTR) fail("the child does not read", errno);
    if (count > 0) done += static_cast<size_t>(count);
  }
}

void Child::close_input() {
  if (input_ >= 0) close(input_);
  input_ = -1;
}

bool Child::read_line(std::string& line) {
  for (;;) {
    const size_t end = rest_.find('\n');
    if (end != std::string::npos) {
      line.append(rest_, 0, end);
      rest_.erase(0, end + 1);
      return true;
    }
    pollfd ready{output_, POLLIN, 0};
    if (poll(&ready, 1, kPatienceSeconds * 1000) == 0)
      throw std::runtime_error("the child does not answer");
    char buffer[65536];
    const ssize_t count = read(output_, buffer, sizeof buffer);
    if (count < 0 && errno != EINTR) fail("the child's answer", errno);
    if (count == 0) {
      line += rest_;
      rest_.clear();
      return false;
    }
    if (count > 0) rest_.append(buffer, static_cast<size_t>(count));
  }
}

void Child::wait() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw std::runtime_error("the child ended with " + std::to_string(WIFEXITED(status)
                                                                          ? WEXITSTATUS(status)
                                                                          : -WTERMSIG(status)));
}

}  // namespace bench
