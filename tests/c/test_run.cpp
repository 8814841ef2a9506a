// Runs: deadlines, cancellation, asynchronous runs. None of them may affect the next run.
#include <poll.h>

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <thread>
#include <vector>

#include "support.h"

using sidecall::Call;
using sidecall::Model;
using support::error;
using support::kMillisecond;
using support::last;
using support::status;
using support::Stopwatch;

namespace {

// A number of rounds of slow.onnx that takes well over a second, and the width of its input.
constexpr int64_t kLong = 500000;
constexpr int64_t kWidth = 10000;

void require_runs(Call& call) {
  call.resize(kWidth);  // waits for an earlier run that was abandoned
  support::give_rounds(call, 1, kWidth);
  REQUIRE(status(sidecall_call_run(call.get(), -1, error())) == "OK");
  CHECK(call.output(0).as<float>()[0] > 0.52F);  // erf(0.5) = 0.5205
  CHECK(call.output(0).as<float>()[0] < 0.521F);
}

bool is_readable(int fd, int wait_ms) {
  pollfd one{fd, POLLIN, 0};
  return poll(&one, 1, wait_ms) == 1 && (one.revents & POLLIN) != 0;
}

}  // namespace

TEST_CASE("timeouts out of range are refused") {
  const Model model = support::open("add.onnx");
  Call call(model);
  support::give_x(call, {1, 2});
  for (const int64_t timeout : {int64_t{0}, int64_t{-2}, INT64_MIN}) {
    CHECK(status(sidecall_call_run(call.get(), timeout, error())) == "INVALID_ARGUMENT");
    CHECK(status(sidecall_call_start(call.get(), timeout, error())) == "INVALID_ARGUMENT");
  }
  CHECK(status(sidecall_call_run(call.get(), INT64_MAX, error())) == "OK");
  CHECK(status(sidecall_call_run(call.get(), 3600LL * 1000 * kMillisecond, error())) == "OK");
  CHECK(status(sidecall_call_finish(call.get(), 0, error())) == "NOT_RUN");
}

TEST_CASE("a deadline ends a long run, and the call stays usable") {
  const Model model = support::open("slow.onnx");
  Call call(model, kWidth);
  for (int i = 0; i < 3; ++i) {
    support::give_rounds(call, kLong, kWidth);
    const Stopwatch watch;
    CHECK(status(sidecall_call_run(call.get(), 50 * kMillisecond, error())) == "TIMEOUT");
    CHECK(last().retryable == 1);
    CHECK(watch.seconds() > 0.045);
    CHECK(watch.seconds() < 1.0);
    double value = 0;
    CHECK(status(sidecall_call_get_f64(call.get(), 0, 0, &value, error())) == "NOT_RUN");
    require_runs(call);
  }
}

TEST_CASE("a deadline that is not reached changes nothing") {
  const Model model = support::open("add.onnx");
  Call call(model);
  support::give_x(call, {1, 2});
  for (int i = 0; i < 2000; ++i)
    REQUIRE(status(sidecall_call_run(call.get(), 10000 * kMillisecond, error())) == "OK");
  CHECK(call.get_f64(0, 0) == 11);
}

// A deadline watcher that fires just after its run has ended must not end the next run, which has
// no deadline.
TEST_CASE("a late deadline never ends the next run") {
  const Model model = support::open("slow.onnx");
  Call call(model, 64);
  int ended = 0, completed = 0;
  for (int i = 0; i < 20000; ++i) {
    // The deadline varies over the time that a run takes.
    support::give_rounds(call, 20, 64);
    const std::string first =
        status(sidecall_call_run(call.get(), 1000 + (i % 200) * 500, error()));
    CHECK((first == "OK" || first == "TIMEOUT"));
    (first == "OK" ? completed : ended) += 1;
    support::give_rounds(call, 5, 64);
    REQUIRE(status(sidecall_call_run(call.get(), -1, error())) == "OK");
  }
  // Both outcomes must have occurred, otherwise the race was not tested.
  CHECK(ended > 0);
  CHECK(completed > 0);
}

TEST_CASE("strings of one run are not kept for the next") {
  // The engine's StringConcat appends to strings that are already there.
  const sidecall::Model model = support::open("strings.onnx");
  sidecall::Call call(model, 2);
  const int64_t offsets[] = {0, 1, 3};
  call.set_strings(0, "abb", {offsets, 3});
  call.set_strings(1, "xyy", {offsets, 3});
  for (int i = 0; i < 3; ++i) {
    call.run();
    CHECK(call.output(0).str(0) == "ax");
    CHECK(call.output(0).str(1) == "bbyy");
  }
}

