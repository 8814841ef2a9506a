// Runs that are cancelled at any moment: the cancellation affects the run in flight and never the
// next one.
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <cstring>
#include <future>
#include <thread>

#include "queued_call.h"
#include "records_model.h"

using fake::status_of;

TEST_CASE("a late cancel does not affect the next run") {
  fake::Engine engine;
  engine.outputs = {fake::tensor("y", SIDECALL_DTYPE_FLOAT32, {1})};
  sidecall::Signature signature;
  engine.sign(&signature);
  std::atomic<int> interrupts{0};
  engine.on_interrupt = [&] { ++interrupts; };
  sidecall::Call call(signature, engine, false, 1);
  fake::QueuedCall queued(&call);

  std::atomic<bool> stop{false};
  std::thread canceller([&] {
    while (!stop) call.cancel();
  });
  int num_cancelled = 0, num_late = 0;
  for (int i = 0; i < 5000; ++i) {
    interrupts = 0;
    queued.start(-1);
    const int32_t first = status_of([&] { queued.finish(-1); });
    if (first == SIDECALL_CANCELLED) ++num_cancelled, num_late += interrupts == 0 ? 1 : 0;
    // A second completion follows when the engine has released the memory.
    while (status_of([&] { queued.finish(-1); }) != SIDECALL_NOT_RUN) continue;
  }
  stop = true;
  canceller.join();
  CHECK(num_late == 0);
  CHECK(num_cancelled > 0);
}

TEST_CASE("runs with deadlines of at most two microseconds end with OK or TIMEOUT") {
  fake::Engine engine;
  engine.outputs = {fake::tensor("y", SIDECALL_DTYPE_FLOAT32, {1})};
  sidecall::Signature signature;
  engine.sign(&signature);
  sidecall::Call call(signature, engine, false, 1);
  for (int64_t timeout_ns = 1; timeout_ns < 2000; ++timeout_ns) {
    const int32_t status = status_of([&] { call.run(timeout_ns); });
    CHECK((status == SIDECALL_OK || status == SIDECALL_TIMEOUT));
  }
  call.run(-1);
}

TEST_CASE(
    "closing a call does not wait for an engine that cannot be interrupted, and the call's memory "
    "is kept until the engine returns") {
  fake::Engine engine;
  engine.inputs = {fake::tensor("x", SIDECALL_DTYPE_FLOAT32, {4})};
  engine.outputs = {fake::tensor("y", SIDECALL_DTYPE_FLOAT32, {4})};
  sidecall::Signature signature;
  engine.sign(&signature);
  std::promise<void> began, may_end, is_gone;
  engine.on_run = [&](fake::Context& context) {
    began.set_value();
    may_end.get_future().wait();
    // AddressSanitizer checks this access.
    std::memset(context.outputs[0].data, 1, context.outputs[0].capacity);
    return sidecall::Outcome::kDone;
  };
  struct Owned {
    Owned(const sidecall::Signature& its_signature, const fake::Engine& its_engine,
          std::promise<void>* gone)
        : call(its_signature, its_engine, false, 1), is_gone(gone) {}
    sidecall::Call call;
    fake::QueuedCall queued{&call};
    std::promise<void>* is_gone;
  };
  auto* owned = new Owned(signature, engine, &is_gone);
  sidecall_view view = SIDECALL_VIEW_INIT;
  owned->call.view_input(0, &view);
  owned->queued.start(-1);
  began.get_future().wait();
  const auto dispose = [](void* context) {
    auto* left = static_cast<Owned*>(context);
    std::promise<void>* const gone = left->is_gone;
    delete left;
    gone->set_value();
  };
  owned->queued.detach();
  REQUIRE(owned->call.leave_to_worker(dispose, owned));
  may_end.set_value();
  is_gone.get_future().wait();
}

TEST_CASE("leave_to_worker refuses a call that is idle or has bound memory") {
  fake::Engine engine;
  engine.inputs = {fake::tensor("x", SIDECALL_DTYPE_FLOAT32, {4})};
  engine.outputs = {fake::tensor("y", SIDECALL_DTYPE_FLOAT32, {4})};
  sidecall::Signature signature;
  engine.sign(&signature);
  std::promise<void> began, may_end;
  engine.on_run = [&](fake::Context&) {
    began.set_value();
    may_end.get_future().wait();
    return sidecall::Outcome::kDone;
  };
  const auto dispose = [](void*) { std::abort(); };
  alignas(16) float memory[4] = {1, 2, 3, 4};
  const int64_t dims[] = {4};
  sidecall_view view = SIDECALL_VIEW_INIT;
  view.dtype = SIDECALL_DTYPE_FLOAT32;
  view.rank = 1;
  view.dims = dims;
  view.data = memory;
  view.data_bytes = sizeof memory;
  sidecall::Call call(signature, engine, false, 1);
  CHECK(!call.leave_to_worker(dispose, nullptr));
  SECTION("an input") { call.set_input(0, view, true); }
  SECTION("an output") {
    call.set_input(0, view, false);
    call.bind_output(0, memory, sizeof memory);
  }
  fake::QueuedCall queued(&call);
  queued.start(-1);
  began.get_future().wait();
  CHECK(!call.leave_to_worker(dispose, nullptr));
  may_end.set_value();
  CHECK(status_of([&] { queued.finish(-1); }) == SIDECALL_OK);
}
