// Completion queues, with local models and with models in other processes: outcomes, deadlines,
// threads and event loops.
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include "queue_fixture.h"

using namespace support;
using sidecall::Call;
using sidecall::Model;

namespace {

// Does what the header says of an event loop, until there are completions.
Completions run_loop(Queue* queue) {
  const Stopwatch watch;
  while (watch.seconds() < 20) {
    Completions taken = queue->take(0);
    const int64_t look_ns = queue->arm();
    if (!taken.empty()) return taken;
    if (look_ns < 0) CHECK(is_readable(queue->handle(), 20000));
  }
  return {};
}
}  // namespace

TEST_CASE("a run has one completion, with its tag, number, call and status") {
  Served served;
  const Model local(test_paths::model("add.onnx"));
  Call remote_call = served.call(21), local_call(local);
  give_x(local_call, {1, 2});
  Queue queue;
  std::map<uint64_t, sidecall_completion> seen;
  const uint64_t first = queue.submit(remote_call.get(), 7);
  const uint64_t second = queue.submit(local_call.get(), 8);
  CHECK(first != second);
  for (int i = 0; i < 2; ++i) {
    const sidecall_completion one = queue.take_one();
    seen[one.tag] = one;
  }
  REQUIRE(seen.size() == 2);
  CHECK((seen[7].run == first && seen[7].call == remote_call.get() && seen[7].flags == 0));
  CHECK((seen[8].run == second && seen[8].call == local_call.get() && seen[8].flags == 0));
  CHECK((seen[7].status == SIDECALL_OK && seen[8].status == SIDECALL_OK));
  CHECK(*doubles(remote_call.output(0)) == 42);
  CHECK(status(sidecall_call_error(remote_call.get(), error())) == "OK");
  CHECK(queue.take(0).empty());
}

TEST_CASE("a call can be submitted again and again") {
  Served served;
  Call call = served.call(0);
  Queue queue;
  for (int i = 0; i < 300; ++i) {
    *doubles(call.input(0)) = i;
    queue.submit(call.get(), static_cast<uint64_t>(i));
    const sidecall_completion one = queue.take_one();
    REQUIRE((one.status == SIDECALL_OK && one.tag == static_cast<uint64_t>(i)));
    REQUIRE(*doubles(call.output(0)) == 2 * i);
  }
}

TEST_CASE("many runs are under way at the same time, also more than may be started") {
  Served served;
  for (const int32_t max_started : {1, 3, 128}) {
    Queue queue(16384, max_started);
    std::vector<Call> calls;
    for (int i = 0; i < 40; ++i) calls.push_back(served.call(i));
    for (size_t i = 0; i < calls.size(); ++i) queue.submit(calls[i].get(), i);
    std::set<uint64_t> seen;
    while (seen.size() < calls.size()) {
      for (const sidecall_completion& one : queue.take(20000 * kMillisecond)) {
        CHECK(one.status == SIDECALL_OK);
        CHECK(seen.insert(one.tag).second);
        CHECK(*doubles(calls[one.tag].output(0)) == 2 * static_cast<double>(one.tag));
      }
    }
  }
}

TEST_CASE("wrong data are the outcome of the run, with all faults") {
  const Model model(test_paths::model("penguins.onnx"));
  Call call(model, 2);
  Queue queue;
  queue.submit(call.get(), 5);
  const sidecall_completion one = queue.take_one();
  CHECK(status(one.status) == "MISSING_INPUT");
  CHECK(status(sidecall_call_error(call.get(), error())) == "MISSING_INPUT");
  CHECK(std::string(last().message).find("expected") != std::string::npos);
  CHECK(status(sidecall_call_error(call.get(), nullptr)) == "MISSING_INPUT");
}

TEST_CASE("the error of a call without a completed run is NOT_RUN") {
  Served served(false);
  Call call = served.call(1);
  CHECK(status(sidecall_call_error(call.get(), error())) == "NOT_RUN");
  Queue queue;
  queue.submit(call.get());
  CHECK(status(sidecall_call_error(call.get(), error())) == "NOT_RUN");
  served.gate.open();
  CHECK(queue.take_one().status == SIDECALL_OK);
  CHECK(status(sidecall_call_error(call.get(), error())) == "OK");
}

TEST_CASE("a call that is under way is busy") {
  Served served(false);
  Call call = served.call(1);
  Queue queue, other;
  queue.submit(call.get());
  CHECK(other.try_submit(call.get(), -1, 0) == "BUSY");
  CHECK(queue.try_submit(call.get(), -1, 0) == "BUSY");
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "BUSY");
  CHECK(status(sidecall_call_reset(call.get(), error())) == "BUSY");
  CHECK(is_busy(call));
  served.gate.open();
  CHECK(queue.take_one().status == SIDECALL_OK);
  CHECK_FALSE(is_busy(call));
}

