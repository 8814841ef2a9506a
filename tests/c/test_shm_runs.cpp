// Runs in other processes: exact deadlines, runs that are started, abandoned and awaited, and
// forks.
#include <poll.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <thread>

#include "function_server.h"

using namespace support;
using sidecall::Call;
using sidecall::Model;

namespace {

bool is_readable(int fd, int timeout_ms) {
  pollfd one{fd, POLLIN, 0};
  return poll(&one, 1, timeout_ms) == 1;
}

double* doubles(const sidecall::View& view) { return static_cast<double*>(view.get().data); }

// A server that doubles its input once the gate is open, and a call whose input is one number.
struct Fixture {
  Gate gate;
  FunctionServer server{fresh_address(), kDouble, [this](sidecall_request* request) {
                          gate.pass();
                          return double_it(request);
                        }};
  Model model{server.address()};
  Call call{model};
  double* x = doubles(call.input(0));

  explicit Fixture(bool is_open) {
    if (is_open) gate.open();
    *x = 21;
  }

  std::string finish(int64_t wait_ns) {
    return status(sidecall_call_finish(call.get(), wait_ns, error()));
  }
  std::string run(int64_t timeout_ns) {
    return status(sidecall_call_run(call.get(), timeout_ns, error()));
  }
  int fd() {
    int32_t fd = -1;
    REQUIRE(sidecall_call_fd(call.get(), &fd, error()) == SIDECALL_OK);
    return fd;
  }
};

// Polls after an abandoned run until the server releases the call. Until then every poll must
// report NOT_RUN.
void await_release(Fixture* f, int fd) {
  while (f->call.is_busy()) {
    CHECK(f->finish(0) == "NOT_RUN");
    is_readable(fd, 20);
  }
}

}  // namespace

TEST_CASE(
    "a deadline ends a run on time even if the server is busy, and the next run has its own "
    "deadline") {
  Fixture f(false);
  CHECK(f.run(20 * kMillisecond) == "TIMEOUT");
  CHECK(last().retryable == 1);
  CHECK(f.run(20 * kMillisecond) == "TIMEOUT");
  const std::array<int64_t, 2> dims{3, 1};
  // This needs another tensor table, which has to wait until the server has released the old one.
  f.call.reshape(0, {dims.data(), 2});
  f.x = doubles(f.call.input(0));
  f.x[2] = 4;
  CHECK(f.run(20 * kMillisecond) == "TIMEOUT");
  f.gate.open();
  CHECK(f.run(20000 * kMillisecond) == "OK");
  CHECK(doubles(f.call.output(0))[2] == 8);
}

TEST_CASE("a started run has ended when its descriptor is readable") {
  Fixture f(false);
  const int fd = f.fd();
  CHECK_FALSE(is_readable(fd, 0));
  for (int round = 0; round < 3; ++round) {
    f.gate.close();
    f.call.start();
    CHECK(f.finish(0) == "PENDING");
    CHECK(f.finish(2 * kMillisecond) == "PENDING");
    CHECK(f.run(-1) == "BUSY");
    f.gate.open();
    std::string outcome = "PENDING";
    while (outcome == "PENDING") {
      CHECK(is_readable(fd, 20000));
      outcome = f.finish(0);
    }
    CHECK(outcome == "OK");
    CHECK(f.finish(0) == "NOT_RUN");
    CHECK(doubles(f.call.output(0))[0] == 42);
  }
}

TEST_CASE("a lazy call gives its connection back, keeps its inputs, and runs again") {
  Fixture f(true);
  Call call = Call::lazy(f.model), other = Call::lazy(f.model);
  *doubles(call.input(0)) = 4;
  *doubles(other.input(0)) = 5;
  const auto disconnect = [&](Call& one) {
    return status(sidecall_call_disconnect(one.get(), error()));
  };
  CHECK(disconnect(call) == "OK");  // it has no connection yet
  call.run();
  CHECK_FALSE(other.try_start());
  CHECK(disconnect(call) == "OK");
  sidecall_view view = SIDECALL_VIEW_INIT;
  CHECK(status(sidecall_call_output(call.get(), 0, &view, error())) == "OK");  // its shape
  REQUIRE(other.try_start());
  CHECK(disconnect(other) == "BUSY");
  other.finish();
  CHECK(doubles(other.output(0))[0] == 10);
  CHECK_FALSE(call.try_start());
  const int32_t fd = call.fd();
  CHECK(disconnect(other) == "OK");
  REQUIRE(call.try_start());
  CHECK(is_readable(fd, 20000));
  call.finish();
  CHECK(doubles(call.output(0))[0] == 8);
  CHECK(disconnect(f.call) == "OK");  // not lazy: it keeps its connection
  REQUIRE(f.call.try_start());
  f.call.finish();
  CHECK(doubles(f.call.output(0))[0] == 42);
  f.gate.close();
  call.start(20 * kMillisecond);
  CHECK(status(sidecall_call_finish(call.get(), -1, error())) == "TIMEOUT");
  CHECK(disconnect(call) == "BUSY");
  f.gate.open();
}

