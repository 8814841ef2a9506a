// Runs in other processes: deadlines that are exact, runs that are started, given up and awaited, servers that come back, forks.
#include <poll.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <functional>
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

// A server that doubles, once the gate is open, and a call of it for two numbers.
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

  std::string finish(int64_t wait_ns) { return status(sidecall_call_finish(call.get(), wait_ns, error())); }
  std::string run(int64_t timeout_ns) { return status(sidecall_call_run(call.get(), timeout_ns, error())); }
  int fd() {
    int32_t fd = -1;
    REQUIRE(sidecall_call_fd(call.get(), &fd, error()) == SIDECALL_OK);
    return fd;
  }
};

// After a run was given up: its owner polls until the other end lets go, and gets no other outcome meanwhile.
void await_release(Fixture* f, int fd) {
  while (f->call.is_busy()) {
    CHECK(f->finish(0) == "NOT_RUN");
    is_readable(fd, 20);
  }
}

}  // namespace

TEST_CASE("a deadline ends a run at once, whatever the other end does, and the next waits in its own time") {
  Fixture f(false);
  CHECK(f.run(20 * kMillisecond) == "TIMEOUT");
  CHECK(last().retryable == 1);
  CHECK(f.run(20 * kMillisecond) == "TIMEOUT");
  const std::array<int64_t, 2> dims{3, 1};
  f.call.reshape(0, {dims.data(), 2});  // another table: not before the other end has let go
  f.x = doubles(f.call.input(0));
  f.x[2] = 4;
  CHECK(f.run(20 * kMillisecond) == "TIMEOUT");
  f.gate.open();
  CHECK(f.run(20000 * kMillisecond) == "OK");
  CHECK(doubles(f.call.output(0))[2] == 8);
}

TEST_CASE("a started run is over when its descriptor says so") {
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

TEST_CASE("a started run that nobody polls for can be waited for") {
  Fixture f(true);
  for (int round = 0; round < 100; ++round) {
    *f.x = round;
    f.call.start(5000 * kMillisecond);
    f.call.finish();
    CHECK(doubles(f.call.output(0))[0] == 2 * round);
  }
}

TEST_CASE("a lazy call connects when it runs, and one that may not wait starts without that only") {
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
  call.reshape(0, {dims.data(), 2});  // needs more room than the connection has
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
  CHECK(heir.try_start());  // over a connection that was left idle
  heir.finish();
  f.server.close();
  CHECK_FALSE(call.try_start());  // nobody is there
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "UNREACHABLE");
}

TEST_CASE("a start that may not wait is refused while the server holds on to an earlier run") {
  Fixture f(false);
  CHECK(f.run(5 * kMillisecond) == "TIMEOUT");
  CHECK_FALSE(f.call.try_start());
  f.gate.open();
  while (!f.call.try_start()) std::this_thread::yield();
  f.call.finish();
  CHECK(doubles(f.call.output(0))[0] == 42);
}

TEST_CASE("the deadline of a started run makes its descriptor readable, and so does the end of the other's work") {
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
  CHECK(f.finish(-1) == "NOT_RUN");  // it was taken; finish does not wait for another process
  CHECK_FALSE(is_readable(fd, 10));
  f.gate.open();
  CHECK(is_readable(fd, 20000));
  await_release(&f, fd);
  CHECK_FALSE(is_readable(fd, 0));
  CHECK(f.run(-1) == "OK");
  CHECK(doubles(f.call.output(0))[0] == 42);
}

