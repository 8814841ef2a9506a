// Callers that were built with an older or a newer header: each struct at each size. The memory
// behind the struct must be neither read nor written.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch_test_macros.hpp>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "foreign.h"
#include "server/function_server.h"

using support::error;
using support::Foreign;
using support::kUnset;
using support::status;

namespace {

constexpr size_t kNewer = 64;  // bytes that a newer header adds

// A field that a test compares or sets: its offset and its value.
struct Field {
  size_t offset;
  std::vector<unsigned char> bytes;
};

template <typename Value>
Field field(size_t offset, Value value) {
  const auto* at = reinterpret_cast<const unsigned char*>(&value);
  return {offset, {at, at + sizeof value}};
}

#define FIELD(type, name, value) field(offsetof(type, name), decltype(type::name)(value))

// `init` initialises a struct of each size: the size itself, the defaults that fit completely, and
// zeroes elsewhere.
template <typename Struct, typename Init>
void check_init(Init init, const std::vector<Field>& defaults) {
  for (size_t size = 0; size <= sizeof(Struct) + kNewer; ++size) {
    Foreign<Struct> given(size);
    init(given.get(), size);
    CHECK(given.is_intact());
    if (size < sizeof(uint32_t)) {
      CHECK(given.is_unset(0, size));
      continue;
    }
    std::vector<unsigned char> expected(size, 0);
    const auto number = static_cast<uint32_t>(size);
    std::memcpy(expected.data(), &number, sizeof number);
    for (const Field& one : defaults)
      if (given.has(one.offset, one.bytes.size()))
        std::memcpy(expected.data() + one.offset, one.bytes.data(), one.bytes.size());
    CHECK(std::memcmp(given.bytes(), expected.data(), size) == 0);
  }
  // A size that is too large for any of these structs is stored as 0, which every function refuses.
  Foreign<Struct> given(sizeof(uint32_t));
  init(given.get(), 5000);
  CHECK(given.get()->struct_size == 0);
  init(nullptr, sizeof(Struct));
}

// Each of `faults` is a field with an invalid value. `use` refuses the struct if and only if the
// struct contains the whole field.
template <typename Struct, typename Use>
void check_read(const Struct& good, const std::vector<Field>& faults, Use use) {
  for (size_t size = sizeof(uint32_t); size <= sizeof(Struct) + kNewer; ++size) {
    Foreign<Struct> given(size);
    given.fill(good);
    CHECK(use(given.get()) == "OK");
    for (const Field& fault : faults) {
      given.fill(good);
      for (size_t i = 0; i < fault.bytes.size() && fault.offset + i < size; ++i)
        given.bytes()[fault.offset + i] = fault.bytes[i];
      INFO("size " << size << ", field at " << fault.offset);
      CHECK((use(given.get()) == "OK") == !given.has(fault.offset, fault.bytes.size()));
    }
    if (size > sizeof(Struct)) {
      given.fill(good);
      given.bytes()[size - 1] = 1;
      CHECK(use(given.get()) == "INVALID_ARGUMENT");
    }
  }
}

// A size field with the alignment of a real struct.
struct AlignedSize {
  alignas(void*) uint32_t size;
};

// Calls `use` with sizes that every function refuses. The memory ends after struct_size, so nothing
// else may be read.
template <typename Use>
void check_refused_sizes(Use use) {
  for (const uint32_t size : {0U, 1U, 3U, 4097U, 0xa5a5a5a5U}) {
    Foreign<AlignedSize> given(sizeof size);
    given.set_size(size);
    use(given.get());
    CHECK(given.get()->size == size);
  }
}

sidecall_model_options model_options() {
  sidecall_model_options options;
  sidecall_model_options_init(&options);
  return options;
}

sidecall_server_options server_options() {
  sidecall_server_options options;
  sidecall_server_options_init(&options);
  return options;
}

sidecall_status refuse(void*, sidecall_request*) { return SIDECALL_ENGINE; }

sidecall_status opened(const sidecall_service* service) {
  sidecall_server* server = nullptr;
  const sidecall_status answer = sidecall_server_open_service(
      support::fresh_address().c_str(), service, SIDECALL_VERIFY_ERROR, nullptr, &server, error());
  sidecall_server_close(server);
  return answer;
}

}  // namespace

