// Completion queues: models that are opened without waiting.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <cstddef>
#include <set>
#include <string>
#include <thread>

#include "queue_fixture.h"
#include "vectors/vector_case.h"

using namespace support;
using sidecall::Model;
using Clock = std::chrono::steady_clock;

namespace {

const std::string kFile = test_paths::model("slow.onnx");

struct Opening {
  sidecall_error error;
  uint64_t run = 0;

  Opening() { sidecall_error_init(&error); }
  // Returns the status of the function, not that of the opening.
  std::string begin(const Queue& queue, const std::string& uri, int64_t timeout_ns = -1,
                    uint64_t tag = 0, int64_t wait_ns = 0) {
    sidecall_model_options options;
    sidecall_model_options_init(&options);
    options.wait_ns = wait_ns;
    return status(sidecall_queue_open_model(queue.get(), uri.c_str(), &options, timeout_ns, tag,
                                            &error, &run, support::error()));
  }
  // Of a server that never comes.
  std::string begin_waiting(const Queue& queue, int64_t timeout_ns = -1) {
    return begin(queue, fresh_address(), timeout_ns, 0, 3000 * kMillisecond);
  }
};

int64_t milliseconds_since(Clock::time_point begin) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count();
}

}  // namespace

TEST_CASE("a queue opens models of each route beside runs") {
  Served served;
  Queue queue;
  sidecall::Call call = served.call(3);
  Opening local, shared;
  REQUIRE(local.begin(queue, kFile, -1, 1) == "OK");
  REQUIRE(shared.begin(queue, served.server.address(), 20000 * kMillisecond, 2) == "OK");
  CHECK(local.run != shared.run);
  queue.submit(call.get(), 3);
  std::set<uint64_t> tags;
  while (tags.size() < 3) {
    const sidecall_completion one = queue.take_one();
    CHECK(status(one.status) == "OK");
    CHECK(one.flags == 0);
    CHECK(tags.insert(one.tag).second);
    CHECK((one.model == nullptr) == (one.tag == 3));
    CHECK((one.call == nullptr) == (one.tag != 3));
    if (one.tag == 3) continue;
    CHECK(one.run == (one.tag == 1 ? local.run : shared.run));
    const Model model(one.model);
    CHECK(sidecall_model_route(model.get()) ==
          (one.tag == 1 ? SIDECALL_ROUTE_IN_PROCESS : SIDECALL_ROUTE_OTHER_PROCESS));
    CHECK(sidecall_model_num_inputs(model.get()) > 0);
  }
  CHECK(queue.take(0).empty());
}

TEST_CASE("a program in C++ opens a model without waiting") {
  sidecall::Queue queue;
  const uint64_t run = queue.open_model(kFile, {}, 20000 * kMillisecond, 5);
  sidecall_completion one{};
  REQUIRE(queue.take({&one, 1}) == 1);
  CHECK(one.run == run);
  CHECK(one.tag == 5);
  CHECK(Model(one.model).get() != nullptr);
  CHECK_THROWS_AS(queue.open_model(kFile, {}, 0), sidecall::Error);
}

TEST_CASE("the bytes of a model are copied and opened without waiting") {
  std::string bytes = vectors::read_file(kFile);
  sidecall::Queue queue;
  sidecall_error wrong;
  sidecall_error_init(&wrong);
  queue.open_bytes(bytes.data(), bytes.size(), {}, 20000 * kMillisecond, 1);
  std::fill(bytes.begin(), bytes.end(), '\0');
  queue.open_bytes(bytes.data(), bytes.size(), {}, -1, 2, &wrong);
  for (int i = 0; i < 2; ++i) {
    sidecall_completion one{};
    REQUIRE(queue.take({&one, 1}) == 1);
    CHECK(status(one.status) == (one.tag == 1 ? "OK" : "FILE_INVALID"));
    CHECK((one.model != nullptr) == (one.tag == 1));
    sidecall_model_close(one.model);
  }
  CHECK(status(wrong.status) == "FILE_INVALID");
  CHECK_THROWS_AS(queue.open_bytes(nullptr, 0), sidecall::Error);
  CHECK_THROWS_AS(queue.open_bytes(bytes.data(), bytes.size(), {}, 0), sidecall::Error);
}

TEST_CASE("a model that cannot be opened gives the error of sidecall_model_open") {
  Queue queue;
  Opening absent, unreachable;
  REQUIRE(absent.begin(queue, "/nowhere/model.onnx") == "OK");
  REQUIRE(unreachable.begin(queue, fresh_address()) == "OK");
  for (Opening* const each : {&absent, &unreachable}) {
    const sidecall_completion one = queue.take_one(each->run);
    CHECK(one.model == nullptr);
    CHECK(one.status == each->error.status);
  }
  CHECK(status(absent.error.status) == "FILE_NOT_FOUND");
  CHECK(std::string(absent.error.message).find("/nowhere/model.onnx") != std::string::npos);
  CHECK(status(unreachable.error.status) == "UNREACHABLE");
  // Without room for the error.
  REQUIRE(sidecall_queue_open_model(queue.get(), "/nowhere/model.onnx", nullptr, -1, 0, nullptr,
                                    nullptr, nullptr) == SIDECALL_OK);
  CHECK(status(queue.take_one().status) == "FILE_NOT_FOUND");
}

