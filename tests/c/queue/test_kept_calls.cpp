// Calls that a model keeps for their next user, the routes of models, and how long runs will take.
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <set>
#include <thread>
#include <vector>

#include "queue_fixture.h"

using namespace support;
using sidecall::Call;
using sidecall::Model;

namespace {

sidecall_call* take(const Model& model, int64_t rows = 1) {
  sidecall_call* call = nullptr;
  if (sidecall_model_take_call(model.get(), rows, &call, error()) != SIDECALL_OK)
    throw std::runtime_error(last().message);
  return call;
}

void give(const Model& model, sidecall_call* call) { sidecall_model_give_call(model.get(), call); }

std::string run(sidecall_call* call) { return status(sidecall_call_run(call, -1, error())); }

sidecall_view view_of(int32_t dtype, const std::vector<int64_t>& dims, const void* data,
                      size_t bytes) {
  sidecall_view view = SIDECALL_VIEW_INIT;
  view.dtype = dtype;
  view.rank = static_cast<int32_t>(dims.size());
  view.dims = dims.data();
  view.data = const_cast<void*>(data);
  view.data_bytes = bytes;
  return view;
}

// The input of add.onnx, [N,2] float32.
void give_pairs(sidecall_call* call, const std::vector<float>& x) {
  const std::vector<int64_t> dims{static_cast<int64_t>(x.size() / 2), 2};
  const sidecall_view view =
      view_of(SIDECALL_DTYPE_FLOAT32, dims, x.data(), x.size() * sizeof(float));
  REQUIRE(status(sidecall_call_copy_input(call, 0, &view, error())) == "OK");
}

// A run of slow.onnx that takes a minute.
void give_minute(sidecall_call* call) {
  const std::vector<float> x(10000, 0.5F);
  const std::vector<int64_t> dims{10000}, none;
  const int64_t rounds = 10'000'000;
  const sidecall_view values = view_of(SIDECALL_DTYPE_FLOAT32, dims, x.data(), 40000);
  const sidecall_view number = view_of(SIDECALL_DTYPE_INT64, none, &rounds, sizeof rounds);
  REQUIRE(status(sidecall_call_copy_input(call, 0, &values, error())) == "OK");
  REQUIRE(status(sidecall_call_copy_input(call, 1, &number, error())) == "OK");
}

}  // namespace

TEST_CASE("a call that was given back has nothing of its last user") {
  const Model model(test_paths::model("add.onnx"));
  sidecall_call* const call = take(model);
  give_pairs(call, {1, 2});
  REQUIRE(run(call) == "OK");
  give(model, call);
  CHECK(take(model) == call);
  CHECK(run(call) == "MISSING_INPUT");
  sidecall_view view = SIDECALL_VIEW_INIT;
  REQUIRE(status(sidecall_call_input(call, 0, &view, error())) == "OK");
  CHECK(*static_cast<const float*>(view.data) == 0);
  sidecall_call_reset(call, nullptr);
  CHECK(status(sidecall_call_get_f64(call, 0, 0, nullptr, error())) != "OK");
  CHECK(status(sidecall_call_error(call, error())) == "NOT_RUN");
  give(model, call);
}

TEST_CASE("the faults of the last user of a call are gone") {
  const Model model(test_paths::model("penguins.onnx"));
  sidecall_call* const call = take(model);
  REQUIRE(status(sidecall_call_set_str(call, 0, 2, "no number", 9, error())) != "OK");
  give(model, call);
  CHECK(take(model) == call);
  sidecall_call_clear(call, nullptr);
  sidecall_call_run(call, -1, error());
  CHECK(std::string(last().message).find("no number") == std::string::npos);
  give(model, call);
}

TEST_CASE("a call that is kept gets the number of rows of its next user") {
  const Model model(test_paths::model("add.onnx"));
  sidecall_call* call = take(model, 3);
  give_pairs(call, {1, 2, 3, 4, 5, 6});
  REQUIRE(run(call) == "OK");
  give(model, call);
  REQUIRE(take(model, 2) == call);
  CHECK(sidecall_call_rows(call) == 2);
  give_pairs(call, {1, 2, 3, 4});
  CHECK(run(call) == "OK");
  give(model, call);
  sidecall_call* none = call;
  CHECK(status(sidecall_model_take_call(model.get(), 0, &none, error())) == "INVALID_ARGUMENT");
  CHECK(none == nullptr);
  CHECK(status(sidecall_model_take_call(nullptr, 1, &none, error())) == "INVALID_ARGUMENT");
  CHECK(status(sidecall_model_take_call(model.get(), 1, nullptr, error())) == "INVALID_ARGUMENT");
}

