// Models in other processes: opening, the memory of inputs and outputs, the form of answers.
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstdio>
#include <cstring>
#include <memory>
#include <thread>

#include "server/function_server.h"

using namespace support;
using sidecall::Call;
using sidecall::Model;

namespace {

std::string open_status(const std::string& uri, const sidecall_model_options* options = nullptr) {
  sidecall_model* model = nullptr;
  const sidecall_status opened = sidecall_model_open(uri.c_str(), options, &model, error());
  sidecall_model_close(model);
  return status(opened);
}

double* doubles(const sidecall::View& view) { return static_cast<double*>(view.get().data); }

void give(Call* call, int32_t input, const std::vector<double>& x,
          const std::vector<int64_t>& dims) {
  call->copy_input(input,
                   sidecall::View::of<double>({x.data(), x.size()}, {dims.data(), dims.size()}));
}

std::vector<double> counted(int64_t count) {
  std::vector<double> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i) + 0.5;
  return values;
}

}  // namespace

TEST_CASE("an address without a server is unreachable") {
  CHECK(open_status("shm:/tmp/sidecall-route-absent.sock") == "UNREACHABLE");
  CHECK(last().retryable == 1);
  CHECK(std::string(last().message).find("'shm:/tmp/sidecall-route-absent.sock'") !=
        std::string::npos);
  CHECK(open_status("shm:") == "INVALID_ARGUMENT");
  CHECK(open_status("shm:no such name") == "INVALID_ARGUMENT");
  CHECK(open_status("shm:/tmp/" + std::string(200, 'x')) == "INVALID_ARGUMENT");
  CHECK(open_status("shm:///tmp/%zz.sock") == "INVALID_ARGUMENT");
}

TEST_CASE("open waits for a server that is still starting, at most for wait_ns") {
  const std::string address = fresh_address();
  sidecall::Options options;
  options.wait_ns = 5 * kMillisecond;
  CHECK(open_status(address, &options) == "UNREACHABLE");
  std::unique_ptr<FunctionServer> server;
  std::thread starting([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    server = std::make_unique<FunctionServer>(address, kDouble, double_it);
  });
  options.wait_ns = 20000 * kMillisecond;
  CHECK(open_status(address, &options) == "OK");
  starting.join();
}

TEST_CASE("a command is started only with allow_exec") {
  CHECK(open_status("exec:true") == "INVALID_ARGUMENT");
  CHECK(std::string(last().message).find("true") == std::string::npos);
  sidecall::Options options;
  options.allow_exec = 1;
  CHECK(open_status("exec:", &options) == "INVALID_ARGUMENT");
  CHECK(open_status("exec:/nonexistent/program", &options) == "UNREACHABLE");
}

TEST_CASE("a client that only uses shm: does not load ONNX Runtime") {
  const std::string address = serve("matrix.onnx");
  const std::string command =
      "env -u SIDECALL_ONNXRUNTIME '" OPEN_MODEL "' --maps '" + address + "' 2>&1";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  REQUIRE(pipe != nullptr);
  std::string out;
  std::array<char, 4096> buffer;
  while (const size_t got = fread(buffer.data(), 1, buffer.size(), pipe.get()))
    out.append(buffer.data(), got);
  CHECK(out.find("libsidecall") != std::string::npos);
  CHECK(out.find("onnxruntime") == std::string::npos);
  CHECK(out.substr(out.size() - 4) == "OK\n\n");
}

TEST_CASE("a client that runs out of file descriptors says so, at whichever step this happens") {
  const FunctionServer server(fresh_address(), kDouble, double_it);
  const bool is_sanitized = std::getenv("SIDECALL_SANITIZE") != nullptr;
  bool was_short = false, was_opened = false;
  for (int limit = 4; limit < 16; ++limit) {
    const std::string command = "exec 2>&1; ulimit -n " + std::to_string(limit) +
                                "; exec '" OPEN_MODEL "' '" + server.address() + "'";
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
    REQUIRE(pipe != nullptr);
    char out[2048] = {};
    REQUIRE(fread(out, 1, sizeof out - 1, pipe.get()) > 0);
    const std::string text = out;
    if (text.find("error while loading shared libraries") != std::string::npos)
      continue;  // too few even to start the program
    // UBSan needs a descriptor to inspect an object, and ends the program if it gets none.
    if (is_sanitized && text.find("object has invalid vptr") != std::string::npos) continue;
    INFO("ulimit -n " << limit << ": " << text);
    const bool is_short = text.rfind("OUT_OF_MEMORY\n", 0) == 0;
    was_short = was_short || is_short;
    was_opened = was_opened || text == "OK\n\n";
    CHECK((text == "OK\n\n" ||
           (is_short &&
            text.find("no file descriptor is left: raise ulimit -n") != std::string::npos)));
  }
  CHECK((was_short || is_sanitized));
  CHECK(was_opened);
}