TEST_CASE("wrong arguments are refused at once, and no completion follows") {
  Queue queue(1);
  Opening opening;
  CHECK(opening.begin(queue, kFile, 0) == "INVALID_ARGUMENT");
  CHECK(opening.begin(queue, kFile, -2) == "INVALID_ARGUMENT");
  CHECK(opening.begin(queue, kFile, -1, 0, -7) == "INVALID_ARGUMENT");
  CHECK(opening.run == 0);
  CHECK(sidecall_queue_open_model(queue.get(), nullptr, nullptr, -1, 0, nullptr, nullptr,
                                  nullptr) == SIDECALL_INVALID_ARGUMENT);
  CHECK(sidecall_queue_open_model(nullptr, kFile.c_str(), nullptr, -1, 0, nullptr, nullptr,
                                  nullptr) == SIDECALL_INVALID_ARGUMENT);
  CHECK(queue.take(0).empty());
  REQUIRE(opening.begin(queue, kFile) == "OK");
  Opening other;
  CHECK(other.begin(queue, kFile) == "BUSY");
  sidecall_model_close(queue.take_one().model);
  REQUIRE(other.begin(queue, kFile) == "OK");
  sidecall_model_close(queue.take_one(other.run).model);
}

TEST_CASE("a deadline or a cancel ends the wait for a server that does not come") {
  const auto begin = Clock::now();
  Queue queue;
  Opening late, cancelled;
  REQUIRE(late.begin_waiting(queue, 20 * kMillisecond) == "OK");
  REQUIRE(cancelled.begin_waiting(queue) == "OK");
  CHECK(queue.take(0).empty());
  CHECK(status(queue.take_one().status) == "TIMEOUT");
  CHECK(status(late.error.status) == "TIMEOUT");
  CHECK(late.error.retryable == 1);
  sidecall_queue_cancel(queue.get(), cancelled.run);
  sidecall_queue_cancel(queue.get(), cancelled.run);
  CHECK(status(queue.take_one(cancelled.run).status) == "CANCELLED");
  CHECK(status(cancelled.error.status) == "CANCELLED");
  sidecall_queue_cancel(queue.get(), late.run);
  CHECK(queue.take(0).empty());
  CHECK(milliseconds_since(begin) < 2500);
}

TEST_CASE("a cancel after the model is open changes nothing") {
  Queue queue;
  Opening opening;
  REQUIRE(opening.begin(queue, kFile) == "OK");
  CHECK(queue.arm() <= 0);
  while (queue.arm() != 0) std::this_thread::yield();
  sidecall_queue_cancel(queue.get(), opening.run);
  const sidecall_completion one = queue.take_one();
  CHECK(status(one.status) == "OK");
  sidecall_model_close(one.model);
}

TEST_CASE("the handle of an armed queue becomes readable when a model is open, or too late") {
  Queue queue;
  const int handle = queue.handle();
  Opening opening;
  for (const bool is_late : {false, true}) {
    REQUIRE((is_late ? opening.begin_waiting(queue, 50 * kMillisecond)
                     : opening.begin(queue, kFile)) == "OK");
    if (queue.arm() == -1) CHECK(is_readable(handle, 20000));
    const sidecall_completion one = queue.take_one();
    CHECK(status(one.status) == (is_late ? "TIMEOUT" : "OK"));
    sidecall_model_close(one.model);
    CHECK(queue.take(0).empty());
    CHECK(queue.arm() == -1);
    CHECK_FALSE(is_readable(handle, 0));
  }
}

TEST_CASE("a thread that waits for its own model gets its completion, and others do not") {
  Queue queue;
  Opening own, other;
  REQUIRE(own.begin_waiting(queue) == "OK");
  sidecall_completion taken{};
  std::thread owner([&] { taken = queue.take_one(own.run); });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  REQUIRE(other.begin(queue, kFile) == "OK");
  const sidecall_completion one = queue.take_one();
  CHECK(one.run == other.run);
  sidecall_model_close(one.model);
  sidecall_queue_cancel(queue.get(), own.run);
  for (int i = 0; i < 100; ++i) CHECK(queue.take(0).empty());
  owner.join();
  CHECK(taken.run == own.run);
  CHECK(status(taken.status) == "CANCELLED");
}

TEST_CASE("closing a queue neither waits for a model that is being opened nor leaks one") {
  const auto begin = Clock::now();
  Opening waiting, open;
  for (int i = 0; i < 20; ++i) {
    Queue queue;
    REQUIRE(waiting.begin_waiting(queue) == "OK");
    REQUIRE(open.begin(queue, kFile) == "OK");
    if (i % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  CHECK(milliseconds_since(begin) < 2500);
}

TEST_CASE("a completion without room for the model closes it") {
  Queue queue;
  Opening opening;
  REQUIRE(opening.begin(queue, kFile) == "OK");
  alignas(sidecall_completion) unsigned char small[sizeof(sidecall_completion)] = {};
  int64_t count = 0;
  REQUIRE(sidecall_queue_take(queue.get(), 0, reinterpret_cast<sidecall_completion*>(small),
                              offsetof(sidecall_completion, model), 1, -1, &count,
                              nullptr) == SIDECALL_OK);
  CHECK(count == 1);
}

TEST_CASE("a forked child can open no model in the queue of its parent") {
  Queue queue;
  Opening opening;
  REQUIRE(opening.begin(queue, kFile) == "OK");
  const pid_t child = fork();
  if (child == 0) {
    const bool is_right = opening.begin(queue, kFile) == "FORKED";
    queue.close();
    _exit(is_right ? 0 : 1);
  }
  int status_of_child = -1;
  REQUIRE(waitpid(child, &status_of_child, 0) == child);
  CHECK(status_of_child == 0);
  sidecall_model_close(queue.take_one(opening.run).model);
}