TEST_CASE("another thread can cancel a run") {
  const Model model = support::open("slow.onnx");
  Call call(model, kWidth);
  support::give_rounds(call, kLong, kWidth);
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    call.cancel();
  });
  const Stopwatch watch;
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "CANCELLED");
  CHECK(last().retryable == 0);
  other.join();
  CHECK(watch.seconds() < 1.0);
  require_runs(call);
  // No run is in flight, so this cancels nothing, not even the next run.
  call.cancel();
  require_runs(call);
}

TEST_CASE("cancelling at any moment never affects a later run") {
  const Model model = support::open("slow.onnx");
  Call call(model, 64);
  std::atomic<bool> stop{false};
  std::atomic<int64_t> round{0};
  std::thread other([&] {
    while (!stop) {
      if (round.load() % 2 == 0) call.cancel();
    }
  });
  for (int i = 0; i < 3000; ++i) {
    round = 2 * i;
    support::give_rounds(call, 20, 64);
    const std::string answer = status(sidecall_call_run(call.get(), -1, error()));
    CHECK((answer == "OK" || answer == "CANCELLED"));
  }
  stop = true;
  other.join();
  require_runs(call);
}

TEST_CASE("a started run ends without further function calls of its caller") {
  const Model model = support::open("slow.onnx");
  Call call(model, kWidth);
  support::give_rounds(call, 2000, kWidth);
  const int32_t fd = call.fd();
  CHECK(fd >= 0);
  CHECK_FALSE(is_readable(fd, 0));
  call.start();
  // Until finish has taken the outcome, the memory belongs to the engine.
  sidecall_view view = SIDECALL_VIEW_INIT;
  const int64_t dims[] = {1};
  double value = 0;
  CHECK(status(sidecall_call_input(call.get(), 0, &view, error())) == "BUSY");
  CHECK(last().retryable == 1);
  CHECK(status(sidecall_call_output(call.get(), 0, &view, error())) == "BUSY");
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "BUSY");
  CHECK(status(sidecall_call_start(call.get(), -1, error())) == "BUSY");
  CHECK(status(sidecall_call_resize(call.get(), 5, error())) == "BUSY");
  CHECK(status(sidecall_call_reshape(call.get(), 0, dims, 1, error())) == "BUSY");
  CHECK(status(sidecall_call_reset(call.get(), error())) == "BUSY");
  CHECK(status(sidecall_call_bind_output(call.get(), 0, nullptr, 0, error())) == "BUSY");
  CHECK(status(sidecall_call_get_f64(call.get(), 0, 0, &value, error())) == "BUSY");
  CHECK(is_readable(fd, 10000));
  // The run is over, but its outcome was not taken.
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "BUSY");
  std::string answer;
  // If the run is in another process, the descriptor may become readable spuriously.
  do {
    REQUIRE(is_readable(fd, 10000));
    answer = status(sidecall_call_finish(call.get(), 0, error()));
  } while (answer == "PENDING");
  CHECK(answer == "OK");
  CHECK_FALSE(is_readable(fd, 0));
  CHECK(call.output(0).size() == kWidth);
  CHECK(status(sidecall_call_finish(call.get(), 0, error())) == "NOT_RUN");
  CHECK(call.fd() == fd);
}

TEST_CASE("finish polls, waits and returns the outcome") {
  const Model model = support::open("slow.onnx");
  Call call(model, kWidth);
  support::give_rounds(call, 30000, kWidth);
  call.start();
  CHECK(status(sidecall_call_finish(call.get(), 0, error())) == "PENDING");
  CHECK(last().status == SIDECALL_PENDING);
  CHECK(last().retryable == 1);
  CHECK(std::string(last().message) == "the started run has not ended yet: call finish again");
  CHECK(sidecall_call_is_busy(call.get()) == 1);
  const Stopwatch watch;
  CHECK(status(sidecall_call_finish(call.get(), 20 * kMillisecond, error())) == "PENDING");
  CHECK(watch.seconds() > 0.015);
  CHECK(status(sidecall_call_finish(call.get(), -2, error())) == "INVALID_ARGUMENT");
  CHECK(status(sidecall_call_finish(call.get(), -1, error())) == "OK");
  require_runs(call);
  int32_t fd = -1;
  support::give_rounds(call, 30000, kWidth);
  call.start();
  CHECK(status(sidecall_call_fd(call.get(), &fd, error())) == "BUSY");
  call.finish();
  CHECK(call.fd() >= 0);
}