TEST_CASE("a run is reported from the moment when it is watched") {
  Fixture f(false);
  const int first = f.call.watch();
  for (int round = 0; round < 3; ++round) {
    f.gate.close();
    *f.x = round;
    f.call.start();
    if (is_readable(first, 30)) {  // the timer of an earlier run
      CHECK(round > 0);
      CHECK(f.finish(0) == "PENDING");
    }
    CHECK_FALSE(is_readable(first, 30));  // a run that is not watched has no timer either
    CHECK(f.finish(0) == "PENDING");
    CHECK(f.call.watch() == first);
    CHECK(f.call.watch() == first);
    f.gate.open();
    std::string outcome = "PENDING";
    while (outcome == "PENDING") {
      CHECK(is_readable(first, 20000));
      outcome = f.finish(0);
    }
    CHECK(outcome == "OK");
    CHECK(doubles(f.call.output(0))[0] == 2 * round);
    f.call.start();  // not watched: it is found without the descriptor
    do {
      outcome = f.finish(0);
    } while (outcome == "PENDING");
    CHECK(outcome == "OK");
  }
  CHECK(f.fd() == first);
  f.gate.close();
  f.call.start();
  f.gate.open();
  CHECK(is_readable(first, 20000));  // every run is reported after fd()
  CHECK(f.finish(-1) == "OK");
}

TEST_CASE("a watched run reports its deadline, a cancel, and when its memory is free") {
  Fixture f(false);
  Call call = Call::lazy(f.model);
  *doubles(call.input(0)) = 1;
  const auto finish = [&] { return status(sidecall_call_finish(call.get(), 0, error())); };
  for (const bool is_cancelled : {false, true}) {
    f.gate.close();
    call.start(is_cancelled ? -1 : 1000 * kMillisecond);
    f.gate.await_caller();  // the memory is not free before the handler returns
    const int fd = call.watch();
    if (is_cancelled) call.cancel();
    std::string outcome = "PENDING";
    while (outcome == "PENDING") {
      REQUIRE(is_readable(fd, 20000));
      outcome = finish();
    }
    CHECK(outcome == (is_cancelled ? "CANCELLED" : "TIMEOUT"));
    REQUIRE(call.is_busy());
    CHECK(finish() == "NOT_RUN");
    if (is_cancelled) call.watch();
    f.gate.open();
    if (!is_cancelled) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      call.watch();  // the memory is free already
    }
    do {
      REQUIRE(is_readable(fd, 20000));
      CHECK(finish() == "NOT_RUN");
    } while (call.is_busy());
    call.run();
    CHECK(doubles(call.output(0))[0] == 2);
  }
}

TEST_CASE("a watched run reports the death of its server") {
  Fixture f(false);
  f.call.start();
  const int fd = f.call.watch();
  f.gate.open();
  f.server.close();
  std::string outcome = "PENDING";
  while (outcome == "PENDING") {
    REQUIRE(is_readable(fd, 20000));
    outcome = f.finish(0);
  }
  CHECK((outcome == "OK" || outcome == "PEER_DIED" || outcome == "UNREACHABLE"));
}

TEST_CASE("how long to look for an end follows the number of CPUs") {
  CHECK(sidecall_poll_ns() >= 0);
  CHECK(sidecall_poll_ns() <= 1000 * kMillisecond);
}

TEST_CASE("a thread can wait for a started run without polling") {
  Fixture f(true);
  for (int round = 0; round < 100; ++round) {
    *f.x = round;
    f.call.start(5000 * kMillisecond);
    f.call.finish();
    CHECK(doubles(f.call.output(0))[0] == 2 * round);
  }
}