TEST_CASE("a call that uses memory of the caller is not kept") {
  const Model model(test_paths::model("add.onnx"));
  sidecall_call* const call = take(model);
  std::vector<float> pair{1, 2};
  const std::vector<int64_t> dims{1, 2};
  const sidecall_view view = view_of(SIDECALL_DTYPE_FLOAT32, dims, pair.data(), 8);
  REQUIRE(status(sidecall_call_bind_input(call, 0, &view, error())) == "OK");
  REQUIRE(run(call) == "OK");
  give(model, call);
  pair.assign(2, 0);
  sidecall_call* const other = take(model);
  CHECK(run(other) == "MISSING_INPUT");
  give(model, other);
}

TEST_CASE("a model keeps at most 128 calls") {
  const Model model(test_paths::model("add.onnx"));
  std::vector<sidecall_call*> calls;
  for (int i = 0; i < 200; ++i) calls.push_back(take(model));
  const std::set<sidecall_call*> distinct(calls.begin(), calls.end());
  CHECK(distinct.size() == 200);
  for (sidecall_call* call : calls) give(model, call);
  // The sanitizers check that the others were closed, and that the model closes these.
  for (sidecall_call*& call : calls) call = take(model);
  for (sidecall_call* call : calls) give(model, call);
}

TEST_CASE("a call that is under way is given back at once, and nothing of it is taken") {
  for (const bool is_local : {true, false}) {
    Served served(false);
    const Model slow(test_paths::model("slow.onnx"));
    const Model& model = is_local ? slow : served.model;
    Queue queue;
    for (int i = 0; i < 20; ++i) {
      sidecall_call* const call = take(model);
      if (is_local) {
        give_minute(call);
      } else {
        sidecall_view view = SIDECALL_VIEW_INIT;
        REQUIRE(status(sidecall_call_input(call, 0, &view, error())) == "OK");
        *static_cast<double*>(view.data) = i;
      }
      queue.submit(call, 1);
      give(model, call);
    }
    CHECK(queue.take(0).empty());
    served.gate.open();
    CHECK(queue.take(20 * kMillisecond).empty());
  }
}

TEST_CASE("many threads take and give calls of one model") {
  const Model model(test_paths::model("add.onnx"));
  std::vector<std::thread> threads;
  std::atomic<int> num_wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        sidecall_call* call = nullptr;
        sidecall_model_take_call(model.get(), 1 + (i + t) % 3, &call, nullptr);
        sidecall_view view = SIDECALL_VIEW_INIT;
        if (sidecall_call_input(call, 0, &view, nullptr) != SIDECALL_OK) ++num_wrong;
        auto* data = static_cast<float*>(view.data);
        for (uint64_t k = 0; k < view.data_bytes / 4; ++k) data[k] = static_cast<float>(i);
        if (sidecall_call_run(call, -1, nullptr) != SIDECALL_OK) ++num_wrong;
        sidecall_view out = SIDECALL_VIEW_INIT;
        sidecall_call_output(call, 0, &out, nullptr);
        if (*static_cast<const float*>(out.data) != 10 + static_cast<float>(i)) ++num_wrong;
        sidecall_model_give_call(model.get(), call);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(num_wrong == 0);
}

TEST_CASE("calls outlive their model, and a call of another model is closed") {
  const Model other(test_paths::model("add.onnx"));
  sidecall_call* call = nullptr;
  {
    const Model model(test_paths::model("add.onnx"));
    call = take(model);
    give(other, take(model));
  }
  give_pairs(call, {1, 2});
  CHECK(run(call) == "OK");
  sidecall_call_close(call);
  sidecall_model_give_call(nullptr, take(other));
  sidecall_model_give_call(other.get(), nullptr);
}

TEST_CASE("a child of fork() has kept calls of its own") {
  const Model model(test_paths::model("add.onnx"));
  sidecall_call* const kept = take(model);
  sidecall_call* const taken = take(model);
  give(model, kept);
  const pid_t child = fork();
  if (child == 0) {
    sidecall_call* const mine = take(model);
    const bool is_new = mine != kept && mine != taken;
    give(model, mine);
    give(model, taken);
    _exit(is_new ? 0 : 1);
  }
  int ended = 0;
  REQUIRE(waitpid(child, &ended, 0) == child);
  CHECK(ended == 0);
  CHECK(take(model) == kept);
  give(model, kept);
  give(model, taken);
}

