// A route that is only a folder in engines/: nothing in the C ABI, the queue or sidecall.hpp knows
// it. The other languages open test:double too.
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "queue/queue_fixture.h"

using namespace support;
using sidecall::Call;
using sidecall::Model;

namespace {

Call call_of(const Model& model, float x) {
  Call call(model);
  *static_cast<float*>(call.input(0).get().data) = x;
  return call;
}

std::string open_status(const std::string& uri) {
  sidecall_model* model = nullptr;
  const sidecall_status failed = sidecall_model_open(uri.c_str(), nullptr, &model, error());
  sidecall_model_close(model);
  return status(failed);
}

float answer(Call& call) { return *static_cast<const float*>(call.output(0).get().data); }

}  // namespace

TEST_CASE("a model of a new route is opened, called and described") {
  const Model model("test:double");
  CHECK(sidecall_model_route(model.get()) == SIDECALL_ROUTE_OTHER_PROCESS);
  CHECK(std::string(sidecall_model_engine(model.get())) == "server 'test:double'");
  Call call(model);
  const std::array<float, 3> x{1, -2, 0.5F};
  const int64_t dims = 3;
  call.copy_input(0, sidecall::View::of<float>({x.data(), x.size()}, {&dims, 1}));
  call.run();
  const auto* const y = static_cast<const float*>(call.output(0).get().data);
  CHECK(std::vector<float>(y, y + 3) == std::vector<float>{2, -4, 1});
  // In memory of the caller.
  std::array<float, 3> out{};
  call.bind_input(0, sidecall::View::of<float>({x.data(), x.size()}, {&dims, 1}));
  call.bind_output(0, out.data(), sizeof out);
  call.run();
  CHECK(out == std::array<float, 3>{2, -4, 1});
}

TEST_CASE("addresses of a new route that its folder refuses are not taken for paths") {
  for (const char* uri : {"test:", "test:triple", "test:doubles", "test:double?", "test:double?x=1",
                          "test:double?run_ms=", "test:double?run_ms=-1", "test:double?run_ms=1x",
                          "test:double?run_ms=60001", "test:double?run_ms=1?open_ms=1"}) {
    CAPTURE(uri);
    CHECK(open_status(uri) == "INVALID_ARGUMENT");
  }
}

TEST_CASE("runs of a new route end with their deadline, or if they are cancelled") {
  const Model model("test:double?run_ms=60000");
  Call call = call_of(model, 1);
  CHECK(status(sidecall_call_run(call.get(), 20 * kMillisecond, error())) == "TIMEOUT");
  Queue queue;
  queue.submit(call.get(), 0, 20 * kMillisecond);
  CHECK(status(queue.take_one().status) == "TIMEOUT");
  const uint64_t run = queue.submit(call.get());
  CHECK(queue.take(20 * kMillisecond).empty());
  sidecall_queue_cancel(queue.get(), run);
  CHECK(status(queue.take_one().status) == "CANCELLED");
  queue.submit(call.get());  // closing the queue gives it up
}

TEST_CASE("a queue opens models of a new route, and many of its runs are under way at once") {
  Queue queue;
  uint64_t opening = 0;
  REQUIRE(sidecall_queue_open_model(queue.get(), "test:double?open_ms=30&run_ms=20", nullptr,
                                    20000 * kMillisecond, 7, nullptr, &opening,
                                    error()) == SIDECALL_OK);
  const sidecall_completion opened = queue.take_one(opening);
  REQUIRE(status(opened.status) == "OK");
  const Model model(opened.model);
  std::vector<Call> calls;
  for (int i = 0; i < 40; ++i) calls.push_back(call_of(model, static_cast<float>(i)));
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < calls.size(); ++i) queue.submit(calls[i].get(), i);
    std::set<uint64_t> seen;
    while (seen.size() < calls.size()) {
      for (const sidecall_completion& one : queue.take(20000 * kMillisecond)) {
        CHECK(status(one.status) == "OK");
        CHECK(seen.insert(one.tag).second);
        CHECK(answer(calls[one.tag]) == 2 * static_cast<float>(one.tag));
      }
    }
  }
}

// ThreadSanitizer does not support a forked child of a process with threads.
#ifndef __SANITIZE_THREAD__
TEST_CASE("a forked child cannot use a model of a new route that its parent opened") {
  const Model model("test:double?run_ms=50");
  auto call = std::make_unique<Call>(call_of(model, 1));
  Queue queue;
  queue.submit(call->get());
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    Call other = call_of(model, 1);
    const bool is_refused = status(sidecall_call_run(other.get(), -1, error())) == "FORKED";
    call.reset();
    _exit(is_refused && open_status("test:double") == "OK" ? 0 : 1);
  }
  int exit_status = -1;
  REQUIRE(waitpid(child, &exit_status, 0) == child);
  CHECK(exit_status == 0);
  CHECK(status(queue.take_one().status) == "OK");
}
#endif