TEST_CASE("a run is cancelled from another thread, waited for or polled for") {
  Fixture f(false);
  const int fd = f.fd();
  for (int round = 0; round < 4; ++round) {
    f.gate.close();
    f.call.start();
    std::thread other([&] {
      f.gate.await_someone();
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
    f.gate.await_someone();
    sidecall_call_cancel(f.call.get());
  });
  CHECK(f.run(-1) == "CANCELLED");
  other.join();
  sidecall_call_cancel(f.call.get());  // nothing runs
  f.gate.open();
  CHECK(f.run(-1) == "OK");
}

TEST_CASE("cancels at every moment end the run that is under way, and no other") {
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

TEST_CASE("a call is closed while the other end still works for it") {
  Fixture f(false);
  {
    Call second(f.model);
    second.input(0);
    second.start();
    f.gate.await_someone();
    Call third(f.model);
    third.input(0);
    CHECK(status(sidecall_call_run(third.get(), 5 * kMillisecond, error())) == "TIMEOUT");
  }
  f.gate.open();
  CHECK(f.run(-1) == "OK");
}

TEST_CASE("records as JSON have the model's deadline") {
  const std::string contract = R"({"format": 1, "model": {},
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

// ThreadSanitizer's builds have both ends on one mapping, which no other can take the place of: a large answer then says once that it moved.
#ifdef __SANITIZE_THREAD__
constexpr bool kAnswersMove = true;
#else
constexpr bool kAnswersMove = false;
#endif

TEST_CASE("every kind of call waits for a server that restarts, within its own deadline") {
  const std::string contract = R"({"format": 1, "model": {},
    "features": [{"name": "x", "type": "float64", "nullable": false, "input": "x", "column": 0}],
    "outputs": [{"name": "prediction", "role": "prediction", "type": "float64", "width": 1}]})";
  const std::string address = fresh_address();
  const auto serve_it = [&] { return std::make_unique<FunctionServer>(address, "", double_it, contract); };
  auto server = serve_it();
  sidecall::Options options;
  options.wait_ns = 20000 * kMillisecond;
  const Model model(address, options);
  options.timeout_ns = 50 * kMillisecond;
  const Model hasty(address, options);

  const auto finish = [](Call& call, int fd) {
    while (fd >= 0 ? !call.finish(0) : !call.finish(5 * kMillisecond))
      if (fd >= 0) REQUIRE(is_readable(fd, 20000));
  };
  const auto start_anyhow = [](Call& call) {
    if (!call.try_start(20000 * kMillisecond)) std::thread([&] { call.start(20000 * kMillisecond); }).join();
  };
  const std::vector<std::function<void(Call&)>> kinds = {
      [](Call& call) { call.run(); },
      [&](Call& call) {
        call.start(20000 * kMillisecond);
        finish(call, -1);
      },
      [&](Call& call) {
        const int fd = call.fd();
        call.start(20000 * kMillisecond);
        finish(call, fd);
      },
      [&](Call& call) {
        const int fd = call.fd();
        start_anyhow(call);
        finish(call, fd);
      },
  };
  for (const bool is_lazy : {false, true}) {
    for (const bool is_connected : {true, false}) {
      if (!is_lazy && !is_connected) continue;
      for (const auto& kind : kinds) {
        Call call = is_lazy ? Call::lazy(model) : Call(model);
        *doubles(call.input(0)) = 21;
        if (is_connected) call.run();
        server.reset();
        std::thread restart([&] {
          std::this_thread::sleep_for(std::chrono::milliseconds(50));
          server = serve_it();
        });
        CHECK_NOTHROW(kind(call));
        restart.join();
        CHECK(doubles(call.output(0))[0] == 42);
      }
    }
  }
  server.reset();
  std::thread restart([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    server = serve_it();
  });
  CHECK(model.predict_json("{\"x\": 2}") == "{\"prediction\":[4]}");
  restart.join();

  Call idle(model);
  Call lazy = Call::lazy(model);
  *doubles(idle.input(0)) = *doubles(lazy.input(0)) = 1;
  server.reset();
  const Stopwatch watch;
  for (Call* call : {&idle, &lazy}) {
    CHECK(status(sidecall_call_run(call->get(), 50 * kMillisecond, error())) == "UNREACHABLE");
    std::string outcome = status(sidecall_call_start(call->get(), 50 * kMillisecond, error()));
    if (outcome == "OK") outcome = status(sidecall_call_finish(call->get(), -1, error()));
    CHECK(outcome == "UNREACHABLE");
    std::thread other([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      call->cancel();
    });
    CHECK(status(sidecall_call_run(call->get(), -1, error())) == "CANCELLED");
    other.join();
  }
  sidecall_text* text = nullptr;
  CHECK(status(sidecall_predict_json(hasty.get(), "{\"x\": 1}", 8, &text, error())) == "UNREACHABLE");
  CHECK(watch.seconds() < 10);
}

TEST_CASE("a server that is started anew goes unnoticed, inputs and all") {
  const std::string address = fresh_address();
  auto server = std::make_unique<FunctionServer>(address, kDouble, double_it);
  const Model model(address);
  Call call(model), large(model);
  double* const x = doubles(call.input(0));
  x[0] = 4;
  const std::array<int64_t, 2> dims{1000, 10};
  large.reshape(0, {dims.data(), 2});
  doubles(large.input(0))[9999] = 5;
  for (int round = 0; round < 3; ++round) {
    call.run();
    CHECK(doubles(call.output(0))[0] == 8);
    if (kAnswersMove && round == 1) CHECK(status(sidecall_call_run(large.get(), -1, error())) == "PEER_DIED");
    large.run();
    CHECK(doubles(large.output(0))[9999] == 10);
    const sidecall_view y = large.output(0).get();
    server.reset();
    CHECK(static_cast<const double*>(y.data)[9999] == 10);  // memory of the dead, still readable
    CHECK(status(sidecall_call_run(call.get(), -1, error())) == "UNREACHABLE");
    server = std::make_unique<FunctionServer>(address, kDouble, double_it);
    CHECK(doubles(call.input(0)) == x);
  }
}

TEST_CASE("a call that cannot grow while nobody serves stays what it was") {
  const std::string address = fresh_address();
  auto server = std::make_unique<FunctionServer>(address, kDouble, double_it);
  const Model model(address);
  Call call(model, 2);
  double* const x = doubles(call.input(0));
  x[0] = 3, x[1] = 4;
  call.run();
  server.reset();
  CHECK(status(sidecall_call_resize(call.get(), 100000, error())) == "UNREACHABLE");
  const std::array<int64_t, 2> dims{2, 50000};
  CHECK(status(sidecall_call_reshape(call.get(), 0, dims.data(), 2, error())) == "UNREACHABLE");
  CHECK(call.rows() == 2);
  server = std::make_unique<FunctionServer>(address, kDouble, double_it);
  CHECK(doubles(call.input(0)) == x);
  call.run();
  CHECK(call.output(0).get().dims[0] == 2);
  CHECK(doubles(call.output(0))[1] == 8);
}

TEST_CASE("the id is that of the model that runs now, and old ones stay readable") {
  const std::string address = fresh_address();
  const auto serve_id = [&](char digit) {
    const std::string contract = R"({"format": 1, "model": {"id": ")" + std::string(64, digit) + R"("},
      "features": [{"name": "x", "type": "float64", "nullable": false, "input": "x", "column": 0}],
      "outputs": [{"name": "prediction", "role": "prediction", "type": "float64", "width": 1}]})";
    return std::make_unique<FunctionServer>(address, "", double_it, contract);
  };
  auto server = serve_id('a');
  const Model model(address);
  const char* const first = sidecall_model_id(model.get());
  CHECK(first == std::string(64, 'a'));
  server.reset();
  server = serve_id('b');
  CHECK(model.predict_json("{\"x\": 2}") == "{\"prediction\":[4]}");
  CHECK(sidecall_model_id(model.get()) == std::string(64, 'b'));
  CHECK(first == std::string(64, 'a'));
}