TEST_CASE("a lazy call connects at its first run, and try_start needs a connection") {
  Fixture f(true);
  Call call = Call::lazy(f.model);
  double* x = doubles(call.input(0));
  *x = 4;
  CHECK_FALSE(call.try_start());
  call.run();
  CHECK(doubles(call.output(0))[0] == 8);
  *x = 21;
  REQUIRE(call.try_start());
  call.finish();
  CHECK(doubles(call.output(0))[0] == 42);
  const std::array<int64_t, 2> dims{100'000, 1};
  call.reshape(0, {dims.data(), 2});  // needs more memory than the connection has
  x = doubles(call.input(0));
  x[99'999] = 5;
  CHECK_FALSE(call.try_start());
  call.start();
  call.finish();
  CHECK(doubles(call.output(0))[99'999] == 10);
  {
    Call other = Call::lazy(f.model);
    *doubles(other.input(0)) = 1;
    other.run();
  }
  Call heir = Call::lazy(f.model);
  *doubles(heir.input(0)) = 1;
  CHECK(heir.try_start());  // uses a connection that was left idle
  heir.finish();
  f.server.close();
  // A run that is started within 5 ms of the last one does not look whether the server is there.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK_FALSE(call.try_start());  // the server is gone
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "UNREACHABLE");
}

TEST_CASE("try_start is refused while the server still works on an earlier run") {
  Fixture f(false);
  CHECK(f.run(5 * kMillisecond) == "TIMEOUT");
  CHECK_FALSE(f.call.try_start());
  f.gate.open();
  while (!f.call.try_start()) std::this_thread::yield();
  f.call.finish();
  CHECK(doubles(f.call.output(0))[0] == 42);
}

TEST_CASE(
    "the deadline of a started run makes its descriptor readable, and so does the end of the "
    "server's work") {
  Fixture f(false);
  const int fd = f.fd();
  f.call.start(20 * kMillisecond);
  std::string outcome = "PENDING";
  while (outcome == "PENDING") {
    REQUIRE(is_readable(fd, 20000));
    outcome = f.finish(0);
  }
  CHECK(outcome == "TIMEOUT");
  CHECK(f.call.is_busy());
  CHECK(status(sidecall_call_reset(f.call.get(), error())) == "BUSY");
  // The outcome was taken; finish does not wait for another process.
  CHECK(f.finish(-1) == "NOT_RUN");
  CHECK_FALSE(is_readable(fd, 10));
  f.gate.open();
  CHECK(is_readable(fd, 20000));
  await_release(&f, fd);
  CHECK_FALSE(is_readable(fd, 0));
  CHECK(f.run(-1) == "OK");
  CHECK(doubles(f.call.output(0))[0] == 42);
}

TEST_CASE("another thread can cancel a run that is waited for or polled") {
  Fixture f(false);
  const int fd = f.fd();
  for (int round = 0; round < 4; ++round) {
    f.gate.close();
    f.call.start();
    std::thread other([&] {
      f.gate.await_caller();
      sidecall_call_cancel(f.call.get());
    });
    std::string outcome = round % 2 == 0 ? f.finish(-1) : "PENDING";
    while (outcome == "PENDING") {
      CHECK(is_readable(fd, 20000));
      outcome = f.finish(0);
    }
    other.join();
    CHECK(outcome == "CANCELLED");
    f.gate.open();
    await_release(&f, fd);
  }
  f.gate.close();
  std::thread other([&] {
    f.gate.await_caller();
    sidecall_call_cancel(f.call.get());
  });
  CHECK(f.run(-1) == "CANCELLED");
  other.join();
  sidecall_call_cancel(f.call.get());  // no run is in flight
  f.gate.open();
  CHECK(f.run(-1) == "OK");
}

TEST_CASE("a cancel at any moment ends the current run and no other") {
  Fixture f(true);
  std::atomic<bool> stop{false};
  std::thread canceller([&] {
    while (!stop) sidecall_call_cancel(f.call.get());
  });
  int num_cancelled = 0, num_other = 0;
  for (int i = 0; i < 300; ++i) {
    const std::string outcome = f.run(-1);
    num_cancelled += outcome == "CANCELLED" ? 1 : 0;
    num_other += outcome != "CANCELLED" && outcome != "OK" ? 1 : 0;
  }
  stop = true;
  canceller.join();
  CHECK(num_other == 0);
  for (int i = 0; i < 10; ++i) CHECK(f.run(-1) == "OK");
}

TEST_CASE("a call can be closed while the server still works for it") {
  Fixture f(false);
  {
    Call second(f.model);
    second.input(0);
    second.start();
    f.gate.await_caller();
    Call third(f.model);
    third.input(0);
    CHECK(status(sidecall_call_run(third.get(), 5 * kMillisecond, error())) == "TIMEOUT");
  }
  f.gate.open();
  CHECK(f.run(-1) == "OK");
}

TEST_CASE(
    "BUSY from a served function ends every kind of run with BUSY; PENDING and NOT_RUN become "
    "INTERNAL") {
  struct Case {
    sidecall_status status;
    const char* expected;
  };
  for (const auto& [failure, expected] :
       {Case{SIDECALL_BUSY, "BUSY"}, Case{SIDECALL_PENDING, "INTERNAL"},
        Case{SIDECALL_NOT_RUN, "INTERNAL"}}) {
    const FunctionServer server(
        fresh_address(), kDouble, [failure = failure](sidecall_request* request) {
          sidecall_request_fail(request, failure, -1, nullptr, nullptr, nullptr, "try again");
          return failure;
        });
    const Model model(server.address());
    Call call(model);
    const int32_t fd = call.fd();
    call.input(0);
    CHECK(status(sidecall_call_run(call.get(), -1, error())) == expected);
    call.start();
    CHECK(status(sidecall_call_finish(call.get(), -1, error())) == expected);
    CHECK((std::string(last().message) == "try again") == (failure == SIDECALL_BUSY));
    call.start();
    std::string answer = "PENDING";
    for (int i = 0; i < 10000 && answer == "PENDING"; ++i) {
      is_readable(fd, 100);
      answer = status(sidecall_call_finish(call.get(), 0, error()));
    }
    CHECK(answer == expected);
    CHECK_FALSE(call.is_busy());
  }
}

TEST_CASE("predict_json uses the timeout of the model") {
  const std::string contract = R"({"format": 3, "model": {},
    "features": [{"name": "x", "type": "float64", "nullable": false, "input": "x", "column": 0}],
    "outputs": [{"name": "prediction", "role": "prediction", "type": "float64"}]})";
  Gate gate;
  const FunctionServer server(
      fresh_address(), "",
      [&](sidecall_request* request) {
        gate.pass();
        return output_of(request, 0, {1}) != nullptr ? SIDECALL_OK : SIDECALL_INTERNAL;
      },
      contract);
  sidecall::Options options;
  options.timeout_ns = 10 * kMillisecond;
  const Model model(server.address(), options);
  sidecall_text* text = nullptr;
  CHECK(status(sidecall_predict_json(model.get(), "{\"x\": 1}", 8, &text, error())) == "TIMEOUT");
  gate.open();
  const Model patient(server.address());
  CHECK(patient.predict_json("{\"x\": 1}").find("prediction") != std::string::npos);
}

// ThreadSanitizer does not support a forked child of a process with threads.
#ifndef __SANITIZE_THREAD__
TEST_CASE("a forked child gets FORKED, and the parent is not affected") {
  Fixture f(true);
  const int fd = f.fd();
  f.call.run();
  Call pending(f.model);
  pending.input(0);
  pending.start();
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    *f.x = -1;  // memory that only the child has
    int wrong = f.run(-1) == "FORKED" ? 0 : 1;
    wrong += status(sidecall_call_start(f.call.get(), -1, error())) == "FORKED" ? 0 : 2;
    int32_t number = 0;
    wrong += status(sidecall_call_fd(f.call.get(), &number, error())) == "FORKED" ? 0 : 4;
    wrong += status(sidecall_call_finish(pending.get(), 0, error())) == "NOT_RUN" ? 0 : 8;
    sidecall_call* third = nullptr;
    wrong += status(sidecall_call_open(f.model.get(), 1, &third, error())) == "FORKED" ? 0 : 16;
    {
      const Call closing = std::move(pending);
      const Model again(f.server.address());
      Call call(again);
      doubles(call.input(0))[0] = 3;
      call.run();
      wrong += doubles(call.output(0))[0] == 6 ? 0 : 32;
    }
    _exit(wrong);
  }
  int result = -1;
  REQUIRE(waitpid(child, &result, 0) == child);
  CHECK(result == 0);
  pending.finish();
  CHECK(*f.x == 21);
  f.call.start();
  CHECK(is_readable(fd, 20000));
  f.call.finish();
  CHECK(doubles(f.call.output(0))[0] == 42);
}
#endif