TEST_CASE("a descriptor that is made during a run reports that run, even if it is over") {
  const Model model = support::open("slow.onnx");
  Call call(model, kWidth);
  const auto outcome = [&](int32_t fd) {
    std::string found = "PENDING";
    while (found == "PENDING") {  // in another process the descriptor is readable now and then
      REQUIRE(is_readable(fd, 20000));
      found = status(sidecall_call_finish(call.get(), 0, error()));
    }
    return found;
  };
  support::give_rounds(call, 30000, kWidth);
  call.start();
  CHECK(outcome(call.watch()) == "OK");
  call = Call(model, kWidth);
  support::give_rounds(call, 1, kWidth);
  call.start();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  CHECK(outcome(call.watch()) == "OK");
  CHECK(call.watch() == call.fd());
  support::give_rounds(call, kLong, kWidth);
  call.start();
  call.cancel();
  CHECK(outcome(call.watch()) == "CANCELLED");
}

TEST_CASE("the deadline of a started run ends the wait for that run") {
  const Model model = support::open("slow.onnx");
  Call call(model, kWidth);
  const int32_t fd = call.fd();
  for (int i = 0; i < 3; ++i) {
    support::give_rounds(call, kLong, kWidth);
    const Stopwatch watch;
    call.start(40 * kMillisecond);
    CHECK(is_readable(fd, 5000));
    CHECK(status(sidecall_call_finish(call.get(), -1, error())) == "TIMEOUT");
    CHECK(watch.seconds() < 1.0);
    require_runs(call);  // waits until the engine has released the call
    // If the run was in another process, its wake-up may arrive late.
    if (is_readable(fd, 0))
      CHECK(status(sidecall_call_finish(call.get(), 0, error())) == "NOT_RUN");
    CHECK_FALSE(is_readable(fd, 0));
  }
}

TEST_CASE("an event loop can reuse a call after a deadline without blocking") {
  const Model model = support::open("slow.onnx");
  Call call(model, kWidth);
  const int32_t fd = call.fd();
  support::give_rounds(call, kLong, kWidth);
  call.start(20 * kMillisecond);
  const Stopwatch watch;
  sidecall_view view = SIDECALL_VIEW_INIT;
  int num_outcomes = 0;
  do {
    REQUIRE(is_readable(fd, 5000));
    const std::string answer = status(sidecall_call_finish(call.get(), 0, error()));
    REQUIRE((answer == "PENDING" || answer == "TIMEOUT" || answer == "NOT_RUN"));
    num_outcomes += answer == "TIMEOUT" ? 1 : 0;
  } while ((num_outcomes == 0 || call.is_busy()) && watch.seconds() < 5);
  CHECK(num_outcomes == 1);
  CHECK_FALSE(call.is_busy());
  CHECK(status(sidecall_call_input(call.get(), 0, &view, error())) == "OK");
  require_runs(call);
}

TEST_CASE("an abandoned run keeps its memory until the engine has ended it, and has one outcome") {
  const Model model = support::open("slow.onnx");
  for (const bool is_cancelled : {false, true}) {
    Call call(model, kWidth);
    support::give_rounds(call, kLong, kWidth);
    call.start(is_cancelled ? -1 : 20 * kMillisecond);
    if (is_cancelled) call.cancel();
    CHECK(status(sidecall_call_finish(call.get(), -1, error())) ==
          (is_cancelled ? "CANCELLED" : "TIMEOUT"));
    const Stopwatch watch;
    while (call.is_busy() && watch.seconds() < 5) {
      CHECK(status(sidecall_call_finish(call.get(), 0, error())) == "NOT_RUN");
      std::this_thread::yield();
    }
    CHECK_FALSE(call.is_busy());
    CHECK(status(sidecall_call_finish(call.get(), -1, error())) == "NOT_RUN");
    double value = 0;
    CHECK(status(sidecall_call_get_f64(call.get(), 0, 0, &value, error())) == "NOT_RUN");
    require_runs(call);
  }
}

TEST_CASE("finish waits until the engine of this process has ended an abandoned run") {
  const Model model = support::open("slow.onnx");
  Call call(model, kWidth);
  support::give_rounds(call, kLong, kWidth);
  call.start(20 * kMillisecond);
  CHECK(status(sidecall_call_finish(call.get(), -1, error())) == "TIMEOUT");
  CHECK(status(sidecall_call_finish(call.get(), -1, error())) == "NOT_RUN");
  if (!support::is_shm()) CHECK_FALSE(call.is_busy());
}