TEST_CASE("a server that comes back with another signature is not followed") {
  const std::string address = fresh_address();
  const auto serve_file = [&](const std::string& name) {
    sidecall_server* server = nullptr;
    const Model file(test_paths::model(name));
    REQUIRE(status(sidecall_server_open(address.c_str(), file.get(), nullptr, &server, error())) == "OK");
    return std::unique_ptr<sidecall_server, void (*)(sidecall_server*)>(server, sidecall_server_close);
  };
  auto server = serve_file("identity_float32.onnx");
  const Model model(address);
  const char* const first = sidecall_model_id(model.get());
  const std::string id = first;
  Call call(model);
  call.input(0);
  call.run();
  server.reset();
  server = serve_file("identity_int32.onnx");
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "CONTRACT_CHANGED");
  CHECK(last().retryable == 0);
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "CONTRACT_CHANGED");
  server.reset();
  server = serve_file("identity_float32.onnx");
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "OK");
  CHECK(sidecall_model_id(model.get()) == id);
  CHECK(first == id);
}

// ThreadSanitizer does not follow a child of a process with threads.
#ifndef __SANITIZE_THREAD__
TEST_CASE("a child of fork is told to open the model again, and harms nobody") {
  Fixture f(true);
  const int fd = f.fd();
  f.call.run();
  Call pending(f.model);
  pending.input(0);
  pending.start();
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    *f.x = -1;  // memory of the child alone
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