TEST_CASE("a full queue is busy until a completion is taken") {
  Served served;
  std::vector<Call> calls;
  for (int i = 0; i < 4; ++i) calls.push_back(served.call(i));
  Queue queue(3);
  for (size_t i = 0; i < 3; ++i) queue.submit(calls[i].get());
  CHECK(queue.try_submit(calls[3].get(), -1, 0) == "BUSY");
  CHECK_FALSE(is_busy(calls[3]));
  queue.take_one();
  queue.submit(calls[3].get());
  for (int i = 0; i < 3; ++i) CHECK(queue.take_one().status == SIDECALL_OK);
}

TEST_CASE("a cancelled run ends at once, and its number has no effect later") {
  Served served(false);
  Queue queue(16384, 2);
  std::vector<Call> calls;
  std::vector<uint64_t> runs;
  for (int i = 0; i < 4; ++i) {
    calls.push_back(served.call(i));
    runs.push_back(queue.submit(calls.back().get(), static_cast<uint64_t>(i)));
  }
  sidecall_queue_cancel(queue.get(), runs[3]);  // it waits for its turn
  CHECK(queue.take_one(runs[3]).status == SIDECALL_CANCELLED);
  sidecall_queue_cancel(queue.get(), runs[0]);
  const sidecall_completion one = queue.take_one(runs[0]);
  CHECK((one.status == SIDECALL_CANCELLED && one.flags == 0));
  *doubles(calls[0].input(0)) = 9;
  queue.submit(calls[0].get());
  for (const uint64_t run : runs) {
    if (run == runs[0] || run == runs[3]) sidecall_queue_cancel(queue.get(), run);
  }
  sidecall_queue_cancel(queue.get(), 0);
  sidecall_queue_cancel(queue.get(), UINT64_MAX);
  served.gate.open();
  for (int i = 0; i < 3; ++i) CHECK(queue.take_one().status == SIDECALL_OK);
  CHECK(*doubles(calls[0].output(0)) == 18);
}

TEST_CASE("deadlines are exact, also of runs that wait for their turn") {
  Served served(false);
  Queue queue(16384, 1);
  Call first = served.call(1), second = served.call(2);
  queue.submit(first.get(), 1, 60 * kMillisecond);
  queue.submit(second.get(), 2, 30 * kMillisecond);
  const Stopwatch watch;
  sidecall_completion one = queue.take_one();
  CHECK((one.tag == 2 && one.status == SIDECALL_TIMEOUT && one.flags == 0));
  CHECK(watch.seconds() >= 0.029);
  one = queue.take_one();
  CHECK((one.tag == 1 && one.status == SIDECALL_TIMEOUT && one.flags == 0));
  CHECK(watch.seconds() >= 0.059);
  CHECK_FALSE(is_busy(first));
  served.gate.open();
  queue.submit(first.get());
  CHECK(queue.take_one().status == SIDECALL_OK);
  CHECK(*doubles(first.output(0)) == 2);
}

TEST_CASE("the deadline of a run is noticed while the queue is armed") {
  Served served(false);
  Call call = served.call(1);
  Queue queue;
  queue.submit(call.get(), 3, 30 * kMillisecond);
  const Completions taken = run_loop(&queue);
  REQUIRE(taken.size() == 1);
  CHECK(taken[0].status == SIDECALL_TIMEOUT);
}

TEST_CASE("a local run whose deadline passes holds the memory until the engine is done") {
  const Model model(test_paths::model("slow.onnx"));
  Call call = slow_call(model, 100);
  Queue queue;
  const uint64_t run = queue.submit(call.get(), 4, 5 * kMillisecond);
  const sidecall_completion one = queue.take_one();
  CHECK((one.status == SIDECALL_TIMEOUT && one.run == run));
  if (one.flags != 0) {  // the engine had not ended yet
    CHECK(one.flags == SIDECALL_HELD);
    CHECK(queue.try_submit(call.get(), -1, 0) == "BUSY");
    CHECK(status(sidecall_call_error(call.get(), error())) == "TIMEOUT");
    const sidecall_completion two = queue.take_one(run);
    CHECK((two.status == SIDECALL_TIMEOUT && two.flags == SIDECALL_RELEASED && two.run == run));
  }
  CHECK_FALSE(is_busy(call));
  give_rounds(call, 1, 10);
  queue.submit(call.get());
  CHECK(queue.take_one().status == SIDECALL_OK);
}

