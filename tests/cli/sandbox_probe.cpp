// sandbox-probe FOLDER FILE: confines itself as `sidecall serve --sandbox` does, then attempts what
// a model that controls the process might attempt: on the main thread, and on a thread that started
// between the two steps of the confinement. Prints one line for each attempt to standard error: the
// thread, the attempt, and the error or "done".
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "terminal/sandbox.hpp"

namespace {

// Each attempt returns -1 and sets errno on failure.
std::vector<std::pair<const char*, std::function<long()>>> attempts(const std::string& folder,
                                                                    const std::string& file) {
  return {
      {"read a file", [] { return open("/etc/passwd", O_RDONLY); }},
      {"write a file", [] { return open("/tmp/sandbox-probe", O_WRONLY | O_CREAT, 0600); }},
      {"remove a file", [=] { return unlink(file.c_str()); }},
      {"remove the socket", [=] { return unlink((folder + "/socket").c_str()); }},
      {"list a folder", [] { return open("/", O_RDONLY | O_DIRECTORY); }},
      {"make a TCP socket", [] { return socket(AF_INET, SOCK_STREAM, 0); }},
      {"make a local socket", [] { return socket(AF_UNIX, SOCK_STREAM, 0); }},
      {"connect",
       [] {
         sockaddr_in to{};
         return connect(0, reinterpret_cast<sockaddr*>(&to), sizeof to);
       }},
      {"start a program",
       [] {
         const char* const words[] = {"/bin/true", nullptr};
         return execv(words[0], const_cast<char* const*>(words));
       }},
      {"fork",
       [] {
         const pid_t child = fork();
         if (child == 0) _exit(0);
         return long{child};
       }},
      {"signal the parent", [] { return kill(getppid(), 0); }},
      {"let the kernel signal the parent", [] { return fcntl(0, F_SETOWN, getppid()); }},
      {"trace the parent", [] { return ptrace(PTRACE_ATTACH, getppid(), nullptr, nullptr); }},
      {"map executable memory",
       [] {
         void* const memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
         return memory == MAP_FAILED ? -1L : 0L;
       }},
      {"make memory executable",
       [] {
         static void* const memory =
             mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
         return mprotect(memory, 4096, PROT_READ | PROT_EXEC);
       }},
      {"load a module", [] { return syscall(SYS_finit_module, -1, "", 0); }},
      {"call io_uring", [] { return syscall(SYS_io_uring_setup, 1, nullptr); }},
      {"start a thread",
       [] {
         std::thread([] {}).join();
         return 0L;
       }},
      {"allocate",
       [] {
         void* const memory =
             mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
         return memory == MAP_FAILED ? -1L : 0L;
       }},
  };
}

void try_all(const char* thread, const std::string& folder, const std::string& file) {
  for (const auto& [what, attempt] : attempts(folder, file)) {
    errno = 0;
    const long result = attempt();
    std::fprintf(stderr, "%s|%s|%s\n", thread, what, result < 0 ? strerrorname_np(errno) : "done");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string folder = argv[1], file = argv[2];
  std::mutex confined;
  confined.lock();
  // Landlock confines this thread and the threads that it starts from now on. seccomp confines all.
  std::string failure = sidecall::cli::confine_files(folder);
  std::thread earlier([&] {
    const std::lock_guard<std::mutex> wait(confined);
    try_all("earlier", folder, file);
  });
  if (failure.empty()) failure = sidecall::cli::confine_calls();
  if (!failure.empty()) std::fprintf(stderr, "failed|%s|\n", failure.c_str());
  confined.unlock();
  earlier.join();
  try_all("main", folder, file);
  return 0;
}
