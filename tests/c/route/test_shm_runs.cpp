// Runs in other processes: connecting, exact deadlines, cancelling, and forks. test_queue.cpp has
// runs in queues.
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <thread>

#include "queue/queue_fixture.h"

using namespace support;
using sidecall::Call;
using sidecall::Model;

namespace {

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

  std::string run(int64_t timeout_ns) {
    return status(sidecall_call_run(call.get(), timeout_ns, error()));
  }
};

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

TEST_CASE("opening a call and changing its shapes never wait for a server") {
  auto f = std::make_unique<Fixture>(true);
  const std::string address = f->server.address();
  const Model model(address);
  f.reset();
  Call call(model), other(model, 2);
  double* const x = doubles(call.input(0));
  *x = 4;
  const std::array<int64_t, 2> dims{100'000, 1};
  other.reshape(0, {dims.data(), 2});  // needs more memory than a connection had
  doubles(other.input(0))[99'999] = 5;
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "UNREACHABLE");
  const FunctionServer server(address, kDouble, double_it);
  call.run();
  other.run();
  CHECK(doubles(call.output(0))[0] == 8);
  CHECK(doubles(other.output(0))[99'999] == 10);
  CHECK(doubles(call.input(0)) == x);
}

TEST_CASE("a call that is opened uses a connection that was left idle") {
  Fixture f(true);
  f.call.run();
  const auto has_two_connections = [&] {
    sidecall_text* text = nullptr;
    REQUIRE(sidecall_server_query(f.server.address().c_str(), 0, &text, error()) == SIDECALL_OK);
    const std::string counters = text->data;
    sidecall_text_close(text);
    return counters.find("\"connections\":2,") != std::string::npos;
  };
  for (int i = 0; i < 3; ++i) {
    Call second(f.model);
    *doubles(second.input(0)) = 1;
    second.run();
    CHECK(has_two_connections());
  }
}

TEST_CASE("a call is free at once after a run in a queue that ends early, and keeps its inputs") {
  Fixture f(false);
  sidecall::Queue queue;
  for (const bool is_cancelled : {false, true}) {
    f.gate.close();
    const uint64_t run = queue.submit(f.call, is_cancelled ? -1 : 200 * kMillisecond);
    while (!f.gate.has_caller()) CHECK_FALSE(queue.wait(run, kMillisecond));
    if (is_cancelled) queue.cancel(run);
    sidecall_completion one{};
    REQUIRE(queue.take({&one, 1}) == 1);
    CHECK(status(one.status) == (is_cancelled ? "CANCELLED" : "TIMEOUT"));
    CHECK(one.flags == 0);
    CHECK(doubles(f.call.input(0)) == f.x);
    CHECK(*f.x == 21);
    *f.x = 4;  // the server may still read the earlier value
    f.gate.open();
    CHECK(queue.wait(queue.submit(f.call)));
    CHECK(doubles(f.call.output(0))[0] == 8);
    *f.x = 21;
  }
}

TEST_CASE("another thread can cancel a run that is waited for") {
  Fixture f(false);
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
    sidecall::Queue queue;
    const uint64_t run = queue.submit(second);
    while (!f.gate.has_caller()) CHECK_FALSE(queue.wait(run, kMillisecond));
    Call third(f.model);
    third.input(0);
    CHECK(status(sidecall_call_run(third.get(), 5 * kMillisecond, error())) == "TIMEOUT");
  }
  f.gate.open();
  CHECK(f.run(-1) == "OK");
}

TEST_CASE(
    "BUSY from a served function ends every kind of run with BUSY; NOT_RUN becomes INTERNAL") {
  struct Case {
    sidecall_status status;
    const char* expected;
  };
  for (const auto& [failure, expected] :
       {Case{SIDECALL_BUSY, "BUSY"}, Case{SIDECALL_NOT_RUN, "INTERNAL"}}) {
    const FunctionServer server(
        fresh_address(), kDouble, [failure = failure](sidecall_request* request) {
          sidecall_request_fail(request, failure, -1, nullptr, nullptr, nullptr, "try again");
          return failure;
        });
    const Model model(server.address());
    Call call(model);
    sidecall::Queue queue;
    call.input(0);
    CHECK(status(sidecall_call_run(call.get(), -1, error())) == expected);
    queue.submit(call);
    sidecall_completion one{};
    REQUIRE(queue.take({&one, 1}) == 1);
    CHECK(status(one.status) == expected);
    CHECK(status(sidecall_call_error(call.get(), error())) == expected);
    CHECK((std::string(last().message) == "try again") == (failure == SIDECALL_BUSY));
    CHECK_FALSE(is_busy(call));
  }
}

TEST_CASE("predict_json uses the timeout of the model") {
  const std::string contract = R"({"format": 5, "model": {},
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
  f.call.run();
  Call pending(f.model);
  pending.input(0);
  sidecall::Queue queue;
  const uint64_t run = queue.submit(pending);
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    *f.x = -1;  // memory that only the child has
    int wrong = f.run(-1) == "FORKED" ? 0 : 1;
    wrong += status(sidecall_queue_submit(queue.get(), f.call.get(), -1, 0, nullptr, error())) ==
                     "FORKED"
                 ? 0
                 : 2;
    wrong += status(sidecall_call_error(pending.get(), error())) == "NOT_RUN" ? 0 : 4;
    sidecall_call* third = nullptr;
    wrong += status(sidecall_call_open(f.model.get(), 1, &third, error())) == "FORKED" ? 0 : 8;
    {
      const Call closing = std::move(pending);
      const Model again(f.server.address());
      Call call(again);
      doubles(call.input(0))[0] = 3;
      call.run();
      wrong += doubles(call.output(0))[0] == 6 ? 0 : 16;
    }
    _exit(wrong);
  }
  int result = -1;
  REQUIRE(waitpid(child, &result, 0) == child);
  CHECK(result == 0);
  CHECK(queue.wait(run));
  CHECK(*f.x == 21);
  CHECK(queue.wait(queue.submit(f.call)));
  CHECK(doubles(f.call.output(0))[0] == 42);
}
#endif