TEST_CASE("a thread can wait for its own run") {
  Served served;
  const Model local(test_paths::model("add.onnx"));
  Queue queue;
  std::vector<std::thread> threads;
  std::atomic<int> num_right{0};
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      Call call = i % 2 == 0 ? served.call(i) : Call(local);
      if (i % 2 != 0) give_x(call, {1, 2});
      for (int round = 0; round < 100; ++round) {
        const auto tag = static_cast<uint64_t>(i * 1000 + round);
        const uint64_t run = queue.submit(call.get(), tag);
        const sidecall_completion one = queue.take_one(run);
        const bool is_right = one.tag == tag && one.status == SIDECALL_OK &&
                              (i % 2 != 0 || *doubles(call.output(0)) == 2 * i);
        if (is_right) ++num_right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(num_right == 800);
}

TEST_CASE("a thread that takes any completion leaves a run that another thread awaits") {
  Served served(false);
  Call awaited = served.call(1), any = served.call(2);
  Queue queue;
  const uint64_t run = queue.submit(awaited.get(), 1);
  std::vector<sidecall_completion> own, others;
  std::atomic<bool> has_owner{false};
  std::thread owner([&] {
    has_owner = true;
    own = queue.take(20000 * kMillisecond, run);
  });
  while (!has_owner || !served.gate.has_caller()) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));  // until the owner is in take()
  std::thread other([&] { others = queue.take(20000 * kMillisecond); });
  served.gate.open();
  owner.join();
  queue.submit(any.get(), 2);
  other.join();
  REQUIRE((own.size() == 1 && others.size() == 1));
  CHECK((own[0].tag == 1 && own[0].status == SIDECALL_OK));
  CHECK((others[0].tag == 2 && others[0].status == SIDECALL_OK));
}

TEST_CASE("waiting for a number that has no completion fails, or ends after wait_ns") {
  Served served(false);
  Call call = served.call(1);
  Queue queue;
  CHECK_THROWS(queue.take(0, 1));
  const uint64_t run = queue.submit(call.get());
  CHECK(queue.take(0, run).empty());
  CHECK(queue.take(2 * kMillisecond, run).empty());
  CHECK(queue.take(2 * kMillisecond).empty());
  served.gate.open();
  CHECK(queue.take_one(run).status == SIDECALL_OK);
  CHECK_THROWS(queue.take(0, run));
  CHECK(last().status == SIDECALL_NOT_RUN);
}

TEST_CASE("the handle is readable only after arm, and until take") {
  Served served(false);
  const Model local(test_paths::model("add.onnx"));
  Call remote_call = served.call(1), local_call(local);
  give_x(local_call, {1, 2});
  Queue queue;
  const int handle = queue.handle();
  queue.submit(local_call.get(), 1);
  const Stopwatch watch;
  while (queue.arm() < 0 && watch.seconds() < 20) CHECK(is_readable(handle, 20000));
  CHECK(queue.take_one().tag == 1);
  CHECK_FALSE(is_readable(handle, 0));
  queue.submit(local_call.get(), 2);
  CHECK(queue.take_one().tag == 2);  // it ended before arm
  CHECK_FALSE(is_readable(handle, 0));
  queue.submit(remote_call.get(), 3);
  served.await_caller(&queue);
  while (queue.arm() >= 0) CHECK(queue.take(0).empty());
  served.gate.open();
  CHECK(is_readable(handle, 20000));
  CHECK(is_readable(handle, 0));
  Completions taken = queue.take(20000 * kMillisecond);
  REQUIRE(taken.size() == 1);
  CHECK((taken[0].tag == 3 && taken[0].status == SIDECALL_OK));
}

TEST_CASE("an event loop serves local models and servers") {
  Served served;
  const Model local(test_paths::model("slow.onnx"));
  std::vector<Call> calls;
  for (int i = 0; i < 16; ++i) calls.push_back(i % 4 == 0 ? slow_call(local, 2) : served.call(i));
  Queue queue;
  size_t num_submitted = 0, num_taken = 0;
  for (; num_submitted < calls.size(); ++num_submitted)
    queue.submit(calls[num_submitted].get(), num_submitted);
  while (num_taken < 400) {
    const Completions taken = run_loop(&queue);
    REQUIRE_FALSE(taken.empty());
    for (const sidecall_completion& one : taken) {
      REQUIRE(one.status == SIDECALL_OK);
      ++num_taken;
      if (num_submitted++ < 400) queue.submit(calls[one.tag].get(), one.tag);
      else --num_submitted;
    }
    if (num_submitted >= 400 && num_taken == num_submitted) break;
  }
  CHECK(num_taken == 400);
}
