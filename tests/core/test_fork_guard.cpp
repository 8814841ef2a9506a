// How long fork() waits for other threads that open files; see engines/onnxruntime/fork_guard.h.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <thread>

#include "engines/onnxruntime/fork_guard.h"

using Clock = std::chrono::steady_clock;

namespace {

// Forks, and returns the exit code of the child, which makes a guard and ends.
int fork_and_make_guard() {
  const pid_t child = fork();
  if (child == 0) {
    {
      const sidecall::ForkGuard guard;
    }
    _exit(17);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

// Takes 10 s, so only tests/exits/test_fork_limit.py runs it.
TEST_CASE("fork() waits at most ten seconds, and the child can open files", "[.long]") {
  std::atomic<bool> is_held{false}, is_over{false};
  std::thread opener([&] {
    const sidecall::ForkGuard guard;
    is_held = true;
    while (!is_over) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  while (!is_held) std::this_thread::yield();
  const Clock::time_point begin = Clock::now();
  CHECK(fork_and_make_guard() == 17);
  CHECK(Clock::now() - begin >= std::chrono::seconds(10));
  is_over = true;
  opener.join();
  // The limit leaves nothing behind.
  CHECK(fork_and_make_guard() == 17);
}

TEST_CASE("fork() in the thread that opens a file does not wait") {
  const sidecall::ForkGuard guard;
  CHECK(fork_and_make_guard() == 17);
}
