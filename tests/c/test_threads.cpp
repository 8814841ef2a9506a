// Many threads: one model with a call per thread, one call shared by mistake, concurrent opens, and
// fork. Runs under ThreadSanitizer too.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <thread>
#include <vector>

#include "support.h"

using sidecall::Call;
using sidecall::Model;
using support::status;

namespace {

// Catch2's macros may be used by one thread only. The threads therefore count their outcomes, and
// the test checks the counts after the threads have ended.
template <typename Body>
void in_threads(int count, Body body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back(body, i);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

TEST_CASE("many threads can use one model") {
  const Model model = support::open("matrix.onnx");
  std::atomic<int> right{0};
  in_threads(8, [&](int id) {
    Call call(model);
    for (int i = 0; i < 500; ++i) {
      call.set(0, 0, id);
      call.set(0, 2, i % 2 == 0);
      call.set(0, 3, i);
      call.run();
      const double expected = id - 10 + (i % 2 == 0 ? 100 : 0) + 1000.0 * i;
      const std::string text = model.predict_json(R"({"a":)" + std::to_string(id) +
                                                  R"(,"c":true,"d":)" + std::to_string(i) + "}");
      if (call.get_f64(0, 0) == expected &&
          text == R"({"prediction":)" + std::to_string(id - 10 + 100 + 1000 * i) + "}")
        ++right;
    }
  });
  CHECK(right == 8 * 500);
}

TEST_CASE(
    "each run of a call that several threads use at the same time succeeds or fails with BUSY") {
  const Model model = support::open("slow.onnx");
  Call call(model, 64);
  support::give_rounds(call, 50, 64);
  std::atomic<int> done{0}, busy{0}, other{0};
  in_threads(4, [&](int) {
    for (int i = 0; i < 500; ++i) {
      const sidecall_status answer = sidecall_call_run(call.get(), -1, nullptr);
      (answer == SIDECALL_OK ? done : answer == SIDECALL_BUSY ? busy : other) += 1;
    }
  });
  CHECK(done > 0);
  CHECK(other == 0);
  CHECK(done + busy == 4 * 500);
  support::give_rounds(call, 1, 64);
  call.run();
}

TEST_CASE("many threads can open models at the same time") {
  std::atomic<int> opened{0}, refused{0};
  in_threads(8, [&](int id) {
    const char* names[] = {"add.onnx", "matrix.onnx", "kinds.onnx", "verification/first_row.onnx"};
    for (int i = 0; i < 10; ++i) {
      sidecall_model* model = nullptr;
      const sidecall_status answer = sidecall_model_open(
          test_paths::model(names[(id + i) % 4]).c_str(), nullptr, &model, nullptr);
      if (answer == SIDECALL_OK) ++opened;
      if (answer == SIDECALL_VERIFICATION_FAILED && model == nullptr) ++refused;
      sidecall_model_close(model);
    }
  });
  CHECK(opened == 60);
  CHECK(refused == 20);
}

TEST_CASE("errors of threads do not mix") {
  const Model model = support::open("kinds.onnx");
  std::atomic<int> right{0};
  in_threads(4, [&](int id) {
    const std::string name = "feature_" + std::to_string(id);
    const std::string json =
        R"({"f32_must":1,"f64_must":1,"i64_must":1,"flag_must":true,"word_must":"a",")" + name +
        "\": 1}";
    for (int i = 0; i < 300; ++i) {
      sidecall_error error = SIDECALL_ERROR_INIT;
      sidecall_text* text = nullptr;
      if (sidecall_predict_json(model.get(), json.data(), json.size(), &text, &error) ==
              SIDECALL_UNKNOWN_NAME &&
          error.name == name)
        ++right;
    }
  });
  CHECK(right == 4 * 300);
}

TEST_CASE("runs that many threads submit to a queue all end") {
  const Model model = support::open("slow.onnx");
  sidecall::Queue queue;
  const auto take = [&](uint64_t run, sidecall_completion* one) {
    int64_t count = 0;
    if (sidecall_queue_take(queue.get(), run, one, sizeof *one, 1, -1, &count, nullptr) != 0)
      one->status = SIDECALL_INTERNAL;
  };
  std::atomic<int> done{0}, other{0};
  in_threads(4, [&](int id) {
    Call call(model, 64);
    for (int i = 0; i < 100; ++i) {
      support::give_rounds(call, 20, 64);
      sidecall_completion one{};
      const uint64_t run = queue.submit(call, i % 3 == 0 ? 1000000000 : -1);
      if (i % 5 == id) call.cancel();
      take(run, &one);
      const sidecall_status answer = one.status;
      if (one.flags == SIDECALL_HELD) take(run, &one);
      (answer == SIDECALL_OK || answer == SIDECALL_CANCELLED ? done : other) += 1;
    }
  });
  CHECK(other == 0);
  CHECK(done == 400);
}

// ThreadSanitizer does not support a forked child of a process with threads.
#ifndef __SANITIZE_THREAD__
TEST_CASE("a forked child can use and close models") {
  // The model runs in process. test_shm_runs.cpp tests forks with models of servers.
  const Model model(test_paths::model("matrix.onnx"));
  Call call(model);
  const auto use = [](Call* one, const Model& other) {
    one->set(0, 2, true);
    one->set(0, 3, 2.0);
    one->run();
    return one->get_f64(0, 0) == 2089 &&
           other.predict_json(R"({"c":true,"d":2})") == R"({"prediction":2089})";
  };
  REQUIRE(use(&call, model));
  const pid_t child = fork();
  if (child == 0) {
    bool right = use(&call, model);
    {
      const Model again(test_paths::model("kinds.onnx"));
      Call second(model);
      right = right && use(&second, model);
      Call third(std::move(call));
      // The threads of the pool exist only in the parent, so the child starts its own.
      sidecall::Queue queue;
      right = right && queue.wait(queue.submit(third, 5000000000));
    }
    _exit(right ? 0 : 1);
  }
  int result = -1;
  REQUIRE(waitpid(child, &result, 0) == child);
  CHECK(result == 0);
  CHECK(use(&call, model));
}

// The allocator of AddressSanitizer has a lock, which a child that is forked while another thread
// allocates may find locked.
#ifndef __SANITIZE_ADDRESS__
TEST_CASE("a child that is forked while other threads open files can open files") {
  const auto use = [] {
    const Model model(test_paths::model("matrix.onnx"));
    return model.predict_json(R"({"c":true,"d":2})") == R"({"prediction":2089})";
  };
  std::atomic<bool> is_over{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i)
    threads.emplace_back([&] {
      while (!is_over) wrong += use() ? 0 : 1;
    });
  int bad_children = 0;
  for (int i = 0; i < 50; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);  // a child that waits for a mutex of a thread of the parent ends here
      _exit(use() ? 0 : 1);
    }
    int result = -1;
    if (waitpid(child, &result, 0) != child || result != 0) ++bad_children;
  }
  is_over = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(bad_children == 0);
}
#endif

TEST_CASE("a run that is pending in the parent is not pending in a forked child") {
  const Model model = support::open("slow.onnx");
  Call call(model, 10000);
  support::give_rounds(call, 20000, 10000);
  sidecall::Queue queue;
  const uint64_t run = queue.submit(call);
  const pid_t child = fork();
  if (child == 0) {
    // Closing must not wait for a thread that does not exist in the child.
    alarm(10);
    const sidecall_status answer = sidecall_call_error(call.get(), nullptr);
    {
      const Call closing = std::move(call);
    }
    _exit(answer == SIDECALL_OK ? 1 : 0);
  }
  CHECK(queue.wait(run));
  int result = -1;
  REQUIRE(waitpid(child, &result, 0) == child);
  CHECK(result == 0);
}
#endif
