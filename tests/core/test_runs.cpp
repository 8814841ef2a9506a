// Runs that are cancelled at every moment: the outcome belongs to the run that was under way, never to the next.
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <thread>

#include "records_model.h"

using fake::status_of;

TEST_CASE("a cancel that comes late does not reach the next run") {
  fake::Engine engine;
  engine.outputs = {fake::tensor("y", SIDECALL_FLOAT32, {1})};
  sidecall::Signature signature;
  engine.sign(&signature);
  std::atomic<int> interrupts{0};
  engine.on_interrupt = [&] { ++interrupts; };
  sidecall::Call call(signature, engine, false, 1);

  std::atomic<bool> stop{false};
  std::thread canceller([&] {
    while (!stop) call.cancel();
  });
  int num_cancelled = 0, num_late = 0;
  for (int i = 0; i < 5000; ++i) {
    interrupts = 0;
    call.start(-1);
    const int32_t first = status_of([&] { call.finish(-1); });
    if (first == SIDECALL_CANCELLED) ++num_cancelled, num_late += interrupts == 0 ? 1 : 0;
    // Released before the engine let go: the outcome is still to be taken.
    while (status_of([&] { call.finish(-1); }) != SIDECALL_NOT_RUN) continue;
  }
  stop = true;
  canceller.join();
  CHECK(num_late == 0);
  CHECK(num_cancelled > 0);
}

TEST_CASE("deadlines of every length end each run once") {
  fake::Engine engine;
  engine.outputs = {fake::tensor("y", SIDECALL_FLOAT32, {1})};
  sidecall::Signature signature;
  engine.sign(&signature);
  sidecall::Call call(signature, engine, false, 1);
  for (int64_t timeout_ns = 1; timeout_ns < 2000; ++timeout_ns) {
    const int32_t status = status_of([&] { call.run(timeout_ns); });
    CHECK((status == SIDECALL_OK || status == SIDECALL_TIMEOUT));
  }
  call.run(-1);
}
