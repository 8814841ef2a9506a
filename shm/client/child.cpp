// Starts a program from a process with several threads, and reports how the program ended.
#include "child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "base/process/signals_blocked.h"
#include "shm/common/error.h"
#include "shm/common/mapping_registry.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#define SYS_pidfd_send_signal 424
#endif

namespace sidecall::shm {
namespace {

constexpr int kSocketNumber = 3;
constexpr auto kPidfd = static_cast<idtype_t>(3);  // P_PIDFD, missing in old headers

// Everything that the new process needs. It is prepared in advance: between vfork and exec only
// system calls are allowed.
struct Plan {
  std::vector<std::string> paths;  // candidates, in order
  std::vector<char*> words, environment;
  std::vector<std::string> storage;
  int socket = -1;
  // Without close_range in the kernel, descriptors are closed one by one up to this number.
  int last_descriptor = 1024;
};

void find_program(const std::string& word, Plan* plan) {
  if (word.find('/') != std::string::npos) {
    plan->paths.push_back(word);
    return;
  }
  const char* variable = ::secure_getenv("PATH");
  const std::string path = variable ? variable : "/usr/local/bin:/usr/bin:/bin";
  for (size_t start = 0; start <= path.size();) {
    const size_t end = std::min(path.find(':', start), path.size());
    plan->paths.push_back((end == start ? std::string(".") : path.substr(start, end - start)) +
                          "/" + word);
    start = end + 1;
  }
}

Plan make_plan(const std::vector<std::string>& words, int socket) {
  Plan plan;
  plan.socket = socket;
  plan.last_descriptor = static_cast<int>(std::min(sysconf(_SC_OPEN_MAX), 65536L));
  find_program(words[0], &plan);
  plan.storage = words;
  plan.storage.push_back("SIDECALL_FD=" + std::to_string(kSocketNumber));
  for (size_t i = 0; i < words.size(); ++i) plan.words.push_back(plan.storage[i].data());
  plan.words.push_back(nullptr);
  for (char** variable = environ; *variable; ++variable)
    if (std::strncmp(*variable, "SIDECALL_FD=", 12) != 0) plan.environment.push_back(*variable);
  plan.environment.push_back(plan.storage.back().data());
  plan.environment.push_back(nullptr);
  return plan;
}

// Runs in the new process, which shares our memory until exec. Returns only after a failure: the
// errno of the call that failed.
int become(const Plan& plan) noexcept {
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction standard{};
    standard.sa_handler = SIG_DFL;
    sigaction(number, &standard, nullptr);  // fails for SIGKILL, SIGSTOP and reserved signals
  }
  // If our program has closed its standard descriptors, other files may now have those numbers.
  // Such files are recognised by their close-on-exec flag.
  const int socket =
      plan.socket > STDERR_FILENO ? plan.socket : fcntl(plan.socket, F_DUPFD, kSocketNumber);
  const int empty = open("/dev/null", O_RDWR);
  const int errors = fcntl(STDERR_FILENO, F_GETFD);
  const bool has_errors = errors >= 0 && (errors & FD_CLOEXEC) == 0;
  // dup2 clears close-on-exec. A descriptor that already has the right number keeps the flag, so it
  // is cleared with fcntl.
  if (socket < 0 || empty < 0 || dup2(empty, STDIN_FILENO) < 0) return errno;
  if (!has_errors && dup2(empty, STDERR_FILENO) < 0) return errno;
  if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0) return errno;
  if (socket == kSocketNumber ? fcntl(kSocketNumber, F_SETFD, 0) < 0
                              : dup2(socket, kSocketNumber) < 0)
    return errno;
  if (syscall(SYS_close_range, kSocketNumber + 1, ~0U, 0) != 0)
    for (int fd = kSocketNumber + 1; fd < plan.last_descriptor; ++fd) close(fd);
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);
  int error_number = ENOENT;
  for (const std::string& path : plan.paths) {
    execve(path.c_str(), plan.words.data(), plan.environment.data());
    if (errno != ENOENT && errno != ENOTDIR) error_number = errno;
  }
  return error_number;
}

// Blocks all signals meanwhile: a signal handler of the program would run in memory that the parent
// and the child share.
pid_t spawn(const Plan& plan, volatile int* error_number) {
  const SignalsBlocked blocked;
#ifdef SIDECALL_ONE_MAPPING
  // ThreadSanitizer turns vfork() into fork(), whose handlers would close descriptors that the
  // child needs. After clone() the memory is not shared, so the reason of a failed start is lost.
  const auto pid =
      static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
#else
  const pid_t pid = vfork();
#endif
  if (pid == 0) {
    *error_number = become(plan);
    _exit(127);
  }
  if (pid < 0) *error_number = errno;
  return pid;
}

}  // namespace

