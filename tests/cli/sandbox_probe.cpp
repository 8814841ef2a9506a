// sandbox-probe FOLDER FILE [READABLE]: confines itself as `sidecall serve --sandbox` does, then
// attempts what a model that controls the process might attempt: on the main thread, and on a
// thread that started between the two steps of the confinement. Prints one line for each attempt to
// standard error: the thread, the attempt, and the error or "done". READABLE is the folder of files
// that a server over HTTP reads again: then it also attempts what these rights could open up.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
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
      // At the level of sockets, this number is that of an option that servers set.
      {"set an option of TCP",
       [] {
         const timeval second = {1, 0};
         return setsockopt(0, IPPROTO_TCP, SO_RCVTIMEO, &second, sizeof second);
       }},
      {"change the priority of the parent",
       [] { return setpriority(PRIO_PROCESS, static_cast<id_t>(getppid()), 5); }},
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

// The folder has a file `tokens`, and a link `link` to /etc/passwd. `socket` is a TCP socket.
std::vector<std::pair<const char*, std::function<long()>>> attempts_over_http(
    const std::string& folder, int socket) {
  const std::string file = folder + "/tokens";
  return {
      {"read the tokens", [=] { return open(file.c_str(), O_RDONLY | O_CLOEXEC); }},
      {"change the tokens", [=] { return open(file.c_str(), O_WRONLY); }},
      {"cut the tokens", [=] { return open(file.c_str(), O_RDONLY | O_TRUNC); }},
      {"open the tokens by path only", [=] { return open(file.c_str(), O_PATH); }},
      {"make a file beside them",
       [=] { return open((folder + "/other").c_str(), O_RDONLY | O_CREAT, 0600); }},
      {"follow a link", [=] { return open((folder + "/link").c_str(), O_RDONLY); }},
      {"go up", [=] { return open((folder + "/../other").c_str(), O_RDONLY); }},
      {"list the folder of the tokens",
       [=] { return open(folder.c_str(), O_RDONLY | O_DIRECTORY); }},
      {"read its own memory", [] { return open("/proc/self/mem", O_RDONLY); }},
      {"bind a TCP socket",
       [=] {
         sockaddr_in to{};
         to.sin_family = AF_INET;
         return bind(socket, reinterpret_cast<sockaddr*>(&to), sizeof to);
       }},
      {"listen", [=] { return listen(socket, 1); }},
      {"connect a TCP socket",
       [=] {
         sockaddr_in to{};
         to.sin_family = AF_INET;
         to.sin_port = htons(1);
         to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
         return connect(socket, reinterpret_cast<sockaddr*>(&to), sizeof to);
       }},
      {"send to an address",
       [=] {
         sockaddr_in to{};
         to.sin_family = AF_INET;
         return sendto(socket, "x", 1, MSG_FASTOPEN, reinterpret_cast<sockaddr*>(&to), sizeof to);
       }},
      // A listener that is shut down can be connected like a new socket.
      {"connect a TCP socket with sendmsg()",
       [=] {
         sockaddr_in to{};
         to.sin_family = AF_INET;
         to.sin_port = htons(9);
         to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
         char byte = 'x';
         iovec part{&byte, 1};
         msghdr message{};
         message.msg_name = &to;
         message.msg_namelen = sizeof to;
         message.msg_iov = &part;
         message.msg_iovlen = 1;
         shutdown(socket, SHUT_RDWR);
         return static_cast<int>(sendmsg(socket, &message, MSG_FASTOPEN));
       }},
  };
}

void try_all(const char* thread,
             const std::vector<std::pair<const char*, std::function<long()>>>& all) {
  for (const auto& [what, attempt] : all) {
    errno = 0;
    const long result = attempt();
    std::fprintf(stderr, "%s|%s|%s\n", thread, what, result < 0 ? strerrorname_np(errno) : "done");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) return 2;
  const std::string folder = argv[1], file = argv[2];
  sidecall::cli::Needs needs;
  needs.socket_folders = {folder};
  if (argc == 4) {
    needs.read_folders.emplace_back(argv[3]);
    needs.ports.push_back(0);
  }
  auto all = attempts(folder, file);
  if (argc == 4) {
    const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    for (const auto& each : attempts_over_http(argv[3], socket)) all.push_back(each);
  }
  std::mutex confined;
  confined.lock();
  // Landlock confines this thread and the threads that it starts from now on. seccomp confines all.
  std::string failure = sidecall::cli::confine_files(needs);
  std::thread earlier([&] {
    const std::lock_guard<std::mutex> wait(confined);
    try_all("earlier", all);
  });
  if (failure.empty()) failure = sidecall::cli::confine_calls(!needs.read_folders.empty());
  if (!failure.empty()) std::fprintf(stderr, "failed|%s|\n", failure.c_str());
  confined.unlock();
  earlier.join();
  try_all("main", all);
  return 0;
}