TEST_CASE("an init function fills every size of its struct and nothing beyond") {
  check_init<sidecall_error>(sidecall_error_init_sized, {FIELD(sidecall_error, row, -1)});
  check_init<sidecall_model_options>(sidecall_model_options_init_sized,
                                     {FIELD(sidecall_model_options, timeout_ns, -1)});
  check_init<sidecall_view>(sidecall_view_init_sized, {});
  check_init<sidecall_log_lines>(
      sidecall_log_lines_init_sized,
      {FIELD(sidecall_log_lines, fd, 2), FIELD(sidecall_log_lines, least_level, 1)});
  check_init<sidecall_server_options>(
      sidecall_server_options_init_sized,
      {FIELD(sidecall_server_options, group, -1), FIELD(sidecall_server_options, spin_us, -1),
       FIELD(sidecall_server_options, events_level, 1)});
  check_init<sidecall_service>(sidecall_service_init_sized, {});
}

TEST_CASE("the init macros pass the size that the caller was compiled with") {
  sidecall_error err;
  sidecall_view view;
  sidecall_log_lines lines;
  sidecall_service service;
  sidecall_error_init(&err);
  sidecall_view_init(&view);
  sidecall_log_lines_init(&lines);
  sidecall_service_init(&service);
  CHECK(err.struct_size == sizeof err);
  CHECK(view.struct_size == sizeof view);
  CHECK(lines.struct_size == sizeof lines);
  CHECK(service.struct_size == sizeof service);
  CHECK(model_options().struct_size == sizeof(sidecall_model_options));
  CHECK(server_options().struct_size == sizeof(sidecall_server_options));
}

TEST_CASE("an error struct can have any size, and only the fields within its size are filled") {
  const auto fail = [](sidecall_error* err) {
    sidecall_model* model = nullptr;
    return sidecall_model_open("no such file.onnx", nullptr, &model, err);
  };
  sidecall_error whole = SIDECALL_ERROR_INIT;
  REQUIRE(fail(&whole) == SIDECALL_FILE_NOT_FOUND);
  const auto* expected = reinterpret_cast<const unsigned char*>(&whole);
  for (size_t size = sizeof(uint32_t); size <= sizeof whole + kNewer; ++size) {
    INFO("size " << size);
    Foreign<sidecall_error> given(size);
    given.fill(SIDECALL_ERROR_INIT);
    if (size > sizeof whole)
      given.bytes()[size - 1] = 7;  // a field of a newer header: the library must not change it
    CHECK(fail(given.get()) == SIDECALL_FILE_NOT_FOUND);
    CHECK(given.is_intact());
    CHECK(given.get()->struct_size == size);
    for (const size_t at : {offsetof(sidecall_error, status), offsetof(sidecall_error, retryable),
                            offsetof(sidecall_error, num_faults)})
      if (given.has(at, 4)) CHECK(std::memcmp(given.bytes() + at, expected + at, 4) == 0);
    if (given.has(offsetof(sidecall_error, row), 8)) CHECK(given.get()->row == -1);
    const size_t message = offsetof(sidecall_error, message);
    if (size > message) {
      const size_t room = std::min(size - message, sizeof whole.message);
      const std::string text(given.get()->message, strnlen(given.get()->message, room));
      CHECK(text == std::string(whole.message).substr(0, room - 1));
    }
    if (size > sizeof whole) CHECK(given.bytes()[size - 1] == 7);
  }
  check_refused_sizes([&](void* err) {
    CHECK(fail(static_cast<sidecall_error*>(err)) == SIDECALL_FILE_NOT_FOUND);
  });
}

TEST_CASE("faults are stored only where the error has both fields for them") {
  const sidecall::Model model(test_paths::model("kinds.onnx"));
  for (size_t size = offsetof(sidecall_error, message); size <= sizeof(sidecall_error); ++size) {
    sidecall_fault faults[2];
    std::memset(faults, kUnset, sizeof faults);
    sidecall_error whole = SIDECALL_ERROR_INIT;
    whole.faults = faults;
    whole.faults_capacity = 2;
    Foreign<sidecall_error> given(size);
    given.fill(whole);
    sidecall_text* text = nullptr;
    CHECK(status(sidecall_predict_json(model.get(), "{}", 2, &text, given.get())) ==
          "MISSING_VALUE");
    CHECK(given.is_intact());
    CHECK((faults[0].status == SIDECALL_MISSING_VALUE) ==
          given.has(offsetof(sidecall_error, faults_capacity), 4));
  }
}

