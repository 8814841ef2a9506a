// Runs: deadlines, cancellation, asynchronous runs. None of them may affect the next run.
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <thread>
#include <vector>

#include "support.h"

using sidecall::Call;
using sidecall::Model;
using sidecall::Queue;
using support::error;
using support::is_busy;
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

sidecall_completion take_one(Queue* queue) {
  sidecall_completion one{};
  REQUIRE(queue->take({&one, 1}, 20000 * kMillisecond) == 1);
  return one;
}

}  // namespace

TEST_CASE("timeouts out of range are refused") {
  const Model model = support::open("add.onnx");
  Call call(model);
  Queue queue;
  support::give_x(call, {1, 2});
  for (const int64_t timeout : {int64_t{0}, int64_t{-2}, INT64_MIN}) {
    CHECK(status(sidecall_call_run(call.get(), timeout, error())) == "INVALID_ARGUMENT");
    CHECK(status(sidecall_queue_submit(queue.get(), call.get(), timeout, 0, nullptr, error())) ==
          "INVALID_ARGUMENT");
  }
  CHECK(status(sidecall_call_run(call.get(), INT64_MAX, error())) == "OK");
  CHECK(status(sidecall_call_run(call.get(), 3600LL * 1000 * kMillisecond, error())) == "OK");
  CHECK(status(sidecall_call_error(call.get(), error())) == "NOT_RUN");
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

TEST_CASE("the memory of a call belongs to the library until its completion is taken") {
  const Model model = support::open("slow.onnx");
  Call call(model, kWidth);
  Queue queue;
  support::give_rounds(call, 2000, kWidth);
  const uint64_t run = queue.submit(call);
  sidecall_view view = SIDECALL_VIEW_INIT;
  const int64_t dims[] = {1};
  double value = 0;
  CHECK(status(sidecall_call_input(call.get(), 0, &view, error())) == "BUSY");
  CHECK(last().retryable == 1);
  CHECK(status(sidecall_call_output(call.get(), 0, &view, error())) == "BUSY");
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "BUSY");
  CHECK(status(sidecall_call_resize(call.get(), 5, error())) == "BUSY");
  CHECK(status(sidecall_call_reshape(call.get(), 0, dims, 1, error())) == "BUSY");
  CHECK(status(sidecall_call_reset(call.get(), error())) == "BUSY");
  CHECK(status(sidecall_call_bind_output(call.get(), 0, nullptr, 0, error())) == "BUSY");
  CHECK(status(sidecall_call_get_f64(call.get(), 0, 0, &value, error())) == "BUSY");
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  // The run may be over, but its completion was not taken.
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "BUSY");
  CHECK(queue.wait(run));
  CHECK(call.output(0).size() == kWidth);
}

TEST_CASE("a thread that waits for a run returns when its time is over, or the run") {
  const Model model = support::open("slow.onnx");
  Call call(model, kWidth);
  Queue queue;
  support::give_rounds(call, 30000, kWidth);
  const uint64_t run = queue.submit(call);
  CHECK_FALSE(queue.wait(run, 0));
  const Stopwatch watch;
  CHECK_FALSE(queue.wait(run, 20 * kMillisecond));
  CHECK(watch.seconds() > 0.015);
  CHECK(queue.wait(run));
  require_runs(call);
}

TEST_CASE("the deadline of a run in a queue ends the wait for that run") {
  const Model model = support::open("slow.onnx");
  Call call(model, kWidth);
  Queue queue;
  for (int i = 0; i < 3; ++i) {
    support::give_rounds(call, kLong, kWidth);
    const Stopwatch watch;
    queue.submit(call, 40 * kMillisecond);
    const sidecall_completion one = take_one(&queue);
    CHECK(status(one.status) == "TIMEOUT");
    CHECK(watch.seconds() < 1.0);
    if (one.flags == SIDECALL_HELD) CHECK(take_one(&queue).flags == SIDECALL_RELEASED);
    require_runs(call);
  }
}

TEST_CASE("a run that ends early keeps its memory until the engine has ended it") {
  const Model model = support::open("slow.onnx");
  for (const bool is_cancelled : {false, true}) {
    Call call(model, kWidth);
    Queue queue;
    support::give_rounds(call, kLong, kWidth);
    const uint64_t run = queue.submit(call, is_cancelled ? -1 : 20 * kMillisecond);
    if (is_cancelled) queue.cancel(run);
    const std::string expected = is_cancelled ? "CANCELLED" : "TIMEOUT";
    const sidecall_completion one = take_one(&queue);
    CHECK(status(one.status) == expected);
    if (support::route() == "shm") CHECK(one.flags == 0);
    if (one.flags == SIDECALL_HELD) {
      CHECK(is_busy(call));
      const sidecall_completion two = take_one(&queue);
      CHECK((two.flags == SIDECALL_RELEASED && two.run == run && status(two.status) == expected));
    }
    CHECK_FALSE(is_busy(call));
    CHECK_THROWS_AS(call.check_outcome(), sidecall::Error);
    double value = 0;
    CHECK(status(sidecall_call_get_f64(call.get(), 0, 0, &value, error())) == "NOT_RUN");
    require_runs(call);
  }
}

TEST_CASE("another thread can cancel a run in a queue by its number or its call") {
  const Model model = support::open("slow.onnx");
  for (const bool is_by_number : {false, true}) {
    Call call(model, kWidth);
    Queue queue;
    support::give_rounds(call, kLong, kWidth);
    const uint64_t run = queue.submit(call);
    std::thread([&] { is_by_number ? queue.cancel(run) : call.cancel(); }).join();
    CHECK(status(take_one(&queue).status) == "CANCELLED");
  }
}

TEST_CASE("a call can be closed while its run is under way") {
  const Model model = support::open("slow.onnx");
  Queue queue;
  for (int i = 0; i < 20; ++i) {
    Call call(model, kWidth);
    support::give_rounds(call, kLong, kWidth);
    queue.submit(call);
    if (i % 2 == 1) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const Stopwatch watch;
  {
    auto last_model = std::make_unique<Model>(support::open("slow.onnx"));
    Call call(*last_model, kWidth);
    support::give_rounds(call, kLong, kWidth);
    queue.submit(call);
    last_model.reset();
  }
  CHECK(watch.seconds() < 2.0);
}

TEST_CASE("wrong inputs, wrong records and errors of the engine are outcomes") {
  const Model add = support::open("add.onnx"), kinds = support::open("kinds.onnx"),
              gather = support::open("gather.onnx");
  Call call(add), records(kinds), failing(gather);
  Queue queue;
  const auto outcome = [&](Call& one) {
    queue.submit(one);
    return status(take_one(&queue).status);
  };
  CHECK(outcome(call) == "MISSING_INPUT");
  records.set(0, 0, 1.0);
  CHECK(outcome(records) == "MISSING_VALUE");
  failing.input(0).as<int64_t>()[0] = 77;
  CHECK(outcome(failing) == "ENGINE");
  failing.input(0).as<int64_t>()[0] = 0;
  CHECK(outcome(failing) == "OK");
  CHECK(failing.get_f64(0, 0) == 5);
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
