// The program that the tests of `exec:` addresses start. It serves over SIDECALL_FD, or misbehaves
// as its first argument says.
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>

#include <list>

#include "raw_server.h"

using namespace raw;

namespace {

// Counts what the child should not inherit: descriptors beyond 0 to 3, blocked or ignored signals,
// input on stdin, and a stdout that is not stderr.
int count_inherited() {
  int count = 0;
  DIR* folder = opendir("/proc/self/fd");
  while (const dirent* entry = readdir(folder))
    count += std::atoi(entry->d_name) > 3 && std::atoi(entry->d_name) != dirfd(folder);
  closedir(folder);
  sigset_t blocked;
  pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  for (int number = 1; number < 32; ++number) {
    struct sigaction now{};
    sigaction(number, nullptr, &now);
    count += sigismember(&blocked, number) == 1 || now.sa_handler == SIG_IGN;
  }
  char byte;
  count += read(0, &byte, 1) != 0;
  struct stat out{}, err{};
  fstat(1, &out);
  fstat(2, &err);
  return count + (out.st_ino != err.st_ino || out.st_dev != err.st_dev);
}

void serve(Peer* peer, int requests) try {
  peer->read_hello();
  if (peer->hello.kind == kOpen) {
    Server::open(*peer);
    return;
  }
  peer->grant(welcome_to(peer->hello));
  peer->serve(requests);
  if (requests == 1) _exit(5);
} catch (const std::exception&) {
  // The client disconnected. Some tests do this on purpose; they check the outcome themselves.
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "serve";
  if (mode == "die") return 3;
  if (mode == "inherit" && count_inherited() > 0) return 4;
  if (mode == "words" &&
      (argc != 4 || std::string(argv[2]) != "two words" || std::string(argv[3]) != "$HOME*"))
    return 6;
  if (mode == "stubborn") signal(SIGTERM, SIG_IGN);
  const char* number = std::getenv("SIDECALL_FD");
  Socket control(Fd(number ? std::atoi(number) : -1));
  if (mode == "liar") control.send("\x03 load", 6);
  if (mode != "late") control.send("\x03\0\0\0\0", 5);
  std::list<Peer> peers;
  std::list<Received> unanswered;
  while (true) {
    char byte;
    Received received = control.receive(&byte, 1, Deadline::never());
    if (mode == "stubborn" || mode == "late") {
      if (received.kind == Received::kEnd) pause();
      unanswered.push_back(std::move(received));
      continue;
    }
    if (received.kind != Received::kMessage || received.num_fds != 1 ||
        byte != static_cast<char>(kAttach))
      _exit(0);
    if (mode == "drain" && !peers.empty()) control.close();
    peers.emplace_back();
    peers.back().socket = Socket(std::move(received.fds[0]));
    Peer* peer = &peers.back();
    std::thread([peer, mode] { serve(peer, mode == "once" ? 1 : 1000); }).detach();
    if (!control) pause();
  }
}
