// How a process is recognised as ending while its sockets may still be open.
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <csignal>
#include <functional>
#include <thread>

#include "shm/client/process.h"
#include "shm/common/socket.h"

using sidecall::shm::Fd;
using sidecall::shm::is_ending;
using sidecall::shm::pid_of;

namespace {

// A child that lives until it is killed, and then is a zombie until the end of the test.
class Child {
 public:
  explicit Child(const std::function<void()>& body = [] {}) : pid_(fork()) {
    if (pid_ != 0) return;
    body();
    while (true) pause();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }
  int open_pidfd() const { return static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)); }

 private:
  const pid_t pid_;
};

}  // namespace

TEST_CASE("a process id is read from a pidfd, and from no other descriptor") {
  const Child child;
  Fd pidfd(child.open_pidfd());
  REQUIRE(pidfd);
  CHECK(pid_of(pidfd.get()) == child.pid());
  CHECK(pid_of(-1) == 0);
  CHECK(pid_of(0) == 0);
  CHECK(pid_of(1 << 20) == 0);
}

TEST_CASE("a process that has ended has no process id") {
  Fd pidfd;
  {
    const Child child;
    pidfd.reset(child.open_pidfd());
  }
  CHECK(pid_of(pidfd.get()) == 0);
}

TEST_CASE("a killed process is ending until it is reaped, and a running one is not") {
  const Child child;
  CHECK_FALSE(is_ending(child.pid()));
  CHECK_FALSE(is_ending(getpid()));
  CHECK_FALSE(is_ending(0));
  CHECK_FALSE(is_ending(-1));
  kill(child.pid(), SIGSTOP);
  CHECK_FALSE(is_ending(child.pid()));
  kill(child.pid(), SIGKILL);
  // A zombie counts as ending, so this loop ends.
  while (!is_ending(child.pid())) std::this_thread::yield();
  CHECK(is_ending(child.pid()));
}

TEST_CASE("a process whose first thread has ended is not ending while other threads run") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const Child child([&] {
    static int said;
    said = ends[1];
    pthread_t other;
    pthread_create(
        &other, nullptr,
        [](void*) -> void* {
          while (true) {
            usleep(1000);
            if (write(said, "x", 1) != 1) _exit(1);
          }
        },
        nullptr);
    syscall(SYS_exit, 0);
  });
  char byte;
  for (int i = 0; i < 20; ++i) REQUIRE(read(ends[0], &byte, 1) == 1);
  CHECK_FALSE(is_ending(child.pid()));
  kill(child.pid(), SIGKILL);
  while (!is_ending(child.pid())) std::this_thread::yield();
  close(ends[0]);
  close(ends[1]);
}
