// Servers that restart, with the same model or another one, and calls that wait for them.
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "queue/queue_fixture.h"

using namespace support;
using sidecall::Call;
using sidecall::Model;

TEST_CASE("every kind of call waits for a server that restarts, within its own deadline") {
  const std::string contract = R"({"format": 5, "model": {},
    "features": [{"name": "x", "type": "float64", "nullable": false, "input": "x", "column": 0}],
    "outputs": [{"name": "prediction", "role": "prediction", "type": "float64", "width": 1}]})";
  const std::string address = fresh_address();
  const auto serve_it = [&] {
    return std::make_unique<FunctionServer>(address, "", double_it, contract);
  };
  auto server = serve_it();
  sidecall::Options options;
  options.wait_ns = 20000 * kMillisecond;
  const Model model(address, options);
  options.timeout_ns = 50 * kMillisecond;
  const Model hasty(address, options);

  sidecall::Queue queue;
  const std::vector<std::function<void(Call&)>> kinds = {
      [](Call& call) { call.run(); },
      [&](Call& call) { queue.wait(queue.submit(call, 20000 * kMillisecond)); },
      [&](Call& call) {
        queue.submit(call, 20000 * kMillisecond);
        sidecall_completion one{};
        while (queue.take({&one, 1}, 0) == 0) {
          if (queue.arm() < 0) REQUIRE(is_readable(static_cast<int>(queue.handle()), 20000));
        }
        call.check_outcome();
      },
  };
  for (const bool is_connected : {true, false}) {
    for (const auto& kind : kinds) {
      Call call(model);
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
  server.reset();
  std::thread restart([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    server = serve_it();
  });
  CHECK(model.predict_json("{\"x\": 2}") == "{\"prediction\":[4]}");
  restart.join();

  Call connected(model), other_call(model);
  *doubles(connected.input(0)) = *doubles(other_call.input(0)) = 1;
  connected.run();
  server.reset();
  const Stopwatch watch;
  for (Call* call : {&connected, &other_call}) {
    CHECK(status(sidecall_call_run(call->get(), 50 * kMillisecond, error())) == "UNREACHABLE");
    CHECK_THROWS(queue.wait(queue.submit(*call, 50 * kMillisecond)));
    CHECK(status(sidecall_call_error(call->get(), error())) == "UNREACHABLE");
    std::thread other([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      call->cancel();
    });
    CHECK(status(sidecall_call_run(call->get(), -1, error())) == "CANCELLED");
    other.join();
  }
  sidecall_text* text = nullptr;
  CHECK(status(sidecall_predict_json(hasty.get(), "{\"x\": 1}", 8, &text, error())) ==
        "UNREACHABLE");
  CHECK(watch.seconds() < 10);
}

TEST_CASE("calls and their inputs continue after a server restart") {
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
    large.run();
    CHECK(doubles(large.output(0))[9999] == 10);
    const sidecall_view y = large.output(0).get();
    server.reset();
    // The memory of the dead server is still readable.
    CHECK(static_cast<const double*>(y.data)[9999] == 10);
    CHECK(status(sidecall_call_run(call.get(), -1, error())) == "UNREACHABLE");
    server = std::make_unique<FunctionServer>(address, kDouble, double_it);
    CHECK(doubles(call.input(0)) == x);
  }
}

TEST_CASE("a call can grow while its server is gone") {
  const std::string address = fresh_address();
  auto server = std::make_unique<FunctionServer>(address, kDouble, double_it);
  const Model model(address);
  Call call(model, 2);
  doubles(call.input(0))[0] = 3;
  call.run();
  server.reset();
  call.resize(100000);
  double* const x = doubles(call.input(0));
  x[99999] = 4;
  CHECK(status(sidecall_call_run(call.get(), -1, error())) == "UNREACHABLE");
  server = std::make_unique<FunctionServer>(address, kDouble, double_it);
  CHECK(doubles(call.input(0)) == x);
  call.run();
  CHECK(call.output(0).get().dims[0] == 100000);
  CHECK(doubles(call.output(0))[99999] == 8);
}

TEST_CASE("after a restart the id is that of the new model, and the earlier id stays readable") {
  const std::string address = fresh_address();
  const auto serve_id = [&](char digit) {
    const std::string contract =
        R"({"format": 5, "model": {"id": ")" + std::string(64, digit) + R"("},
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

TEST_CASE("calls fail after a restart with another signature") {
  const std::string address = fresh_address();
  const auto serve_file = [&](const std::string& name) {
    sidecall_server* server = nullptr;
    const Model file(test_paths::model(name));
    REQUIRE(status(sidecall_server_open(address.c_str(), file.get(), nullptr, &server, error())) ==
            "OK");
    return std::unique_ptr<sidecall_server, void (*)(sidecall_server*)>(server,
                                                                        sidecall_server_close);
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
