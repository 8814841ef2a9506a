// Fuzzes what a client sends to the server of the network route. The first byte chooses: bytes of a
// connection with HTTP/1.1 or HTTP/2, the body of a run, or an address of a server.
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "net/api/serving.h"
#include "net/common/error.h"
#include "net/server/address.h"
#include "net/server/connection/byte_stream.h"
#include "net/server/connection/connection.h"
#include "net/server/connection/descriptor.h"
#include "net/server/connection/poller.h"
#include "net/server/infer.h"
#include "net/server/router.h"
#include "net/server/served_model.h"
#include "tests/fuzz/check.h"

struct sidecall_call {
  bool has_inputs = false;
};

// A run is over as soon as it is submitted.
struct sidecall_queue {
  const sidecall::net::Descriptor fd = sidecall::net::Descriptor(eventfd(0, EFD_CLOEXEC));
  std::vector<uint64_t> over;  // the tags
};

namespace {

namespace net = sidecall::net;

const int64_t kDims[] = {-1, 2};
const sidecall_net_tensor kInputs[] = {{"x", SIDECALL_DTYPE_FLOAT32, 2, kDims, nullptr, 0, nullptr},
                                       {"s", SIDECALL_DTYPE_STRING, 2, kDims, nullptr, 0, nullptr}};
const int64_t kAnswerDims[] = {1, 2};
const float kNumbers[] = {1, 2};
const sidecall_net_tensor kOutputs[] = {
    {"y", SIDECALL_DTYPE_FLOAT32, 2, kAnswerDims, kNumbers, sizeof kNumbers, nullptr}};

// A tensor that the library gets must be whole.
void check_tensor(const sidecall_view& tensor) {
  fuzz::require(sidecall::is_dtype(tensor.dtype), "a type");
  uint64_t count = 1;
  for (int32_t i = 0; i < tensor.rank; ++i) {
    fuzz::require(tensor.dims[i] >= 0, "sizes");
    count *= static_cast<uint64_t>(tensor.dims[i]);
    fuzz::require(count < UINT64_C(1) << 57, "a size that does not overflow");
  }
  if (tensor.dtype == SIDECALL_DTYPE_STRING) {
    fuzz::require(
        tensor.offsets[0] == 0 && tensor.offsets[count] == static_cast<int64_t>(tensor.data_bytes),
        "offsets from end to end");
  } else {
    const auto bits = static_cast<uint64_t>(sidecall::dtype_bits(tensor.dtype));
    fuzz::require(tensor.data_bytes == count * bits / 8, "as many bytes as the shape says");
  }
  const auto* const bytes = static_cast<const char*>(tensor.data);
  volatile char sum = 0;
  for (uint64_t k = 0; k < tensor.data_bytes; ++k) sum = static_cast<char>(sum + bytes[k]);
}

sidecall_status refuse(sidecall_error* err, sidecall_status status) {
  err->num_faults = 0;
  return status;
}

// The C ABI of a library that runs no model.
sidecall_functions make_library() {
  sidecall_functions library{};
  library.model_take_call = [](const sidecall_model*, int64_t, sidecall_call** out,
                               sidecall_error*) {
    *out = new sidecall_call();
    return SIDECALL_OK;
  };
  library.model_give_call = [](const sidecall_model*, sidecall_call* call) { delete call; };
  library.model_id = [](const sidecall_model*) { return "id"; };
  library.call_close = [](sidecall_call* call) { delete call; };
  library.call_copy_input = [](sidecall_call* call, int32_t input, const sidecall_view* view,
                               sidecall_error*) {
    fuzz::require(input >= 0 && input < static_cast<int32_t>(std::size(kInputs)), "an input");
    check_tensor(*view);
    call->has_inputs = true;
    return SIDECALL_OK;
  };
  library.call_expected_ns = [](const sidecall_call* call) {
    return call->has_inputs ? int64_t{1} : INT64_MAX;
  };
  library.call_run = [](sidecall_call* call, int64_t timeout_ns, sidecall_error* err) {
    fuzz::require(timeout_ns > 0, "time");
    return call->has_inputs ? SIDECALL_OK : refuse(err, SIDECALL_MISSING_INPUT);
  };
  library.call_cancel = [](sidecall_call*) {};
  library.call_error = [](sidecall_call* call, sidecall_error* err) {
    return call->has_inputs ? SIDECALL_OK : refuse(err, SIDECALL_MISSING_INPUT);
  };
  library.call_output = [](sidecall_call*, int32_t, sidecall_view* view, sidecall_error*) {
    view->dtype = SIDECALL_DTYPE_FLOAT32;
    view->rank = 2;
    view->dims = kAnswerDims;
    view->data = const_cast<float*>(kNumbers);
    view->data_bytes = sizeof kNumbers;
    return SIDECALL_OK;
  };
  library.queue_open = [](const sidecall_queue_options*, sidecall_queue** out, sidecall_error*) {
    *out = new sidecall_queue();
    return SIDECALL_OK;
  };
  library.queue_handle = [](sidecall_queue* queue, intptr_t* out, sidecall_error*) {
    *out = queue->fd.get();
    return SIDECALL_OK;
  };
  library.queue_submit = [](sidecall_queue* queue, sidecall_call*, int64_t timeout_ns, uint64_t tag,
                            uint64_t*, sidecall_error*) {
    fuzz::require(timeout_ns > 0, "time");
    queue->over.push_back(tag);
    return SIDECALL_OK;
  };
  library.queue_take = [](sidecall_queue* queue, uint64_t, sidecall_completion* out, size_t,
                          int64_t capacity, int64_t, int64_t* out_count, sidecall_error*) {
    const size_t count = std::min(static_cast<size_t>(capacity), queue->over.size());
    for (size_t i = 0; i < count; ++i) {
      out[i].tag = queue->over.back();
      queue->over.pop_back();
    }
    *out_count = static_cast<int64_t>(count);
    return SIDECALL_OK;
  };
  library.queue_arm = [](sidecall_queue* queue, int64_t* out_look_ns, sidecall_error*) {
    *out_look_ns = queue->over.empty() ? -1 : 0;
    return SIDECALL_OK;
  };
  library.queue_close = [](sidecall_queue* queue) { delete queue; };
  library.status_name = [](sidecall_status) { return "STATUS"; };
  library.text_close = [](sidecall_text* text) { delete text; };
  return library;
}

const sidecall_functions kLibrary = make_library();

// A service that runs no model.
sidecall_net_service make_service() {
  sidecall_net_service service{};
  service.library = &kLibrary;
  service.name = "m";
  service.version = "1";
  service.contract = R"({"features":[{"name":"a","type":"float32","nullable":true}]})";
  service.inputs = kInputs;
  service.num_inputs = std::size(kInputs);
  service.outputs = kOutputs;
  service.num_outputs = std::size(kOutputs);
  service.has_records = 1;
  service.is_local = 1;
  service.is_repeatable = 1;
  service.num_threads = 1;
  service.logs_requests = 1;
  service.is_ready = [](void*) { return 1; };
  service.num_hung = [](void*) { return int64_t{0}; };
  service.log = [](void*, int32_t, const char*, const char*) {};
  service.end_of_process = [](sidecall_error*) { return SIDECALL_OK; };
  service.missing_number = [](void*, int32_t, int64_t element, int64_t* out, sidecall_error* err) {
    *out = element;
    return element % 2 == 0 ? SIDECALL_OK : refuse(err, SIDECALL_MISSING_VALUE);
  };
  service.set_records = [](sidecall_call* call, const char* json, size_t bytes,
                           int32_t* out_is_list, sidecall_error* err) {
    *out_is_list = 0;
    call->has_inputs = bytes > 0 && json[0] == '{';
    return call->has_inputs ? SIDECALL_OK : refuse(err, SIDECALL_INVALID_JSON);
  };
  service.records_of = [](sidecall_call*, int32_t, sidecall_text** out, sidecall_error*) {
    *out = new sidecall_text{"{}", 2};
    return SIDECALL_OK;
  };
  return service;
}

constexpr int64_t kSecondNs = 1000000000;
constexpr sidecall_net_server_options kLimits = {
    1, 10, 10, 65536, 65536, 1 << 20, 0, 30 * kSecondNs, 30 * kSecondNs};

// Sends bytes over a connection in parts, and reads what the server answers.
void converse(bool is_grpc, std::string_view bytes, size_t part) {
  net::ServerContext server(
      net::read_server_address(is_grpc ? "grpc://127.0.0.1:1" : "http://127.0.0.1:1"),
      make_service(), kLimits);
  net::Poller poller;
  net::Router router(&server, &poller);
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0)
    return;
  const net::Descriptor client(ends[1]);
  {
    auto stream = net::make_plain_stream(ends[0]);
    net::Connection connection(net::Descriptor{ends[0]}, std::move(stream), &poller, nullptr,
                               &router, &server);
    connection.start();
    while (!bytes.empty() && !connection.is_closed()) {
      const std::string_view now = bytes.substr(0, part);
      const ssize_t sent = ::send(client.get(), now.data(), now.size(), MSG_NOSIGNAL);
      if (sent <= 0) break;
      bytes.remove_prefix(static_cast<size_t>(sent));
      poller.poll(0);
      poller.poll(0);  // the end of a run that was started
      connection.check_time(net::Clock::now());
      std::array<char, 65536> answer{};
      while (::recv(client.get(), answer.data(), answer.size(), 0) > 0) {
      }
    }
    connection.drain(net::Clock::now());
    poller.poll(0);
  }
  fuzz::require(server.metrics.connections == 0 && server.metrics.memory == 0, "nothing is held");
}