TEST_CASE("model options of any size are read, and missing fields have their defaults") {
  const auto describe = [](const void* options) {
    sidecall_text* text = nullptr;
    const sidecall_status answer = sidecall_engine_describe(
        static_cast<const sidecall_model_options*>(options), &text, error());
    sidecall_text_close(text);
    return status(answer);
  };
  check_read(
      model_options(),
      {FIELD(sidecall_model_options, verify, 7), FIELD(sidecall_model_options, extra, 7),
       FIELD(sidecall_model_options, allow_exec, 7), FIELD(sidecall_model_options, timeout_ns, 0),
       FIELD(sidecall_model_options, wait_ns, -2),
       FIELD(sidecall_model_options, onnxruntime, "/nowhere/libonnxruntime.so"),
       FIELD(sidecall_model_options, engine, 3)},
      describe);
  check_refused_sizes([&](void* options) { CHECK(describe(options) == "INVALID_ARGUMENT"); });
}

TEST_CASE("server options of any size are read, and missing fields have their defaults") {
  const std::string address = support::fresh_address();
  const auto open = [&](const void* options) {
    sidecall_supervisor* supervisor = nullptr;
    const sidecall_status answer = sidecall_supervisor_open(
        address.c_str(), static_cast<const sidecall_server_options*>(options), &supervisor,
        error());
    sidecall_supervisor_close(supervisor);
    return status(answer);
  };
  check_read(
      server_options(),
      {FIELD(sidecall_server_options, num_threads, -1),
       FIELD(sidecall_server_options, copy_inputs, 2),
       FIELD(sidecall_server_options, num_allow_uids, 1),
       FIELD(sidecall_server_options, max_connections, -1),
       FIELD(sidecall_server_options, group, -2),
       FIELD(sidecall_server_options, max_connections_per_user, -1),
       FIELD(sidecall_server_options, spin_us, -2), FIELD(sidecall_server_options, drain_ns, -1),
       FIELD(sidecall_server_options, start_later, 2),
       FIELD(sidecall_server_options, events_level, 4)},
      open);
  check_refused_sizes([&](void* options) { CHECK(open(options) == "INVALID_ARGUMENT"); });
}

TEST_CASE("a service struct is accepted if its size includes the handler") {
  sidecall_service whole;
  sidecall_service_init(&whole);
  whole.signature = support::kDouble;
  whole.signature_length = std::strlen(support::kDouble);
  whole.handler = refuse;
  for (size_t size = sizeof(uint32_t); size <= sizeof whole + kNewer; ++size) {
    INFO("size " << size);
    Foreign<sidecall_service> given(size);
    given.fill(whole);
    const bool has_handler = given.has(offsetof(sidecall_service, handler), sizeof whole.handler);
    CHECK(status(opened(given.get())) == (has_handler ? "OK" : "INVALID_ARGUMENT"));
    if (size <= sizeof whole) continue;
    given.bytes()[size - 1] = 1;
    CHECK(status(opened(given.get())) == "INVALID_ARGUMENT");
  }
  check_refused_sizes([](void* service) {
    CHECK(status(opened(static_cast<sidecall_service*>(service))) == "INVALID_ARGUMENT");
  });
}