TEST_CASE("a server can have a hundred thousand inputs and outputs") {
  std::string tensors;
  for (int i = 0; i < 100000; ++i)
    tensors += (i == 0 ? "" : ",") + (R"({"name":"t)" + std::to_string(i) +
                                      R"(","dtype":"float32","dims":[-1,1],"dim_names":["N",""]})");
  const FunctionServer server(fresh_address(),
                              R"({"inputs":[)" + tensors + R"(],"outputs":[)" + tensors + "]}",
                              [](sidecall_request*) { return sidecall_status{SIDECALL_ENGINE}; });
  const Model model(server.address());
  CHECK(model.num_inputs() == 100000);
  Call call(model, 2);
  CHECK(call.input(99999).dims()[0] == 2);
}

TEST_CASE("a served model has the file's signature, contract and id") {
  const Model file(test_paths::model("penguins.onnx"));
  const Model served(serve("penguins.onnx"));
  CHECK(served.id() == file.id());
  CHECK(served.name() == file.name());
  CHECK(served.contract() == file.contract());
  REQUIRE(served.num_inputs() == file.num_inputs());
  REQUIRE(served.num_columns() == file.num_columns());
  for (int32_t i = 0; i < file.num_inputs(); ++i) {
    CHECK(std::string(served.input_spec(i)->name) == file.input_spec(i)->name);
    CHECK(served.input_spec(i)->dtype == file.input_spec(i)->dtype);
    CHECK(std::string(served.input_spec(i)->dim_names[0]) == file.input_spec(i)->dim_names[0]);
  }
  const std::string report = served.verify();
  CHECK(report.find("\"id\":\"" + std::string(file.id()) + "\"") != std::string::npos);
}

TEST_CASE("a call can be run again with more rows and with fewer rows") {
  const FunctionServer server(fresh_address(), kDouble, double_it);
  const Model model(server.address());
  Call call(model);
  for (const int64_t rows : {1, 3, 1000, 2, 50000, 50001, 1}) {
    const std::vector<double> x = counted(rows * 3);
    give(&call, 0, x, {rows, 3});
    call.run();
    CHECK(call.rows() == rows);
    const sidecall::View y = call.output(0);
    bool right = y.get().dims[0] == rows && y.get().data_bytes == x.size() * sizeof(double);
    for (size_t i = 0; right && i < x.size(); ++i) right = doubles(y)[i] == 2 * x[i];
    CHECK(right);
  }
}

TEST_CASE("memory of inputs is zero at first and keeps its address") {
  const FunctionServer server(fresh_address(), kDouble, double_it);
  const Model model(server.address());
  for (int round = 0; round < 3; ++round) {  // later calls reuse the connections of earlier ones
    Call call(model, 16);
    double* const x = doubles(call.input(0));
    for (int i = 0; i < 16; ++i) CHECK(x[i] == 0);
    for (int run = 1; run < 4; ++run) {
      for (int i = 0; i < 16; ++i) x[i] = run;
      call.run();
      CHECK(doubles(call.input(0)) == x);
      CHECK(doubles(call.output(0))[15] == 2 * run);
    }
  }
}

TEST_CASE("an input keeps its address when another input needs a connection with more memory") {
  const char* const tensors =
      R"({"inputs": [{"name": "a", "dtype": "float64", "dims": [2]}, {"name": "b", "dtype": "float64", "dims": [-1]}],
                                  "outputs": [{"name": "sum", "dtype": "float64", "dims": [2]}]})";
  const FunctionServer server(fresh_address(), tensors, [](sidecall_request* request) {
    const sidecall_view a = input_of(request, 0), b = input_of(request, 1);
    double* sum = output_of(request, 0, {2});
    sum[0] = static_cast<const double*>(a.data)[0] + static_cast<const double*>(a.data)[1];
    sum[1] = 0;
    for (int64_t i = 0; i < b.dims[0]; ++i) sum[1] += static_cast<const double*>(b.data)[i];
    return SIDECALL_OK;
  });
  const Model model(server.address());
  Call call(model);
  double* const a = doubles(call.input(0));
  a[0] = 1, a[1] = 2;
  for (int64_t size : {10, 100000, 10, 1000000}) {
    call.reshape(1, {&size, 1});
    double* const b = doubles(call.input(1));
    for (int64_t i = 0; i < size; ++i) b[i] = 1;
    a[0] += 1;
    call.run();
    CHECK(doubles(call.input(0)) == a);
    CHECK(doubles(call.output(0))[0] == a[0] + 2);
    CHECK(doubles(call.output(0))[1] == static_cast<double>(size));
  }
}