void read_run(bool is_grpc, std::string_view bytes) {
  static const sidecall_net_service service = make_service();
  const net::ServedModel model(service, 4096);
  sidecall_call call;
  net::InferPlan plan;
  net::Request request;
  request.body = bytes;
  if (is_grpc) {
    plan = net::read_grpc_infer(request.body, service);
  } else {
    // The text before the first line feed is the length of the JSON.
    const size_t end = bytes.find('\n');
    if (end != std::string_view::npos) {
      request.headers.emplace_back("inference-header-content-length", bytes.substr(0, end));
      request.body = bytes.substr(end + 1);
    }
    plan = net::read_http_infer(request, model);
  }
  model.set_tensors(&call, plan.inputs);
  fuzz::require(!plan.outputs.empty(), "outputs");
  const sidecall_net_tensors outputs = {kOutputs, std::size(kOutputs), ""};
  if (is_grpc) net::write_grpc_answer(plan, outputs, {"m", "1", "id"}, 65536);
  else net::write_http_answer(plan, outputs, {"m", "1", "id"}, 65536);
}

void read(uint8_t kind, std::string_view bytes) {
  constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  switch (kind % 7) {
    case 0:
      return converse(false, bytes, 65536);
    case 1:
      return converse(false, bytes, 7);
    case 2:
      return converse(true, std::string(kPreface).append(bytes), 65536);
    case 3:
      return converse(true, bytes, 11);
    case 4:
      return read_run(false, bytes);
    case 5:
      return read_run(true, bytes);
    default: {
      const net::ServerAddress address = net::read_server_address(std::string(bytes));
      fuzz::require(address.socket.empty() != address.host.empty(), "a host or a socket");
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  try {
    read(data[0], {reinterpret_cast<const char*>(data) + 1, size - 1});
  } catch (const net::Error& error) {
    fuzz::require(error.status() != SIDECALL_INTERNAL && error.status() != SIDECALL_OK,
                  "a status of the protocol");
  }
  return 0;
}