TEST_CASE("log line structs of any size are read, and missing fields have their defaults") {
  int ends[2];
  REQUIRE(pipe2(ends, O_NONBLOCK) == 0);
  const auto is_written = [&](sidecall_log_lines* lines, int32_t level) {
    sidecall_log_line(lines, level, "{\"event\":\"x\"}");
    sidecall_log_flush(INT64_C(10) * 1000 * 1000 * 1000);
    char buffer[256];
    return read(ends[0], buffer, sizeof buffer) > 0;
  };
  sidecall_log_lines whole;
  sidecall_log_lines_init(&whole);
  whole.fd = ends[1];
  whole.least_level = 0;
  for (size_t size = sizeof(uint32_t); size <= sizeof whole + kNewer; ++size) {
    INFO("size " << size);
    Foreign<sidecall_log_lines> given(size);
    given.fill(whole);
    CHECK(is_written(given.get(), 0) == (size >= sizeof whole));  // the default of least_level is 1
    if (size >= offsetof(sidecall_log_lines, as_json)) CHECK(is_written(given.get(), 1));
  }
  check_refused_sizes(
      [&](void* lines) { CHECK_FALSE(is_written(static_cast<sidecall_log_lines*>(lines), 3)); });
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE(
    "a view struct can have any size, and only the fields within its size are read and filled") {
  const sidecall::Model model(test_paths::model("add.onnx"));
  sidecall::Call call(model, 2);
  const int64_t dims[] = {2, 2};
  float x[] = {1, 2, 3, 4};
  sidecall_view whole = SIDECALL_VIEW_INIT;
  whole.dtype = SIDECALL_DTYPE_FLOAT32;
  whole.rank = 2;
  whole.dims = dims;
  whole.data = x;
  whole.data_bytes = sizeof x;
  for (size_t size = sizeof(uint32_t); size <= sizeof whole + kNewer; ++size) {
    INFO("size " << size);
    Foreign<sidecall_view> given(size);
    given.fill(whole);
    const bool is_complete =
        given.has(offsetof(sidecall_view, data_bytes), sizeof whole.data_bytes);
    CHECK((sidecall_call_copy_input(call.get(), 0, given.get(), error()) == SIDECALL_OK) ==
          is_complete);
    CHECK((sidecall_call_bind_input(call.get(), 0, given.get(), error()) == SIDECALL_OK) ==
          is_complete);
    if (size > sizeof whole) {
      given.bytes()[size - 1] = 1;
      CHECK(status(sidecall_call_copy_input(call.get(), 0, given.get(), error())) ==
            "INVALID_ARGUMENT");
    }
  }
  sidecall_view input = SIDECALL_VIEW_INIT;
  REQUIRE(sidecall_call_input(call.get(), 0, &input, error()) == SIDECALL_OK);
  for (size_t size = sizeof(uint32_t); size <= sizeof whole + kNewer; ++size) {
    INFO("size " << size);
    Foreign<sidecall_view> given(size);
    given.set_size(size);
    REQUIRE(sidecall_call_input(call.get(), 0, given.get(), error()) == SIDECALL_OK);
    CHECK(given.is_intact());
    CHECK(given.get()->struct_size == size);
    CHECK((given.has(offsetof(sidecall_view, rank), 4) ? given.get()->rank == 2
                                                       : given.is_unset(8, size)));
    if (given.has(offsetof(sidecall_view, data), 8)) CHECK(given.get()->data == input.data);
    else CHECK(given.is_unset(std::min(size, offsetof(sidecall_view, data)), size));
    if (size > sizeof whole) CHECK(given.is_unset(sizeof whole, size));
    REQUIRE(sidecall_call_output(call.get(), 0, given.get(), error()) == SIDECALL_OK);
    CHECK(given.is_intact());
  }
  check_refused_sizes([&](void* memory) {
    auto* view = static_cast<sidecall_view*>(memory);
    CHECK(status(sidecall_call_input(call.get(), 0, view, error())) == "INVALID_ARGUMENT");
    CHECK(status(sidecall_call_output(call.get(), 0, view, error())) == "INVALID_ARGUMENT");
    CHECK(status(sidecall_call_copy_input(call.get(), 0, view, error())) == "INVALID_ARGUMENT");
  });
}

TEST_CASE("a handler's view structs can have any size") {
  size_t num_wrong = 0;
  const support::FunctionServer server(
      support::fresh_address(), support::kDouble, [&](sidecall_request* request) {
        const sidecall_view input = support::input_of(request, 0);
        double* const target = support::output_of(request, 0, {input.dims[0], input.dims[1]});
        for (size_t size = sizeof(uint32_t); size <= sizeof input + kNewer; ++size) {
          Foreign<sidecall_view> given(size);
          given.set_size(size);
          const bool has_data = given.has(offsetof(sidecall_view, data), sizeof input.data);
          num_wrong += sidecall_request_input(request, 0, given.get(), nullptr) != SIDECALL_OK ||
                       !given.is_intact();
          num_wrong += has_data && given.get()->data != input.data;
          num_wrong += sidecall_request_output(request, 0, input.dims, 2, given.get(), nullptr) !=
                           SIDECALL_OK ||
                       !given.is_intact();
          num_wrong += has_data && given.get()->data != target;
        }
        for (const uint32_t size : {0U, 3U, 4097U}) {
          Foreign<sidecall_view> given(sizeof size);
          given.set_size(size);
          num_wrong +=
              sidecall_request_input(request, 0, given.get(), nullptr) != SIDECALL_INVALID_ARGUMENT;
          num_wrong += sidecall_request_output(request, 0, input.dims, 2, given.get(), nullptr) !=
                       SIDECALL_INVALID_ARGUMENT;
        }
        return support::double_it(request);
      });
  const sidecall::Model model(server.address());
  sidecall::Call call(model);
  const int64_t dims[] = {1, 2};
  const std::vector<double> x = {1, 2};
  call.copy_input(0, sidecall::View::of<double>({x.data(), x.size()}, {dims, 2}));
  call.run();
  CHECK(call.output(0).as<double>()[1] == 4);
  CHECK(num_wrong == 0);
}
