// The watchdog of server.h, which ends a program that hangs.
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_all.hpp>
#include <chrono>
#include <sidecall/server.hpp>
#include <thread>

#include "support.h"

using support::error;
using support::kMillisecond;

namespace {

struct Pipe {
  Pipe() { REQUIRE(pipe(ends) == 0); }
  int ends[2];
};

// The exit status of a forked child that runs `body`, or 128 + signal. Does not hang.
template <typename Body>
int exit_status_of(Body body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(30);
    body();
    _exit(99);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

TEST_CASE(
    "a watchdog ends a process that still runs some time after the watched descriptor is "
    "readable") {
  CHECK(exit_status_of([] {
          Pipe pipe;
          sidecall_watchdog* watchdog = nullptr;
          if (sidecall_watchdog_open(pipe.ends[0], 100 * kMillisecond, 7, &watchdog, nullptr) !=
              SIDECALL_OK)
            _exit(98);
          if (write(pipe.ends[1], "x", 1) != 1) _exit(97);
          for (;;) pause();
        }) == 7);
  CHECK(exit_status_of([] {
          Pipe pipe;
          sidecall_watchdog* watchdog = nullptr;
          if (sidecall_watchdog_open(pipe.ends[0], 0, 8, &watchdog, nullptr) != SIDECALL_OK)
            _exit(98);
          close(pipe.ends[1]);  // a hang-up also triggers the watchdog
          for (;;) pause();
        }) == 8);
}

TEST_CASE("a closed watchdog does not end the process") {
  CHECK(exit_status_of([] {
          Pipe pipe;
          {
            const sidecall::Watchdog watchdog(pipe.ends[0], 1000 * kMillisecond, 7);
            if (write(pipe.ends[1], "x", 1) != 1) _exit(97);
          }
          std::this_thread::sleep_for(std::chrono::milliseconds(1200));
          _exit(5);
        }) == 5);
  sidecall_watchdog_close(nullptr);
}

TEST_CASE("invalid arguments of watchdogs are refused") {
  Pipe pipe;
  sidecall_watchdog* watchdog = nullptr;
  CHECK(sidecall_watchdog_open(-1, 0, 0, &watchdog, error()) == SIDECALL_INVALID_ARGUMENT);
  CHECK(sidecall_watchdog_open(pipe.ends[0], -1, 0, &watchdog, error()) ==
        SIDECALL_INVALID_ARGUMENT);
  CHECK(sidecall_watchdog_open(pipe.ends[0], 0, 256, &watchdog, error()) ==
        SIDECALL_INVALID_ARGUMENT);
  CHECK(sidecall_watchdog_open(pipe.ends[0], 0, 0, nullptr, error()) == SIDECALL_INVALID_ARGUMENT);
  CHECK(watchdog == nullptr);
}
