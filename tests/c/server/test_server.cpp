// server.h and server.hpp: serving functions and models at an address. Also valid and invalid
// answers, invalid options, addresses and services, and closing.
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch_all.hpp>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sidecall/server.hpp>
#include <thread>
#include <vector>

#include "function_server.h"
#include "support.h"

using support::error;
using support::fresh_address;
using support::FunctionServer;
using support::last;

namespace {

const char kTwice[] =
    R"({"inputs": [{"name": "x", "dtype": "float64", "dims": [-1, 2], "dim_names": ["N", ""]}],)"
    R"( "outputs": [{"name": "y", "dtype": "float64", "dims": [-1, 2], "dim_names": ["N", ""]}]})";
const char kText[] =
    R"({"inputs": [{"name": "x", "dtype": "string", "dims": [-1], "dim_names": ["N"]}],)"
    R"( "outputs": [{"name": "y", "dtype": "string", "dims": [-1], "dim_names": ["N"]},)"
    R"( {"name": "n", "dtype": "int64", "dims": [-1]}]})";

sidecall::Service twice() {
  sidecall::Service service;
  service.signature = kTwice;
  service.handler = [](sidecall::Request& request) {
    const sidecall::View x = request.input(0);
    const sidecall::View y = request.output(0, x.dims());
    for (size_t i = 0; i < x.size(); ++i) y.as<double>()[i] = 2 * x.as<const double>()[i];
  };
  return service;
}

std::string call_twice(const std::string& address) {
  const sidecall::Model model(address);
  sidecall::Call call(model, 1);
  const double x[] = {1.5, -2};
  const int64_t dims[] = {1, 2};
  call.copy_input(0, sidecall::View::of<double>({x, 2}, {dims, 2}));
  call.run();
  const sidecall::Span<const double> y = call.output(0).as<const double>();
  return std::to_string(y[0]) + " " + std::to_string(y[1]);
}

// The values, or the error, that a client gets if the served function is `answer`.
std::string answer_or_error(support::Answer answer) {
  const FunctionServer server(fresh_address(), kTwice, std::move(answer));
  try {
    return call_twice(server.address());
  } catch (const sidecall::Error& failure) {
    return std::string(failure.status_name()) + ": " + failure.what();
  }
}

}  // namespace

TEST_CASE("a C++ function can be served, and its server can be moved") {
  const std::string address = fresh_address();
  sidecall::Server first(address, twice());
  sidecall::Server server(std::move(first));
  CHECK(call_twice(address) == "3.000000 -4.000000");
  CHECK(support::eventually([&] {
    return server.status().find("\"calls\":1,") != std::string::npos;
  }));  // the call is counted after its answer is sent
  server.drain(1000000000);
  CHECK_THROWS_AS(call_twice(address), sidecall::Error);
}

TEST_CASE("a model can be served, and its handle can be closed while the server runs") {
  const std::string address = fresh_address();
  const sidecall::Server server(address, sidecall::Model(test_paths::model("add.onnx")));
  const sidecall::Model model(address);
  sidecall::Call call(model, 2);
  support::give_x(call, {1, 2, 3, 4});
  call.run();
  CHECK(call.output(0).dims().size() == 2);
}