std::vector<std::string> split_command(std::string_view command) {
  std::vector<std::string> words;
  bool is_word = false;
  char quote = '\0';
  for (size_t i = 0; i < command.size(); ++i) {
    char c = command[i];
    if (c == '\0')
      throw Error(SIDECALL_INVALID_ARGUMENT,
                  "exec: expected a command without NUL, got one with NUL");
    if (quote == '\0' && (c == ' ' || c == '\t' || c == '\n')) {
      is_word = false;
      continue;
    }
    if (!is_word) words.emplace_back();
    is_word = true;
    if (quote == '\0' ? c == '\'' || c == '"' : c == quote) {
      quote = quote == '\0' ? c : '\0';
      continue;
    }
    if (c == '\\' && quote != '\'') {
      if (i + 1 == command.size())
        throw Error(SIDECALL_INVALID_ARGUMENT,
                    "exec: expected a character after the last backslash of the command, got none");
      // Inside double quotes a backslash is literal unless one of these characters follows.
      if (quote == '\0' || std::strchr("\"\\$`", command[i + 1])) c = command[++i];
      if (c == '\0')
        throw Error(SIDECALL_INVALID_ARGUMENT,
                    "exec: expected a command without NUL, got one with NUL");
    }
    words.back() += c;
  }
  if (quote != '\0')
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "exec: expected a closing quote in the command, got none");
  if (words.empty() || words[0].empty())
    throw Error(SIDECALL_INVALID_ARGUMENT, "exec: expected the name of a program, got none");
  return words;
}

int Child::start(const std::vector<std::string>& words, int socket) {
  const Plan plan = make_plan(words, socket);
  volatile int error_number = 0;
  ending_ = Ending::kNone;
  pid_ = spawn(plan, &error_number);
  if (pid_ < 0) {
    pid_ = 0;
    return error_number;
  }
  pidfd_.reset(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  if (error_number != 0) {
    reap(true);
    ending_ = Ending::kNone;
  }
  return error_number;
}

bool Child::is_over(Deadline deadline) {
  if (pid_ <= 0) return true;
  const int fd = pidfd_.get();
  if (fd < 0 || wait_readable(&fd, 1, deadline)) reap(false);
  return pid_ <= 0;
}

void Child::signal(int number) noexcept {
  if (pid_ <= 0) return;
  if (pidfd_) syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0);
  else kill(pid_, number);  // not reaped yet, so the process id cannot belong to another process
}

void Child::end(int64_t grace_ns) noexcept {
  const auto has_ended = [&](int64_t wait_ns) {
    try {
      return is_over(Deadline::after(wait_ns));
    } catch (const std::exception&) {  // the kernel has no memory for a wait
      return false;
    }
  };
  if (has_ended(0)) return;
  signal(SIGTERM);
  if (has_ended(grace_ns)) return;
  signal(SIGKILL);
  reap(true);
}

void Child::reap(bool wait) noexcept {
  siginfo_t info{};
  const int options = WEXITED | (wait ? 0 : WNOHANG);
  int result;
  do {
    result = pidfd_ ? waitid(kPidfd, static_cast<id_t>(pidfd_.get()), &info, options)
                    : waitid(P_PID, static_cast<id_t>(pid_), &info, options);
  } while (result != 0 && errno == EINTR);
  if (result == 0 && info.si_pid == 0) return;  // it is still running
  // If waitid failed, the child has already been reaped, for example by a SIGCHLD handler of our
  // program, so its exit status is not known.
  ending_ = result != 0                  ? Ending::kUnknown
            : info.si_code == CLD_EXITED ? Ending::kExited
                                         : Ending::kSignalled;
  exit_number_ = info.si_status;
  pid_ = 0;
  pidfd_.reset();
}

std::string Child::exit_text() const {
  switch (ending_) {
    case Ending::kNone:
      return "";
    case Ending::kUnknown:
      return " (the child process ended)";
    case Ending::kExited:
      return " (the child process ended with exit status " + std::to_string(exit_number_) + ")";
    case Ending::kSignalled:
      return " (the child process was killed by signal " + std::to_string(exit_number_) + ")";
  }
  return "";
}

}  // namespace sidecall::shm
