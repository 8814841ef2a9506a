// Processes, signals and descriptors; see platform.hpp. Only executable() is specific to Linux.
#include "platform.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

extern char** environ;

namespace sidecall::cli {
namespace {

volatile sig_atomic_t g_interrupt = 0;

void note(int signal) { g_interrupt = signal; }

std::vector<char*> argument_vector(const std::string& program,
                                   const std::vector<std::string>& arguments) {
  std::vector<char*> vector{const_cast<char*>(program.c_str())};
  for (const auto& argument : arguments) vector.push_back(const_cast<char*>(argument.c_str()));
  vector.push_back(nullptr);
  return vector;
}

std::string read_to_end(int fd) {
  std::string text;
  char chunk[4096];
  for (;;) {
    const ssize_t got = ::read(fd, chunk, sizeof chunk);
    if (got > 0) {
      text.append(chunk, static_cast<size_t>(got));
    } else if (got == 0 || errno != EINTR) {
      return text;
    }
  }
}

}  // namespace

std::string executable() {
  char path[PATH_MAX];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
  if (length <= 0 || static_cast<size_t>(length) == sizeof path) return "";
  return {path, static_cast<size_t>(length)};
}

std::string executable_folder() {
  const std::string path = executable();
  return path.substr(0, path.rfind('/'));
}

void raise_descriptor_limit() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

void occupy_standard_streams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
    // Open /dev/null with the opposite access mode, so that reads or writes still fail with EBADF.
    if (::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) == -1) return;
  }
}

void die_by_signal(int signal) {
  ::signal(signal, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
  ::raise(signal);
  ::_exit(128 + signal);
}

void note_interrupts() {
  struct sigaction action = {};
  action.sa_handler = note;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int noted_interrupt() { return g_interrupt; }

bool wait_readable(int fd) { return wait_readable_for(fd, -1) != Wake::kSignal; }

Wake wait_readable_for(int fd, int64_t timeout_ns) {
  // Block the signals between the check of the flag and the wait. Otherwise a signal between the
  // two would only be noticed after the next line of input.
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, &before);
  constexpr int64_t kSecond = 1000000000;
  const timespec limit = {timeout_ns / kSecond, timeout_ns % kSecond};
  pollfd poll = {fd, POLLIN, 0};
  int ready = 0;
  do {
    ready = g_interrupt ? 0 : ::ppoll(&poll, 1, timeout_ns < 0 ? nullptr : &limit, &before);
  } while (!g_interrupt && ready == -1 && errno == EINTR);
  sigprocmask(SIG_SETMASK, &before, nullptr);
  return g_interrupt ? Wake::kSignal : ready == 0 ? Wake::kTimeout : Wake::kReadable;
}

void wait_writable(int fd) {
  pollfd poll = {fd, POLLOUT, 0};
  ::poll(&poll, 1, -1);
}

bool capture(const std::string& program, const std::vector<std::string>& arguments,
             std::string& output) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return false;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t child = -1;
  const int failed = ::posix_spawn(&child, program.c_str(), &actions, nullptr,
                                   argument_vector(program, arguments).data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  output = read_to_end(ends[0]);
  ::close(ends[0]);
  int state = 0;
  while (!failed && ::waitpid(child, &state, 0) == -1 && errno == EINTR) {
  }
  return !failed && WIFEXITED(state) && WEXITSTATUS(state) == 0;
}

void replace_process(const std::string& program, const std::vector<std::string>& arguments) {
  ::execv(program.c_str(), argument_vector(program, arguments).data());
}

}  // namespace sidecall::cli