TEST_CASE("bound inputs are read before each run, and bound outputs are written after it") {
  const FunctionServer server(fresh_address(), kDouble, double_it);
  const Model model(server.address());
  Call call(model);
  std::vector<double> x = counted(4096), y(4096);
  const std::vector<int64_t> dims{1024, 4};
  call.bind_input(0, sidecall::View::of<double>({x.data(), x.size()}, {dims.data(), 2}));
  call.bind_output(0, y.data(), y.size() * sizeof(double));
  for (int run = 0; run < 3; ++run) {
    x[17] = run;
    call.run();
    CHECK(y[17] == 2 * run);
    CHECK(y[4095] == 2 * 4095.5);
    CHECK(doubles(call.output(0)) == y.data());
  }
}

TEST_CASE("small outputs are copied into the call, and large ones are read-only") {
  const FunctionServer server(fresh_address(), kDouble, double_it);
  const Model model(server.address());
  Call call(model);
  give(&call, 0, counted(8), {2, 4});
  call.run();
  sidecall::View y = call.output(0);
  CHECK(y.get().flags == 0);
  doubles(y)[0] = 7;  // the caller may write there

  give(&call, 0, counted(100000), {1000, 100});
  const double* place = nullptr;
  for (int run = 0; run < 3; ++run) {
    call.run();
    y = call.output(0);
    CHECK(y.get().flags == SIDECALL_VIEW_READ_ONLY);
    CHECK(doubles(y)[99999] == 2 * 99999.5);
    CHECK((place == nullptr || place == doubles(y)));
    place = doubles(y);
  }
}

TEST_CASE("strings of every length are passed in and out") {
  const char* const tensors =
      R"({"inputs": [{"name": "s", "dtype": "string", "dims": [-1]}, {"name": "x", "dtype": "float64", "dims": [2]}],
                                  "outputs": [{"name": "t", "dtype": "string", "dims": [-1]}]})";
  const FunctionServer server(fresh_address(), tensors, [](sidecall_request* request) {
    const sidecall_view s = input_of(request, 0);
    if (static_cast<const double*>(input_of(request, 1).data)[1] != 4) return SIDECALL_INTERNAL;
    return sidecall_request_set_strings(request, 0, s.dims, 1, static_cast<const char*>(s.data),
                                        s.offsets, nullptr);
  });
  const Model model(server.address());
  Call call(model);
  double* const x = doubles(call.input(1));
  x[1] = 4;
  for (const size_t length : {0, 5, 100000, 3, 3000000}) {
    const std::string text = std::string(length, 'a') + "\xc3\xa4" + std::string(length, 'b');
    const std::array<int64_t, 3> offsets{0, static_cast<int64_t>(length),
                                         static_cast<int64_t>(text.size())};
    const int64_t two = 2;
    call.reshape(0, {&two, 1});
    call.set_strings(0, text, {offsets.data(), 3});
    call.run();
    const sidecall_view t = call.output(0).get();
    REQUIRE(t.data_bytes == text.size());
    CHECK(std::memcmp(t.data, text.data(), text.size()) == 0);
    CHECK(t.offsets[1] == offsets[1]);
  }
}

TEST_CASE("outputs whose shape only the run determines are returned at any size") {
  const char* const tensors = R"({"inputs": [{"name": "n", "dtype": "float64", "dims": []}],
                                  "outputs": [{"name": "y", "dtype": "float64", "dims": [-1]}, {"name": "z", "dtype": "float64", "dims": [1]}]})";
  const FunctionServer server(fresh_address(), tensors, [](sidecall_request* request) {
    const auto size = static_cast<int64_t>(*static_cast<const double*>(input_of(request, 0).data));
    double* y = output_of(request, 0, {size});
    for (int64_t i = 0; i < size; ++i) y[i] = static_cast<double>(i);
    *output_of(request, 1, {1}) = -1;
    return SIDECALL_OK;
  });
  const Model model(server.address());
  Call call(model);
  double* const n = doubles(call.input(0));
  for (const double size : {0.0, 3.0, 5000.0, 5000.0, 2.0, 400000.0, 400000.0, 1.0}) {
    *n = size;
    call.run();
    const sidecall_view y = call.output(0).get();
    REQUIRE(y.dims[0] == static_cast<int64_t>(size));
    if (size > 0) CHECK(static_cast<const double*>(y.data)[y.dims[0] - 1] == size - 1);
    CHECK(doubles(call.output(1))[0] == -1);
  }
}