TEST_CASE("a server that starts later takes no connection before that") {
  sidecall::ServerOptions options;
  options.start_later = 1;
  const std::string address = fresh_address();
  sidecall::Server server(address, twice(), options);
  std::atomic<bool> is_answered{false};
  std::string answer;
  std::thread client([&] {
    answer = call_twice(address);
    is_answered = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  CHECK(server.status().find("\"accepted\":0,") != std::string::npos);
  CHECK(!is_answered);
  server.start();
  client.join();
  CHECK(answer == "3.000000 -4.000000");
  server.drain(1000000000);
  CHECK(sidecall_server_start(server.get(), error()) == SIDECALL_UNREACHABLE);
}

TEST_CASE("a server that was not started serves no one while it drains") {
  sidecall::ServerOptions options;
  options.start_later = 1;
  std::atomic<bool> was_called{false};
  sidecall::Service service = twice();
  service.handler = [&](sidecall::Request&) { was_called = true; };
  const std::string address = fresh_address();
  sidecall::Server server(address, service, options);
  std::thread client([&] { CHECK_THROWS_AS(call_twice(address), sidecall::Error); });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  server.drain(1000000000);
  client.join();
  CHECK(!was_called);
  CHECK(sidecall_server_start(server.get(), error()) == SIDECALL_UNREACHABLE);
}

TEST_CASE("exceptions of a handler become errors of the caller") {
  const std::string address = fresh_address();
  sidecall::Service service = twice();
  service.handler = [](sidecall::Request&) { throw std::runtime_error("out of\nluck"); };
  const sidecall::Server server(address, service);
  CHECK_THROWS_WITH(call_twice(address), Catch::Matchers::ContainsSubstring("out of luck"));
}

TEST_CASE("a caller gets the status and text of a handler's error") {
  CHECK(answer_or_error([](sidecall_request* request) {
          sidecall_request_fail(request, SIDECALL_UNKNOWN_CATEGORY, 0, "x", "a known one",
                                "another", "no such thing");
          return sidecall_status{SIDECALL_UNKNOWN_CATEGORY};
        }) == "UNKNOWN_CATEGORY: no such thing");
  CHECK(answer_or_error([](sidecall_request*) { return sidecall_status{SIDECALL_ENGINE}; }) ==
        "ENGINE: the served function failed with ENGINE");
  // The function reports one status and then returns another: the returned status counts.
  CHECK(answer_or_error([](sidecall_request* request) {
          sidecall_request_fail(request, SIDECALL_ENGINE, -1, nullptr, nullptr, nullptr, "first");
          return sidecall_status{SIDECALL_OUT_OF_RANGE};
        }) == "OUT_OF_RANGE: the served function failed with OUT_OF_RANGE");
  CHECK(answer_or_error([](sidecall_request*) { return sidecall_status{SIDECALL_OK}; }) ==
        "ENGINE: output 'y': expected float64[N,2], got nothing");
}

TEST_CASE("outputs of a handler that the signature does not allow are refused") {
  answer_or_error([](sidecall_request* request) {
    sidecall_view view = SIDECALL_VIEW_INIT;
    const int64_t dims[] = {1, 2};
    const int64_t wide[] = {1, 3};
    const int64_t many[] = {2, 2};
    CHECK(sidecall_request_num_inputs(request) == 1);
    CHECK(sidecall_request_num_outputs(request) == 1);
    CHECK(std::string(sidecall_request_output_spec(request, 0)->name) == "y");
    CHECK(sidecall_request_output_spec(request, 1) == nullptr);
    CHECK(sidecall_request_input_spec(request, -1) == nullptr);
    CHECK(sidecall_request_input(request, 1, &view, error()) == SIDECALL_UNKNOWN_NAME);
    CHECK(sidecall_request_input(request, 0, nullptr, error()) == SIDECALL_INVALID_ARGUMENT);
    CHECK(sidecall_request_output(request, 1, dims, 2, &view, error()) == SIDECALL_UNKNOWN_NAME);
    CHECK(sidecall_request_output(request, 0, wide, 2, &view, error()) == SIDECALL_SHAPE_MISMATCH);
    CHECK(std::string(last().message) == "output 'y': expected float64[1,2], got float64[1,3]");
    CHECK(sidecall_request_output(request, 0, many, 2, &view, error()) == SIDECALL_SHAPE_MISMATCH);
    CHECK(sidecall_request_output(request, 0, dims, 1, &view, error()) == SIDECALL_SHAPE_MISMATCH);
    CHECK(sidecall_request_output(request, 0, nullptr, 2, &view, error()) ==
          SIDECALL_INVALID_ARGUMENT);
    const int64_t offsets[] = {0, 0, 0};
    CHECK(sidecall_request_set_strings(request, 0, dims, 2, "", offsets, error()) ==
          SIDECALL_DTYPE_MISMATCH);
    return sidecall_status{SIDECALL_ENGINE};
  });
}

TEST_CASE("strings are passed in and out") {
  const FunctionServer server(fresh_address(), kText, [](sidecall_request* request) {
    sidecall_view x = SIDECALL_VIEW_INIT, n = SIDECALL_VIEW_INIT;
    sidecall_request_input(request, 0, &x, nullptr);
    const int64_t falling[] = {0, 2, 1}, beyond_utf8[] = {0, 1, 1};
    CHECK(sidecall_request_set_strings(request, 0, x.dims, 1, "ab", falling, error()) ==
          SIDECALL_INVALID_ARGUMENT);
    CHECK(sidecall_request_set_strings(request, 0, x.dims, 1, "\xff", beyond_utf8, error()) ==
          SIDECALL_INVALID_STRING);
    CHECK(sidecall_request_set_strings(request, 0, x.dims, 1, static_cast<const char*>(x.data),
                                       x.offsets, error()) == SIDECALL_OK);
    CHECK(sidecall_request_output(request, 1, x.dims, 1, &n, error()) == SIDECALL_OK);
    for (int64_t i = 0; i < x.dims[0]; ++i)
      static_cast<int64_t*>(n.data)[i] = x.offsets[i + 1] - x.offsets[i];
    return sidecall_status{SIDECALL_OK};
  });
  const sidecall::Model model(server.address());
  sidecall::Call call(model, 2);
  for (int round = 0; round < 3; ++round) {
    const int64_t offsets[] = {0, 2, 2 + round};
    REQUIRE(sidecall_call_set_strings(call.get(), 0, "\xc3\xa9xyz", offsets, 2, error()) ==
            SIDECALL_OK);
    call.run();
    CHECK(call.output(1).as<const int64_t>()[0] == 2);
    CHECK(call.output(1).as<const int64_t>()[1] == round);
  }
}

TEST_CASE("a handler can see that its client has stopped waiting") {
  std::atomic<bool> has_stopped_waiting{false}, was_given_up{false};
  const FunctionServer server(fresh_address(), kTwice, [&](sidecall_request* request) {
    const int64_t left = sidecall_request_remaining(request);
    CHECK(left > 0);
    CHECK(left <= 50000000);
    for (int i = 0; i < 5000 && sidecall_request_remaining(request) != 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    has_stopped_waiting = sidecall_request_remaining(request) == 0;
    for (int i = 0; i < 5000 && !was_given_up; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return sidecall_status{SIDECALL_ENGINE};
  });
  const sidecall::Model model(server.address());
  sidecall::Call call(model, 1);
  const double x[] = {1, 2};
  const int64_t dims[] = {1, 2};
  call.copy_input(0, sidecall::View::of<double>({x, 2}, {dims, 2}));
  CHECK(sidecall_call_run(call.get(), 50000000, error()) == SIDECALL_TIMEOUT);
  was_given_up = true;
  for (int i = 0; i < 5000 && !has_stopped_waiting; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  CHECK(has_stopped_waiting);
}

TEST_CASE("calls can be as large as a limit that is not a power of two") {
  const std::string address = fresh_address();
  sidecall_service service;
  sidecall_service_init(&service);
  service.signature = kTwice;
  service.signature_length = sizeof kTwice - 1;
  service.handler = [](void*, sidecall_request* request) {
    sidecall_view x = SIDECALL_VIEW_INIT, y = SIDECALL_VIEW_INIT;
    sidecall_status status = sidecall_request_input(request, 0, &x, nullptr);
    if (status == SIDECALL_OK)
      status = sidecall_request_output(request, 0, x.dims, x.rank, &y, nullptr);
    if (status == SIDECALL_OK) std::memcpy(y.data, x.data, x.data_bytes);
    return status;
  };
  sidecall_server_options options;
  sidecall_server_options_init(&options);
  options.max_request_bytes = options.max_response_bytes = 3000001;
  sidecall_server* server = nullptr;
  REQUIRE(sidecall_server_open_service(address.c_str(), &service, SIDECALL_VERIFY_OFF, &options,
                                       &server, error()) == SIDECALL_OK);
  {
    const sidecall::Model model(address);
    const std::vector<double> x(2 * 150000, 7.0);
    const int64_t dims[] = {150000, 2};
    sidecall::Call call(model, 1);
    call.copy_input(0, sidecall::View::of<double>({x.data(), x.size()}, {dims, 2}));
    call.run();
    CHECK(call.output(0).as<const double>()[299999] == 7.0);
    const std::vector<double> more(2 * 200000, 7.0);
    const int64_t too_many[] = {200000, 2};
    CHECK_THROWS_AS(
        call.copy_input(0, sidecall::View::of<double>({more.data(), more.size()}, {too_many, 2})),
        sidecall::Error);
    call.copy_input(0, sidecall::View::of<double>({x.data(), x.size()}, {dims, 2}));
    call.run();
  }
  sidecall_server_close(server);
}

// The sanitizers end the process when an allocation is too large.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("an output whose memory could not be allocated counts as missing") {
  const char signature[] = R"({"inputs": [{"name": "x", "dtype": "int64", "dims": [-1]}],)"
                           R"( "outputs": [{"name": "y", "dtype": "int64", "dims": [-1, -1]}]})";
  std::atomic<sidecall_status> status{SIDECALL_OK};
  const FunctionServer server(fresh_address(), signature, [&](sidecall_request* request) {
    sidecall_view y = SIDECALL_VIEW_INIT;
    const int64_t huge[] = {1, INT64_C(1) << 40};
    status = sidecall_request_output(request, 0, huge, 2, &y, nullptr);
    return sidecall_status{SIDECALL_OK};  // although the output could not be made
  });
  const sidecall::Model model(server.address());
  sidecall::Call call(model, 1);
  const int64_t x[] = {1}, dims[] = {1};
  call.copy_input(0, sidecall::View::of<int64_t>({x, 1}, {dims, 1}));
  sidecall_error err = SIDECALL_ERROR_INIT;
  CHECK(sidecall_call_run(call.get(), -1, &err) == SIDECALL_ENGINE);
  CHECK(std::string(err.name) == "y");
  CHECK(status == SIDECALL_OUT_OF_MEMORY);
}
#endif

TEST_CASE(
    "a served function gets the bool that was checked, even if the client changes it afterwards") {
  const char signature[] = R"({"inputs": [{"name": "x", "dtype": "bool", "dims": [-1]}],)"
                           R"( "outputs": [{"name": "y", "dtype": "int64", "dims": [1]}]})";
  std::atomic<int> step{0};
  const FunctionServer server(fresh_address(), signature, [&](sidecall_request* request) {
    sidecall_view x = SIDECALL_VIEW_INIT, y = SIDECALL_VIEW_INIT;
    const int64_t one = 1;
    sidecall_request_input(request, 0, &x, nullptr);
    sidecall_request_output(request, 0, &one, 1, &y, nullptr);
    step = 1;
    while (step != 2) std::this_thread::yield();
    *static_cast<int64_t*>(y.data) = *static_cast<const unsigned char*>(x.data);
    return sidecall_status{SIDECALL_OK};
  });
  const sidecall::Model model(server.address());
  sidecall::Call call(model, 1);
  // This input lies in the shared segment.
  auto* const place = static_cast<unsigned char*>(call.input(0).get().data);
  *place = 1;
  std::thread liar([&] {
    while (step != 1) std::this_thread::yield();
    *place = 255;
    step = 2;
  });
  call.run();
  liar.join();
  CHECK(call.output(0).as<const int64_t>()[0] == 1);
}

TEST_CASE("invalid server options are refused") {
  const sidecall::Model model(test_paths::model("add.onnx"));
  const auto opened_with = [&](auto change) {
    sidecall_server_options options;
    sidecall_server_options_init(&options);
    change(&options);
    sidecall_server* server = nullptr;
    const sidecall_status status =
        sidecall_server_open(fresh_address().c_str(), model.get(), &options, &server, error());
    sidecall_server_close(server);
    return status;
  };
  CHECK(opened_with([](auto*) {}) == SIDECALL_OK);
  CHECK(opened_with([](auto* options) { options->num_threads = 4; }) == SIDECALL_OK);
  CHECK(opened_with([](auto* options) { options->num_threads = -1; }) == SIDECALL_INVALID_ARGUMENT);
  CHECK(opened_with([](auto* options) { options->copy_inputs = 2; }) == SIDECALL_INVALID_ARGUMENT);
  CHECK(opened_with([](auto* options) { options->spin_us = -2; }) == SIDECALL_INVALID_ARGUMENT);
  CHECK(opened_with([](auto* options) { options->num_allow_uids = 1; }) ==
        SIDECALL_INVALID_ARGUMENT);
  CHECK(opened_with([](auto* options) { options->group = -2; }) == SIDECALL_INVALID_ARGUMENT);
  CHECK(opened_with([](auto* options) { options->struct_size = 0; }) == SIDECALL_INVALID_ARGUMENT);
  CHECK(opened_with([](auto* options) { options->struct_size = 8; }) == SIDECALL_OK);
  CHECK(opened_with([](auto* options) { options->max_request_bytes = 1; }) ==
        SIDECALL_INVALID_ARGUMENT);
  CHECK(opened_with([](auto* options) { options->drain_ns = -1; }) == SIDECALL_INVALID_ARGUMENT);
}

TEST_CASE("invalid addresses are refused") {
  const sidecall::Model model(test_paths::model("add.onnx"));
  const auto opened_at = [&](const char* at) {
    sidecall_server* server = nullptr;
    const sidecall_status status = sidecall_server_open(at, model.get(), nullptr, &server, error());
    CHECK((status == SIDECALL_OK) == (server != nullptr));
    sidecall_server_close(server);
    return status;
  };
  for (const char* at :
       {"", "shm", "shm:", "shm:a/b", "shm:.hidden", "add.onnx", "exec:true", "tcp://x"})
    CHECK(opened_at(at) == SIDECALL_INVALID_ARGUMENT);
  CHECK(opened_at("shm:/nowhere/at/all.sock") == SIDECALL_UNREACHABLE);
  CHECK(opened_at(nullptr) == SIDECALL_INVALID_ARGUMENT);  // SIDECALL_FD is not set here
  const std::string address = fresh_address();
  const sidecall::Server living(address, twice());
  CHECK(opened_at(address.c_str()) == SIDECALL_BUSY);
  CHECK(call_twice(address) == "3.000000 -4.000000");
}

TEST_CASE("invalid services are refused") {
  const auto opened = [&](sidecall_service service, int32_t verify = SIDECALL_VERIFY_ERROR) {
    sidecall_server* server = nullptr;
    const sidecall_status status = sidecall_server_open_service(fresh_address().c_str(), &service,
                                                                verify, nullptr, &server, error());
    sidecall_server_close(server);
    return status;
  };
  sidecall_service good;
  sidecall_service_init(&good);
  good.signature = kTwice;
  good.signature_length = sizeof kTwice - 1;
  good.handler = [](void*, sidecall_request*) { return sidecall_status{SIDECALL_ENGINE}; };
  CHECK(opened(good) == SIDECALL_OK);
  CHECK(opened(good, 3) == SIDECALL_INVALID_ARGUMENT);
  sidecall_service bad = good;
  bad.handler = nullptr;
  CHECK(opened(bad) == SIDECALL_INVALID_ARGUMENT);
  bad = good;
  bad.signature = nullptr;
  CHECK(opened(bad) == SIDECALL_INVALID_ARGUMENT);
  bad = good;
  bad.signature_length = 5;
  CHECK(opened(bad) == SIDECALL_CONTRACT_INVALID);
  bad = good;
  bad.contract = "{\"format\": 6}";
  bad.contract_length = 13;
  CHECK(opened(bad) == SIDECALL_CONTRACT_FORMAT);
}

TEST_CASE("golden rows are run through a function before clients can connect") {
  const std::string contract =
      R"({"format": 5, "model": {"name": "twice"},)"
      R"( "features": [{"name": "a", "type": "float64", "nullable": false,)"
      R"( "input": "x", "column": 0}],)"
      R"( "outputs": [{"name": "prediction", "role": "prediction", "type": "float64"}],)"
      R"( "verification": {"source": "synthetic", "rows": 2, "features": [[1, 4]],)"
      R"( "outputs": {"prediction": [2, 8]},)"
      R"( "tolerance": {"prediction": {"absolute": 1e-12, "relative": 1e-9}}}})";
  const auto times = [&](double factor, const std::string& address) {
    sidecall::Service service;
    service.contract = contract;
    service.handler = [factor](sidecall::Request& request) {
      const sidecall::View x = request.input(0);
      const int64_t rows = x.dims()[0];
      const sidecall::View y = request.output(0, {&rows, 1});
      for (int64_t i = 0; i < rows; ++i) y.as<double>()[i] = factor * x.as<const double>()[i];
    };
    return sidecall::Server(address, service);
  };
  const std::string address = fresh_address();
  CHECK_THROWS_WITH(times(2.5, address), Catch::Matchers::ContainsSubstring(
                                             "verification: golden row 0, column 'prediction'"));
  CHECK_FALSE(std::filesystem::exists(address.substr(4)));
  const sidecall::Server server = times(2, address);
  CHECK(sidecall::Model(address).predict_json(R"({"a": 21})") == R"({"prediction":42})");
  CHECK_THROWS_WITH(sidecall::Model(address).predict_json(R"({"a": null})"),
                    Catch::Matchers::ContainsSubstring("feature 'a'"));
  CHECK(server.status().find("\"verified\":true") != std::string::npos);
}

TEST_CASE("another process can read a server's counters") {
  const std::string address = fresh_address();
  sidecall_text* text = nullptr;
  CHECK(sidecall_server_query(address.c_str(), 0, &text, error()) == SIDECALL_UNREACHABLE);
  CHECK(text == nullptr);
  CHECK(sidecall_server_query("add.onnx", 0, &text, error()) == SIDECALL_INVALID_ARGUMENT);
  CHECK(sidecall_server_query(address.c_str(), -2, &text, error()) == SIDECALL_INVALID_ARGUMENT);
  const sidecall::Server server(address, twice());
  REQUIRE(sidecall_server_query(address.c_str(), 0, &text, error()) == SIDECALL_OK);
  CHECK(std::string(text->data).find("\"ready\":true") != std::string::npos);
  sidecall_text_close(text);
}

TEST_CASE("server functions refuse NULL, and closing NULL does nothing") {
  sidecall_server* server = nullptr;
  sidecall_supervisor* supervisor = nullptr;
  sidecall_text* text = nullptr;
  CHECK(sidecall_server_open("shm:x", nullptr, nullptr, &server, error()) ==
        SIDECALL_INVALID_ARGUMENT);
  CHECK(sidecall_server_open_service("shm:x", nullptr, 0, nullptr, &server, error()) ==
        SIDECALL_INVALID_ARGUMENT);
  CHECK(sidecall_server_status(nullptr, &text, error()) == SIDECALL_INVALID_ARGUMENT);
  CHECK(sidecall_server_drain(nullptr, 0, error()) == SIDECALL_INVALID_ARGUMENT);
  CHECK(sidecall_server_start(nullptr, error()) == SIDECALL_INVALID_ARGUMENT);
  CHECK(sidecall_server_fd(nullptr) == -1);
  CHECK(sidecall_supervisor_open("shm:x", nullptr, nullptr, error()) == SIDECALL_INVALID_ARGUMENT);
  for (const char* at : {"", "shm:", "http://127.0.0.1:0"})
    CHECK(sidecall_supervisor_open(at, nullptr, &supervisor, error()) == SIDECALL_INVALID_ARGUMENT);
  CHECK(sidecall_supervisor_status(nullptr, &text, error()) == SIDECALL_INVALID_ARGUMENT);
  CHECK(sidecall_supervisor_num_ready(nullptr) == 0);
  CHECK(sidecall_supervisor_hung(nullptr) == -1);
  sidecall_supervisor_remove(nullptr, 0);
  sidecall_server_options_init(nullptr);
  sidecall_request_fail(nullptr, 0, 0, nullptr, nullptr, nullptr, nullptr);
  sidecall_request_log(nullptr, 0, nullptr, nullptr);
  sidecall_log_line(nullptr, 0, nullptr);
  sidecall_server_close(nullptr);
  sidecall_supervisor_close(nullptr);
}
