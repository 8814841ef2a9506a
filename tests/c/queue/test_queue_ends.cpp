// Completion queues: closed calls and queues, servers that end, forks, and wrong arguments.
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch_test_macros.hpp>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "queue_fixture.h"

using namespace support;
using sidecall::Call;
using sidecall::Model;

TEST_CASE("a call that is closed has no completion any more") {
  Served served(false);
  const Model local(test_paths::model("slow.onnx"));
  Queue queue(16384, 2);
  {
    std::vector<Call> calls;
    for (int i = 0; i < 4; ++i) {
      calls.push_back(served.call(i));
      calls.push_back(slow_call(local, 20));
    }
    for (Call& call : calls) queue.submit(call.get());
  }
  CHECK(queue.take(50 * kMillisecond).empty());
  served.gate.open();
  Call call = served.call(3);
  queue.submit(call.get(), 77);
  CHECK(queue.take_one().tag == 77);
  CHECK(queue.take(0).empty());
}

TEST_CASE("closing a queue cancels its runs and wakes its takers, and calls stay usable") {
  Served served(false);
  const Model local(test_paths::model("slow.onnx"));
  std::vector<Call> calls;
  for (int i = 0; i < 4; ++i) {
    calls.push_back(served.call(i));
    calls.push_back(slow_call(local, 20));
  }
  auto queue = std::make_unique<Queue>(16384, 2);
  for (Call& call : calls) queue->submit(call.get());
  std::string outcome;
  sidecall_queue* const raw = queue->get();
  std::thread taker([&] {
    sidecall_completion taken;
    int64_t count = 1;
    while (outcome.empty() || outcome == "OK")
      outcome = status(sidecall_queue_take(raw, 0, &taken, sizeof taken, 1, -1, &count, error()));
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  queue->close();
  taker.join();
  CHECK(outcome == "CANCELLED");
  served.gate.open();
  Queue other;
  for (Call& call : calls) {
    REQUIRE(eventually([&] { return !is_busy(call); }));
    other.submit(call.get());
  }
  for (size_t i = 0; i < calls.size(); ++i) CHECK(other.take_one().status == SIDECALL_OK);
}

TEST_CASE("a server that dies and one that never was are outcomes") {
  auto served = std::make_unique<Served>(false);
  Call call = served->call(1);
  Queue queue;
  queue.submit(call.get());
  served->await_caller(&queue);
  std::thread closer([&] { served->server.close(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  served->gate.open();
  const sidecall_completion one = queue.take_one();
  closer.join();
  CHECK((one.status == SIDECALL_OK || one.status == SIDECALL_PEER_DIED));
  queue.submit(call.get());
  CHECK(status(queue.take_one().status) == "UNREACHABLE");
}

// A socket that listens, but takes no connection; its queue of connections is short.
class HungServer {
 public:
  explicit HungServer(std::string path) : path_(std::move(path)) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path_.copy(name.sun_path, sizeof name.sun_path - 1);
    const bool listens =
        bind(fd_, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0 && listen(fd_, 10) == 0;
    if (!listens) throw std::runtime_error("cannot listen on " + path_);
  }
  HungServer(const HungServer&) = delete;
  HungServer& operator=(const HungServer&) = delete;
  ~HungServer() {
    close(fd_);
    unlink(path_.c_str());
  }

 private:
  const std::string path_;
  const int fd_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
};

TEST_CASE("runs for a server that hangs end at their deadline, while other runs go on") {
  const std::string address = fresh_address();
  auto server = std::make_unique<FunctionServer>(address, kDouble, double_it);
  const sidecall::Model model(address);
  server.reset();
  auto hung = std::make_unique<HungServer>(address.substr(4));
  Served other;
  Queue queue;
  std::vector<Call> calls;
  for (uint64_t tag = 1; tag <= 100; ++tag) {
    calls.emplace_back(model);
    *doubles(calls.back().input(0)) = static_cast<double>(tag);
    // Half of them have time until the next server is there.
    queue.submit(calls.back().get(), tag, (tag % 2 == 0 ? 50 : 20000) * kMillisecond);
  }
  Call neighbour = other.call(3);
  size_t timed_out = 0;
  while (timed_out < 50) {
    queue.submit(neighbour.get());
    for (bool is_done = false; !is_done;) {
      const sidecall_completion one = queue.take_one();
      CHECK(status(one.status) == (one.tag == 0 ? "OK" : "TIMEOUT"));
      CHECK(one.tag % 2 == 0);
      is_done = one.tag == 0;
      if (!is_done) ++timed_out;
    }
  }
  hung.reset();
  server = std::make_unique<FunctionServer>(address, kDouble, double_it);
  for (int i = 0; i < 50; ++i) {
    const sidecall_completion one = queue.take_one();
    REQUIRE(status(one.status) == "OK");
    CHECK(*doubles(calls[one.tag - 1].output(0)) == 2 * static_cast<double>(one.tag));
  }
}

TEST_CASE("a server that ends while no run is under way wakes an event loop once") {
  Served served(false);
  Call call = served.call(1);
  Queue queue;
  queue.submit(call.get());
  served.await_caller(&queue);
  while (queue.arm() >= 0) queue.take(0);
  served.gate.open();
  CHECK(queue.take_one().status == SIDECALL_OK);
  served.server.close();
  CHECK(is_readable(queue.handle(), 20000));
  CHECK(queue.take(0).empty());
  CHECK_FALSE(is_readable(queue.handle(), 0));
}

TEST_CASE("a deadline that a waiting run no longer needs wakes an event loop once") {
  const sidecall::Model model(test_paths::model("slow.onnx"));
  Queue queue(16384, 1);
  Call first = slow_call(model, 1), second = slow_call(model, 1);
  queue.submit(first.get(), 1, 100 * kMillisecond);
  queue.submit(second.get(), 2, 100 * kMillisecond);
  CHECK(queue.arm() <= 0);
  for (int i = 0; i < 2; ++i) queue.take_one();
  queue.take(0);
  std::this_thread::sleep_for(std::chrono::milliseconds(120));
  CHECK(queue.take(0).empty());
  CHECK_FALSE(is_readable(queue.handle(), 0));
}

TEST_CASE("a connection to the next server wakes a thread that sleeps") {
  const std::string address = fresh_address();
  const auto serve = [&] {
    return std::make_unique<FunctionServer>(address, kDouble, [](sidecall_request* request) {
      // Longer than the queue polls before it sleeps.
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      return double_it(request);
    });
  };
  auto server = serve();
  const sidecall::Model model(address);
  Queue queue;
  Call call(model);
  for (int i = 0; i < 20; ++i) {
    *doubles(call.input(0)) = i;
    queue.submit(call.get());
    const sidecall_completion one = queue.take_one();
    REQUIRE(status(one.status) == "OK");
    REQUIRE(*doubles(call.output(0)) == 2 * i);
    server->close();
    server = serve();
  }
}

TEST_CASE("a forked child cannot use the queue, and the parent loses no run") {
  Served served(false);
  std::vector<Call> calls;
  Queue queue;
  for (int i = 0; i < 64; ++i) {
    calls.push_back(served.call(i));
    queue.submit(calls.back().get(), static_cast<uint64_t>(i));
  }
  while (queue.arm() >= 0) queue.take(0);
  const pid_t child = fork();
  if (child == 0) {
    sidecall_completion taken;
    int64_t count = 0, look_ns = 0;
    intptr_t handle = 0;
    bool is_right = sidecall_queue_take(queue.get(), 0, &taken, sizeof taken, 1, -1, &count,
                                        nullptr) == SIDECALL_FORKED &&
                    sidecall_queue_submit(queue.get(), calls[0].get(), -1, 0, nullptr, nullptr) ==
                        SIDECALL_FORKED &&
                    sidecall_queue_arm(queue.get(), &look_ns, nullptr) == SIDECALL_FORKED &&
                    sidecall_queue_handle(queue.get(), &handle, nullptr) == SIDECALL_FORKED;
    sidecall_queue_cancel(queue.get(), 1);
    queue.close();
    calls.clear();
    _exit(is_right ? 0 : 1);
  }
  int how = 0;
  REQUIRE(waitpid(child, &how, 0) == child);
  CHECK(how == 0);
  served.gate.open();
  std::set<uint64_t> seen;
  while (seen.size() < calls.size()) {
    for (const sidecall_completion& one : queue.take(20000 * kMillisecond)) {
      CHECK(one.status == SIDECALL_OK);
      seen.insert(one.tag);
    }
  }
}

TEST_CASE("arguments of queues are checked") {
  sidecall_queue* raw = nullptr;
  sidecall_queue_options options;
  sidecall_queue_options_init(&options);
  options.capacity = 0;
  CHECK(status(sidecall_queue_open(&options, &raw, error())) == "INVALID_ARGUMENT");
  CHECK(std::string(last().message) == "capacity: expected 1 to 1048576, got 0");
  options.capacity = 1;
  options.max_started = -1;
  CHECK(status(sidecall_queue_open(&options, &raw, error())) == "INVALID_ARGUMENT");
  CHECK(status(sidecall_queue_open(nullptr, nullptr, error())) == "INVALID_ARGUMENT");
  Served served;
  Call call = served.call(1);
  Queue queue;
  CHECK(queue.try_submit(nullptr, -1, 0) == "INVALID_ARGUMENT");
  CHECK(queue.try_submit(call.get(), 0, 0) == "INVALID_ARGUMENT");
  CHECK(status(sidecall_queue_submit(nullptr, call.get(), -1, 0, nullptr, error())) ==
        "INVALID_ARGUMENT");
  std::array<char, 64> bytes{};
  auto* const taken = reinterpret_cast<sidecall_completion*>(bytes.data());
  int64_t count = 0;
  const auto take = [&](size_t size, int64_t capacity, int64_t wait_ns) {
    return status(
        sidecall_queue_take(queue.get(), 0, taken, size, capacity, wait_ns, &count, error()));
  };
  CHECK(take(4, 1, 0) == "INVALID_ARGUMENT");
  CHECK(take(sizeof(sidecall_completion), 0, 0) == "INVALID_ARGUMENT");
  CHECK(take(sizeof(sidecall_completion), 1, -2) == "INVALID_ARGUMENT");
  queue.submit(call.get(), 9);
  // A caller whose struct is larger gets zeros in the fields that this library does not know.
  bytes.fill('x');
  CHECK(take(64, 1, 20000 * kMillisecond) == "OK");
  CHECK((count == 1 && taken->tag == 9));
  CHECK(std::string(bytes.data() + sizeof(sidecall_completion), 4) == std::string(4, '\0'));
  sidecall_queue_close(nullptr);
  sidecall_queue_cancel(nullptr, 1);
}

// The runs of such a call are prepared by a thread of the library.
void make_large(Call* call) {
  const std::vector<int64_t> dims{100, 100};
  call->reshape(0, {dims.data(), dims.size()});
  std::fill_n(doubles(call->input(0)), 10000, 3.0);
}

TEST_CASE("runs with large inputs have their outcomes, and can be cancelled and closed") {
  Served served;
  Queue queue;
  for (int round = 0; round < 50; ++round) {
    std::vector<Call> calls;
    for (int i = 0; i < 4; ++i) {
      calls.push_back(served.call(0));
      make_large(&calls.back());
    }
    const uint64_t first = queue.submit(calls[0].get());
    const uint64_t second = queue.submit(calls[1].get());
    const uint64_t third = queue.submit(calls[2].get(), 0, 1);  // its deadline passes at once
    queue.submit(calls[3].get());
    sidecall_queue_cancel(queue.get(), second);
    calls.pop_back();
    CHECK(queue.take_one(first).status == SIDECALL_OK);
    CHECK(doubles(calls[0].output(0))[9999] == 6);
    const sidecall_status cancelled = queue.take_one(second).status;
    CHECK((cancelled == SIDECALL_CANCELLED || cancelled == SIDECALL_OK));
    CHECK(queue.take_one(third).status == SIDECALL_TIMEOUT);
    CHECK(queue.take(0).empty());
  }
}

// The connection of such a run is not used again, so the output lies in the memory of another one.
TEST_CASE("a call with a large output works again after a run that timed out") {
  Served served;
  Queue queue;
  Call call = served.call(0);
  make_large(&call);
  CHECK(queue.take_one(queue.submit(call.get())).status == SIDECALL_OK);
  served.gate.close();
  const uint64_t late = queue.submit(call.get(), 0, kMillisecond);
  CHECK(queue.take_one(late).status == SIDECALL_TIMEOUT);
  doubles(call.input(0))[9999] = 5;
  const uint64_t run = queue.submit(call.get());
  served.gate.open();
  REQUIRE(queue.take_one(run).status == SIDECALL_OK);
  CHECK(doubles(call.output(0))[9999] == 10);
}