TEST_CASE("a refusal by the server keeps its status, text and fields") {
  const FunctionServer server(fresh_address(), kDouble, [](sidecall_request* request) {
    sidecall_request_fail(request, SIDECALL_UNKNOWN_CATEGORY, 3, "size", "a known category",
                          "an unknown one",
                          "feature 'size': expected a known category, got an unknown one (row 3)");
    return SIDECALL_UNKNOWN_CATEGORY;
  });
  const Model model(server.address());
  Call call(model);
  call.input(0);
  for (int run = 0; run < 3; ++run) {
    CHECK(status(sidecall_call_run(call.get(), -1, error())) == "UNKNOWN_CATEGORY");
    CHECK(last().row == 3);
    CHECK(std::string(last().name) == "size");
    CHECK(std::string(last().expected) == "a known category");
    CHECK(std::string(last().got) == "an unknown one");
    CHECK(std::string(last().message) ==
          "feature 'size': expected a known category, got an unknown one (row 3)");
    double value = 0;
    CHECK(status(sidecall_call_get_f64(call.get(), 0, 0, &value, error())) != "OK");
  }
}

TEST_CASE(
    "golden rows that the server did not run are run by the client, unless its verify option is "
    "off") {
  const std::string contract = R"({"format": 5, "model": {"name": "twice", "version": "1"},
    "features": [{"name": "x", "type": "float64", "nullable": false, "input": "x", "column": 0}],
    "outputs": [{"name": "prediction", "role": "prediction", "type": "float64"}],
    "verification": {"source": "real", "rows": 2, "features": [[1, 2]], "outputs": {"prediction": [2, 5]},
                     "tolerance": {"prediction": {"absolute": 0.1, "relative": 0}}}})";
  const auto twice = [](sidecall_request* request) {
    const sidecall_view x = input_of(request, 0);
    double* y = output_of(request, 0, {x.dims[0]});
    for (int64_t i = 0; i < x.dims[0]; ++i) y[i] = 2 * static_cast<const double*>(x.data)[i];
    return SIDECALL_OK;
  };
  const FunctionServer server(fresh_address(), "", twice, contract, SIDECALL_VERIFY_OFF);
  CHECK(open_status(server.address()) == "VERIFICATION_FAILED");
  CHECK(last().row == 1);
  sidecall::Options options;
  options.verify = SIDECALL_VERIFY_WARN;
  const Model warned(server.address(), options);
  REQUIRE(sidecall_model_warning(warned.get()) != nullptr);
  CHECK(std::string(sidecall_model_warning(warned.get())).find("running on server 'shm:") !=
        std::string::npos);
  options.verify = SIDECALL_VERIFY_OFF;
  const Model trusted(server.address(), options);
  CHECK(trusted.predict_json(R"({"x": 2})") == R"({"prediction":4})");
  CHECK(trusted.id().empty());
  CHECK_THROWS(trusted.verify());
}

TEST_CASE("many calls of one model can be open at the same time and run one after the other") {
  const Model model(serve("matrix.onnx"));
  std::vector<Call> calls;
  for (int i = 0; i < 20; ++i) calls.emplace_back(model);
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < calls.size(); ++i) {
      calls[i].clear();
      calls[i].set(0, 2, true);
      calls[i].set(0, 3, static_cast<double>(i));
      calls[i].run();
    }
    for (size_t i = 0; i < calls.size(); ++i)
      CHECK(calls[i].get_f64(0, 0) == 89 + 1000.0 * static_cast<double>(i));
  }
}

TEST_CASE("a large output keeps its address while string outputs grow") {
  const char signature[] =
      R"({"inputs": [{"name": "x", "dtype": "string", "dims": [-1], "dim_names": ["N"]}],)"
      R"( "outputs": [{"name": "y", "dtype": "float32", "dims": [-1, 384], "dim_names": ["N", ""]}]})";
  const FunctionServer server(fresh_address(), signature, [&](sidecall_request* request) {
    sidecall_view x = SIDECALL_VIEW_INIT, y = SIDECALL_VIEW_INIT;
    sidecall_request_input(request, 0, &x, nullptr);
    const int64_t dims[] = {x.dims[0], 384};
    sidecall_request_output(request, 0, dims, 2, &y, nullptr);
    std::memset(y.data, 0, y.data_bytes);
    static_cast<float*>(y.data)[383] = static_cast<float>(x.offsets[1]);
    return sidecall_status{SIDECALL_OK};
  });
  const sidecall::Model model(server.address());
  sidecall::Call call(model, 200);
  const void* before = nullptr;
  for (const int64_t length : {10, 60, 200, 3000}) {
    std::vector<int64_t> offsets(201);
    for (size_t i = 0; i < offsets.size(); ++i) offsets[i] = length * static_cast<int64_t>(i);
    const std::string text(static_cast<size_t>(offsets.back()), 'x');
    REQUIRE(sidecall_call_set_strings(call.get(), 0, text.data(), offsets.data(), 200, error()) ==
            SIDECALL_OK);
    call.run();
    const sidecall::Span<const float> y = call.output(0).as<const float>();
    CHECK(y[383] == static_cast<float>(length));
    CHECK((before == nullptr || before == y.data()));
    before = y.data();
  }
}