TEST_CASE("a call is busy while it runs") {
  CHECK(sidecall_call_is_busy(nullptr) == 0);
  const Model model = support::open("slow.onnx");
  Call call(model, kWidth);
  CHECK_FALSE(call.is_busy());
  support::give_rounds(call, 2000, kWidth);
  call.start();
  CHECK(call.is_busy());
  CHECK(call.finish());
  CHECK_FALSE(call.is_busy());
  call.run();
  CHECK_FALSE(call.is_busy());
}

TEST_CASE("a started run can be cancelled") {
  const Model model = support::open("slow.onnx");
  Call call(model, kWidth);
  const int32_t fd = call.fd();
  support::give_rounds(call, kLong, kWidth);
  call.start();
  std::thread([&] { call.cancel(); }).join();
  CHECK(is_readable(fd, 5000));
  CHECK(status(sidecall_call_finish(call.get(), -1, error())) == "CANCELLED");
  require_runs(call);
}

TEST_CASE("closing a call waits for the engine") {
  const Model model = support::open("slow.onnx");
  for (int i = 0; i < 20; ++i) {
    Call call(model, kWidth);
    support::give_rounds(call, kLong, kWidth);
    call.start();
    if (i % 2 == 1) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const Stopwatch watch;
  {
    auto last_model = std::make_unique<Model>(support::open("slow.onnx"));
    Call call(*last_model, kWidth);
    support::give_rounds(call, kLong, kWidth);
    call.start();
    last_model.reset();
  }
  CHECK(watch.seconds() < 2.0);
}

TEST_CASE("start itself reports missing inputs and values, and finish reports engine errors") {
  const Model add = support::open("add.onnx"), kinds = support::open("kinds.onnx"),
              gather = support::open("gather.onnx");
  Call call(add), records(kinds), failing(gather);
  CHECK(status(sidecall_call_start(call.get(), -1, error())) == "MISSING_INPUT");
  records.set(0, 0, 1.0);
  CHECK(status(sidecall_call_start(records.get(), -1, error())) == "MISSING_VALUE");
  CHECK(status(sidecall_call_finish(records.get(), 0, error())) == "NOT_RUN");
  failing.input(0).as<int64_t>()[0] = 77;
  failing.start();
  CHECK(status(sidecall_call_finish(failing.get(), -1, error())) == "ENGINE");
  failing.input(0).as<int64_t>()[0] = 0;
  failing.start();
  failing.finish();
  CHECK(failing.get_f64(0, 0) == 5);
}

TEST_CASE("if more runs are started than the pool has threads, each ends or is refused with BUSY") {
  const Model model = support::open("slow.onnx");
  std::vector<Call> calls;
  for (int i = 0; i < 64; ++i) {
    calls.emplace_back(model, 100);
    support::give_rounds(calls.back(), 100, 100);
  }
  size_t started = 0;
  for (Call& call : calls) {
    const std::string answer = status(sidecall_call_start(call.get(), -1, error()));
    REQUIRE((answer == "OK" || answer == "BUSY"));
    started += answer == "OK" ? 1 : 0;
  }
  CHECK(started >= 2);
  for (Call& call : calls) {
    const std::string answer = status(sidecall_call_finish(call.get(), -1, error()));
    CHECK((answer == "OK" || answer == "NOT_RUN"));
  }
}

TEST_CASE("predict_json uses the timeout of the model") {
  sidecall::Options options;
  options.timeout_ns = 1;
  const Model model(test_paths::model("matrix.onnx"), options);
  std::string list = "[";
  for (int i = 0; i < 2000; ++i) list += std::string(i == 0 ? "" : ",") + R"({"c":true,"d":1})";
  list += "]";
  sidecall_text* text = nullptr;
  const std::string answer =
      status(sidecall_predict_json(model.get(), list.data(), list.size(), &text, error()));
  CHECK((answer == "TIMEOUT" || answer == "OK"));  // a run that completes late succeeds
  sidecall_text_close(text);
}

TEST_CASE("predict_json_within has a deadline of its own") {
  sidecall::Options options;
  options.timeout_ns = 1;
  const Model model(test_paths::model("matrix.onnx"), options);
  const std::string record = R"({"c":true,"d":1})";
  const auto predict = [&](int64_t timeout_ns) {
    sidecall_text* text = nullptr;
    const std::string answer = status(sidecall_predict_json_within(
        model.get(), record.data(), record.size(), timeout_ns, &text, error()));
    CHECK((text != nullptr) == (answer == "OK"));
    sidecall_text_close(text);
    return answer;
  };
  CHECK(predict(-1) == "OK");
  CHECK(predict(INT64_C(60) * 1000 * 1000 * 1000) == "OK");
  CHECK(predict(0) == "INVALID_ARGUMENT");
  CHECK(predict(-2) == "INVALID_ARGUMENT");
}