TEST_CASE("a model tells where its runs happen") {
  const Served served;
  CHECK(sidecall_model_route(Model(test_paths::model("add.onnx")).get()) ==
        SIDECALL_ROUTE_IN_PROCESS);
  CHECK(sidecall_model_route(served.model.get()) == SIDECALL_ROUTE_OTHER_PROCESS);
  CHECK(sidecall_model_route(nullptr) == 0);
}

TEST_CASE("how long a run takes is learned from runs of its size") {
  const Model model(test_paths::model("add.onnx"));
  Queue queue;
  Call small(model), large(model, 1000);
  const auto expected = [](const Call& call) { return sidecall_call_expected_ns(call.get()); };
  CHECK(expected(small) == INT64_MAX);
  give_x(small, {1, 2});
  queue.submit(small.get());
  CHECK(queue.take_one().status == SIDECALL_OK);
  CHECK((expected(small) > 0 && expected(small) < INT64_MAX));
  CHECK(expected(large) == INT64_MAX);
  CHECK(expected(Call(model)) == expected(small));
  for (int i = 0; i < 64; ++i) {
    give_x(large, std::vector<float>(2000, 1));
    REQUIRE(run(large.get()) == "OK");
  }
  CHECK(expected(large) < INT64_MAX);
  CHECK(sidecall_call_expected_ns(nullptr) == INT64_MAX);
}

TEST_CASE("how long a run of another process takes is not known") {
  Served served;
  Call call = served.call(1);
  Queue queue;
  for (int i = 0; i < 70; ++i) {
    queue.submit(call.get());
    REQUIRE(queue.take_one().status == SIDECALL_OK);
    REQUIRE(run(call.get()) == "OK");
  }
  CHECK(sidecall_call_expected_ns(call.get()) == INT64_MAX);
}

TEST_CASE("runs that wait for their turn use the connections of those that have ended") {
  const char* const signature =
      R"({"inputs": [{"name": "x", "dtype": "float64", "dims": [1]}],
          "outputs": [{"name": "y", "dtype": "float64", "dims": [1]},
                      {"name": "text", "dtype": "string", "dims": [1]}]})";
  const FunctionServer server(fresh_address(), signature, [](sidecall_request* request) {
    const double x = *static_cast<const double*>(input_of(request, 0).data);
    double* const y = output_of(request, 0, {1});
    if (y == nullptr) return SIDECALL_INTERNAL;
    *y = 2 * x;
    const std::string text = std::to_string(x);
    const int64_t dims[] = {1}, offsets[] = {0, static_cast<int64_t>(text.size())};
    return sidecall_request_set_strings(request, 1, dims, 1, text.data(), offsets, nullptr);
  });
  const Model model(server.address());
  constexpr size_t kRuns = 40;
  std::vector<sidecall_call*> calls(kRuns);
  Queue queue(16384, 2);
  for (size_t i = 0; i < kRuns; ++i) {
    calls[i] = take(model);
    sidecall_view x = SIDECALL_VIEW_INIT;
    REQUIRE(sidecall_call_input(calls[i], 0, &x, error()) == SIDECALL_OK);
    *static_cast<double*>(x.data) = static_cast<double>(i);
    queue.submit(calls[i], i);
  }
  for (size_t num_over = 0; num_over < kRuns;) {
    for (const sidecall_completion& one : queue.take(20000 * kMillisecond)) {
      CHECK(one.status == SIDECALL_OK);
      ++num_over;
    }
  }
  sidecall_text* text = nullptr;
  REQUIRE(sidecall_server_query(server.address().c_str(), 0, &text, error()) == SIDECALL_OK);
  const std::string counters = text->data;
  sidecall_text_close(text);
  CHECK((counters.find("\"connections\":1,") != std::string::npos ||
         counters.find("\"connections\":2,") != std::string::npos));
  for (size_t i = 0; i < kRuns; ++i) {
    sidecall_view y = SIDECALL_VIEW_INIT, words = SIDECALL_VIEW_INIT;
    REQUIRE(sidecall_call_output(calls[i], 0, &y, error()) == SIDECALL_OK);
    CHECK(*static_cast<const double*>(y.data) == 2 * static_cast<double>(i));
    REQUIRE(sidecall_call_output(calls[i], 1, &words, error()) == SIDECALL_OK);
    CHECK(std::string(static_cast<const char*>(words.data), words.data_bytes) ==
          std::to_string(static_cast<double>(i)));
    give(model, calls[i]);
  }
}
