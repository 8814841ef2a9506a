// Workers behind one address: a connection goes to the worker with the fewest connections, a worker
// that is not ready gets none, a worker that has ended is removed.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch_all.hpp>
#include <cstdlib>
#include <cstring>
#include <sidecall/server.hpp>
#include <thread>

#include "function_server.h"
#include "queue/queue_fixture.h"
#include "support.h"

using support::error;
using support::fresh_address;
using support::last;

namespace {

const char kWorkerNumber[] =
    R"({"inputs": [{"name": "x", "dtype": "int64", "dims": [-1], "dim_names": ["N"]}],)"
    R"( "outputs": [{"name": "worker_number", "dtype": "int64",)"
    R"( "dims": [-1], "dim_names": ["N"]}]})";

class Supervisor {
 public:
  explicit Supervisor(const std::string& address, int32_t max_connections = 0) {
    sidecall::ServerOptions options;
    options.max_connections = max_connections;
    open(address, options);
  }
  Supervisor(const std::string& address, const sidecall_server_options& options) {
    open(address, options);
  }
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;
  ~Supervisor() { sidecall_supervisor_close(supervisor_); }
  sidecall_supervisor* get() const { return supervisor_; }

  void open(const std::string& address, const sidecall_server_options& options) {
    if (sidecall_supervisor_open(address.c_str(), &options, &supervisor_, error()) != SIDECALL_OK)
      throw std::runtime_error(last().message);
  }

  int add(int32_t worker) {
    int32_t fd = -1;
    REQUIRE(sidecall_supervisor_add(supervisor_, worker, &fd, error()) == SIDECALL_OK);
    return fd;
  }
  std::string status() {
    sidecall_text* text = nullptr;
    REQUIRE(sidecall_supervisor_status(supervisor_, &text, error()) == SIDECALL_OK);
    std::string result(text->data, text->length);
    sidecall_text_close(text);
    return result;
  }
  void close() { sidecall_supervisor_close(std::exchange(supervisor_, nullptr)); }

 private:
  sidecall_supervisor* supervisor_ = nullptr;
};

// A worker in this process, which answers with its own number.
sidecall::Server worker(int fd, int64_t worker_number) {
  setenv("SIDECALL_FD", std::to_string(fd).c_str(), 1);
  sidecall::Service service;
  service.signature = kWorkerNumber;
  service.handler = [worker_number](sidecall::Request& request) {
    const int64_t rows = request.input(0).dims()[0];
    const sidecall::View answer = request.output(0, {&rows, 1});
    for (int64_t i = 0; i < rows; ++i) answer.as<int64_t>()[i] = worker_number;
  };
  sidecall::Server server("", service);
  unsetenv("SIDECALL_FD");
  return server;
}

// What a worker tells about its runs (shm/PROTOCOL.md, section 1).
struct Activity {
  std::atomic<int64_t> oldest_ns, busy_since_ns, overran_ns;
  std::atomic<uint64_t> num_waiting;
  char rest[32];
};

// The activity of the first worker of the supervisor in this process. Maps the file that the
// supervisor shares with its workers.
class FirstActivity {
 public:
  FirstActivity() {
    constexpr off_t kBefore = 257 * 2048, kBytes = kBefore + 256 * off_t{sizeof(Activity)};
    DIR* const folder = opendir("/proc/self/fd");
    REQUIRE(folder != nullptr);
    while (const dirent* entry = readdir(folder)) {
      struct stat found{};
      const int fd = std::atoi(entry->d_name);
      if (fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && found.st_size == kBytes)
        memory_ = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    closedir(folder);
    REQUIRE(memory_ != MAP_FAILED);
    activity_ = reinterpret_cast<Activity*>(static_cast<char*>(memory_) + kBefore);
  }
  FirstActivity(const FirstActivity&) = delete;
  FirstActivity& operator=(const FirstActivity&) = delete;
  ~FirstActivity() { munmap(memory_, 257 * 2048 + 256 * sizeof(Activity)); }
  Activity* operator->() const { return activity_; }

 private:
  void* memory_ = MAP_FAILED;
  Activity* activity_ = nullptr;
};

// Reports that a worker is ready, without a connection.
void send_load(int control) {
  const unsigned char load[5] = {3, 0, 0, 0, 0};
  REQUIRE(send(control, load, sizeof load, 0) == sizeof load);
}

int64_t answering_worker(sidecall::Call& call) {
  const int64_t x[] = {0}, dims[] = {1};
  call.copy_input(0, sidecall::View::of<int64_t>({x, 1}, {dims, 1}));
  call.run();
  return call.output(0).as<const int64_t>()[0];
}

}  // namespace

TEST_CASE(
    "connections are distributed over the workers, and the status is the sum of their counters") {
  const std::string address = fresh_address();
  Supervisor supervisor(address);
  CHECK(sidecall_supervisor_listen(supervisor.get(), 0, error()) == SIDECALL_TIMEOUT);
  // No worker is ready, so there is no socket yet.
  CHECK(access(address.substr(4).c_str(), F_OK) != 0);
  const sidecall::Server one = worker(supervisor.add(1), 1);
  const sidecall::Server two = worker(supervisor.add(2), 2);
  REQUIRE(sidecall_supervisor_listen(supervisor.get(), 5000000000, error()) == SIDECALL_OK);
  REQUIRE(
      support::eventually([&] { return sidecall_supervisor_num_ready(supervisor.get()) == 2; }));
  const sidecall::Model model(address);
  std::vector<std::unique_ptr<sidecall::Call>> calls;
  int64_t answered[3] = {0, 0, 0};
  for (int i = 0; i < 4; ++i) {
    calls.push_back(std::make_unique<sidecall::Call>(model, 1));
    ++answered[answering_worker(*calls.back())];
  }
  CHECK(answered[1] == 2);
  CHECK(answered[2] == 2);
  REQUIRE(support::eventually([&] {
    return supervisor.status().find("\"calls\":4,") != std::string::npos;
  }));  // the call is counted after its answer is sent
  const std::string status = supervisor.status();
  CHECK(status.find("\"workers\":2,") != std::string::npos);
  CHECK(status.find("\"each\":[{\"worker\":1,") != std::string::npos);
  sidecall_text* text = nullptr;
  REQUIRE(sidecall_server_query(address.c_str(), 0, &text, error()) == SIDECALL_OK);
  CHECK(std::string(text->data).find("\"calls\":4,") != std::string::npos);
  sidecall_text_close(text);
}

TEST_CASE("a worker that does not answer does not hide the others in the status") {
  Supervisor supervisor(fresh_address());
  const int silent = supervisor.add(1);
  send_load(silent);  // then this worker sends nothing more
  const int control = supervisor.add(2);
  fcntl(control, F_SETFD, 0);  // without close-on-exec, as a worker inherits it
  const sidecall::Server two = worker(control, 2);
  REQUIRE(
      support::eventually([&] { return sidecall_supervisor_num_ready(supervisor.get()) == 2; }));
  const std::string status = supervisor.status();
  CHECK(status.find("\"each\":[{\"worker\":2,") != std::string::npos);
  // Close-on-exec is set again: processes that a worker starts do not inherit the socket.
  CHECK((fcntl(control, F_GETFD) & FD_CLOEXEC) != 0);
  ::close(silent);
}

TEST_CASE("a worker that has ended is removed, and its clients connect to another") {
  const std::string address = fresh_address();
  Supervisor supervisor(address);
  auto one = std::make_unique<sidecall::Server>(worker(supervisor.add(1), 1));
  REQUIRE(sidecall_supervisor_listen(supervisor.get(), 5000000000, error()) == SIDECALL_OK);
  const sidecall::Model model(address);
  sidecall::Call call(model, 1);
  CHECK(answering_worker(call) == 1);
  one.reset();
  REQUIRE(
      support::eventually([&] { return sidecall_supervisor_num_ready(supervisor.get()) == 0; }));
  // No worker is ready: the next call waits for the next worker.
  std::unique_ptr<sidecall::Server> two;
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    two = std::make_unique<sidecall::Server>(worker(supervisor.add(2), 2));
  });
  int64_t worker_number = 0;
  try {
    worker_number = answering_worker(call);
  } catch (const sidecall::Error& failure) {  // the dead connection may end one call
    CHECK(failure.retryable());
    worker_number = answering_worker(call);
  }
  later.join();
  CHECK(worker_number == 2);
}

TEST_CASE("the counters of a worker stay in the sum after it ends") {
  const std::string address = fresh_address();
  Supervisor supervisor(address);
  const auto counts = [&](const char* text) {
    return supervisor.status().find(text) != std::string::npos;
  };
  auto one = std::make_unique<sidecall::Server>(worker(supervisor.add(1), 1));
  REQUIRE(sidecall_supervisor_listen(supervisor.get(), 5000000000, error()) == SIDECALL_OK);
  const sidecall::Model model(address);
  {
    sidecall::Call call(model, 1);
    for (int i = 0; i < 3; ++i) CHECK(answering_worker(call) == 1);
  }
  REQUIRE(support::eventually([&] { return counts("\"calls\":3,"); }));
  one.reset();
  REQUIRE(
      support::eventually([&] { return sidecall_supervisor_num_ready(supervisor.get()) == 0; }));
  CHECK(counts("\"calls\":3,"));
  CHECK(counts("\"statuses\":{\"0\":3}"));
  CHECK(counts("\"connections\":0,"));
  // The next worker may have the same number.
  for (const int32_t number : {1, 2}) {
    auto next = std::make_unique<sidecall::Server>(worker(supervisor.add(number), number));
    REQUIRE(
        support::eventually([&] { return sidecall_supervisor_num_ready(supervisor.get()) == 1; }));
    sidecall::Call call(model, 1);
    CHECK(answering_worker(call) == number);
    const std::string calls = "\"calls\":" + std::to_string(3 + number) + ",";
    REQUIRE(support::eventually([&] { return counts(calls.c_str()); }));
    next.reset();
    REQUIRE(
        support::eventually([&] { return sidecall_supervisor_num_ready(supervisor.get()) == 0; }));
    CHECK(counts(calls.c_str()));
  }
}

TEST_CASE("OPEN does not count as a connection, and a client beyond the limit gets the refusal") {
  const std::string address = fresh_address();
  Supervisor supervisor(address, 2);
  const sidecall::Server one = worker(supervisor.add(1), 1);
  REQUIRE(sidecall_supervisor_listen(supervisor.get(), 5000000000, error()) == SIDECALL_OK);
  sidecall::Options patient;
  patient.wait_ns = 5000000000;  // the worker reports a moment later that a connection is closed
  for (int i = 0; i < 10; ++i) sidecall::Model(address, patient).name();
  const sidecall::Model model(address, patient);
  sidecall::Call first(model, 1), second(model, 1);
  CHECK(answering_worker(first) == 1);
  CHECK(answering_worker(second) == 1);
  for (int i = 0; i < 20; ++i) {
    sidecall_model* other = nullptr;
    CHECK(sidecall_model_open(address.c_str(), nullptr, &other, error()) == SIDECALL_BUSY);
    CHECK(std::string(last().message).find("too many connections") != std::string::npos);
  }
}

TEST_CASE("a worker that ends because of a long run counts as hung, once") {
  sidecall::ServerOptions options;
  options.max_run_ns = 1;
  Supervisor supervisor(fresh_address(), options);
  const int control = supervisor.add(1);
  send_load(control);
  REQUIRE(
      support::eventually([&] { return sidecall_supervisor_num_ready(supervisor.get()) == 1; }));
  const FirstActivity activity;
  activity->oldest_ns = 1;
  activity->overran_ns = 1;
  int64_t run_ns = 0, next_ns = 0;
  int32_t num_late = 0;
  CHECK(sidecall_supervisor_long_runs(supervisor.get(), &run_ns, &num_late, &next_ns) == 1);
  close(control);  // the supervisor may notice this before it is told to remove the worker
  REQUIRE(
      support::eventually([&] { return sidecall_supervisor_num_ready(supervisor.get()) == 0; }));
  sidecall_supervisor_remove(supervisor.get(), 1);
  CHECK(supervisor.status().find("\"workers_hung\":1,") != std::string::npos);
}

TEST_CASE("of several runs that exceed the limit, a worker tells when the oldest one began") {
  const std::string address = fresh_address();
  Supervisor supervisor(address);
  support::Gate gate;
  sidecall::Service service;
  service.signature = kWorkerNumber;
  std::atomic<int> begun = 0;
  service.handler = [&](sidecall::Request& request) {
    ++begun;
    gate.pass();
    const int64_t rows = 1;
    request.output(0, {&rows, 1}).as<int64_t>()[0] = 1;
  };
  sidecall::ServerOptions options;
  options.num_threads = 2;
  options.max_run_ns = 20 * support::kMillisecond;
  setenv("SIDECALL_FD", std::to_string(supervisor.add(1)).c_str(), 1);
  const sidecall::Server server("", service, options);
  unsetenv("SIDECALL_FD");
  REQUIRE(sidecall_supervisor_listen(supervisor.get(), 5000000000, error()) == SIDECALL_OK);
  const FirstActivity activity;
  const sidecall::Model model(address);
  std::vector<std::thread> clients;
  for (int i = 1; i <= 2; ++i) {
    clients.emplace_back([&] {
      sidecall::Call call(model, 1);
      answering_worker(call);
    });
    CHECK(support::eventually([&] { return begun == i; }));
  }
  // The activity tells when the younger of two runs began once both are under way.
  CHECK(support::eventually([&] { return activity->busy_since_ns > activity->oldest_ns; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  CHECK(activity->overran_ns != 0);
  CHECK(activity->overran_ns == activity->oldest_ns);
  gate.open();
  for (std::thread& client : clients) client.join();
}

// UndefinedBehaviorSanitizer makes a pipe to check an object, and reports the object if it cannot.
#ifndef __SANITIZE_ADDRESS__
TEST_CASE("a worker is not ready before its runs can be watched") {
  sidecall::ServerOptions options;
  support::Queue events;
  options.events = events.get();
  Supervisor supervisor(fresh_address(), options);
  const int control = supervisor.add(1);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none = {0, before.rlim_max};  // no descriptor can be opened
  REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
  send_load(control);
  const bool has_failed = support::eventually([&] {
    bool is_told = false;
    for (const sidecall_completion& one : events.take(0)) {
      is_told = is_told || std::strstr(one.event->data, "cannot create a pipe") != nullptr;
      sidecall_text_close(one.event);
    }
    return is_told;
  });
  const int32_t num_ready = sidecall_supervisor_num_ready(supervisor.get());
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(has_failed);
  CHECK(num_ready == 0);
  CHECK(support::eventually([&] { return sidecall_supervisor_num_ready(supervisor.get()) == 1; }));
  unsigned char message = 0;
  CHECK(support::eventually([&] { return recv(control, &message, 1, MSG_DONTWAIT) == 1; }));
  CHECK(message == 4);  // MEMORY
  close(control);
}
#endif

TEST_CASE("a removed worker drains and ends") {
  const std::string address = fresh_address();
  Supervisor supervisor(address);
  const sidecall::Server one = worker(supervisor.add(1), 1);
  REQUIRE(sidecall_supervisor_listen(supervisor.get(), 5000000000, error()) == SIDECALL_OK);
  sidecall_supervisor_remove(supervisor.get(), 7);  // unknown numbers are ignored
  sidecall_supervisor_remove(supervisor.get(), 1);
  CHECK(sidecall_supervisor_num_ready(supervisor.get()) == 0);
  CHECK(support::eventually([&] {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(one.fd(), &set);
    timeval none = {0, 0};
    return select(one.fd() + 1, &set, nullptr, nullptr, &none) == 1;
  }));
}

TEST_CASE("a supervisor that ends refuses waiting connections and removes its socket") {
  const std::string address = fresh_address();
  Supervisor supervisor(address);
  {
    const sidecall::Server one = worker(supervisor.add(1), 1);
    REQUIRE(sidecall_supervisor_listen(supervisor.get(), 5000000000, error()) == SIDECALL_OK);
  }
  REQUIRE(
      support::eventually([&] { return sidecall_supervisor_num_ready(supervisor.get()) == 0; }));
  std::string status;
  std::thread client([&] {
    try {
      const sidecall::Model model(address);
    } catch (const sidecall::Error& failure) {
      status = failure.status_name();
    }
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  supervisor.close();
  client.join();
  CHECK(status == "UNREACHABLE");
  CHECK(access(address.substr(4).c_str(), F_OK) != 0);
}

TEST_CASE("closing a supervisor in a forked child does not affect the parent") {
  const std::string address = fresh_address();
  Supervisor supervisor(address);
  const sidecall::Server one = worker(supervisor.add(1), 1);
  REQUIRE(sidecall_supervisor_listen(supervisor.get(), 5000000000, error()) == SIDECALL_OK);
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // ends the child if it hangs
    supervisor.close();
    _exit(0);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  const sidecall::Model model(address);
  sidecall::Call call(model, 1);
  CHECK(answering_worker(call) == 1);
}

TEST_CASE("invalid arguments of supervisors are refused") {
  const std::string address = fresh_address();
  Supervisor supervisor(address);
  int32_t fd = -1;
  CHECK(sidecall_supervisor_add(supervisor.get(), -1, &fd, error()) == SIDECALL_INVALID_ARGUMENT);
  CHECK(fd == -1);
  const int first = supervisor.add(1);
  CHECK(sidecall_supervisor_add(supervisor.get(), 1, &fd, error()) == SIDECALL_INVALID_ARGUMENT);
  CHECK(sidecall_supervisor_listen(supervisor.get(), -2, error()) == SIDECALL_INVALID_ARGUMENT);
  // A worker that sends anything but a LOAD message is disconnected.
  REQUIRE(send(first, "hello", 5, MSG_NOSIGNAL) == 5);
  char byte = 0;
  CHECK(recv(first, &byte, 1, 0) == 0);
  close(first);
  const sidecall::Server living(fresh_address(), sidecall::Model(test_paths::model("add.onnx")));
  sidecall_supervisor* second = nullptr;
  CHECK(sidecall_supervisor_open("jobs", nullptr, &second, error()) == SIDECALL_INVALID_ARGUMENT);
}

TEST_CASE("a supervisor cannot take the address of a running server") {
  const std::string address = fresh_address();
  const sidecall::Server living(address, sidecall::Model(test_paths::model("add.onnx")));
  sidecall_supervisor* second = nullptr;
  CHECK(sidecall_supervisor_open(address.c_str(), nullptr, &second, error()) == SIDECALL_BUSY);
  CHECK(second == nullptr);
}

TEST_CASE("a supervisor without an address serves nothing by itself") {
  sidecall_supervisor* supervisor = nullptr;
  REQUIRE(sidecall_supervisor_open(nullptr, nullptr, &supervisor, error()) == SIDECALL_OK);
  CHECK(sidecall_supervisor_listen(supervisor, 0, error()) == SIDECALL_TIMEOUT);
  int32_t fd = -1;
  REQUIRE(sidecall_supervisor_add(supervisor, 0, &fd, error()) == SIDECALL_OK);
  {
    const sidecall::Server first = worker(fd, 1);
    CHECK(sidecall_supervisor_listen(supervisor, 5'000'000'000, error()) == SIDECALL_OK);
    CHECK(sidecall_supervisor_num_ready(supervisor) == 1);
  }
  sidecall_supervisor_close(supervisor);
}

TEST_CASE("only HTTP and gRPC can be in front of a server or of workers") {
  const std::string address = fresh_address();
  Supervisor supervisor(address);
  const sidecall::Server backend = worker(supervisor.add(0), 1);
  sidecall_server* frontend = nullptr;
  for (const char* at : {"shm:other", "fraud.onnx", ""}) {
    CHECK(sidecall_supervisor_open_frontend(supervisor.get(), at, nullptr, &frontend, error()) ==
          SIDECALL_INVALID_ARGUMENT);
    CHECK(frontend == nullptr);
    CHECK(sidecall_server_open_frontend(backend.get(), at, nullptr, &frontend, error()) ==
          SIDECALL_INVALID_ARGUMENT);
    CHECK(std::string(last().message).find("HTTP or gRPC") != std::string::npos);
  }
  for (const char* at : {"http://127.0.0.1:0", static_cast<const char*>(nullptr)}) {
    CHECK(sidecall_supervisor_open_frontend(nullptr, at, nullptr, &frontend, error()) ==
          SIDECALL_INVALID_ARGUMENT);
    CHECK(sidecall_server_open_frontend(nullptr, at, nullptr, &frontend, error()) ==
          SIDECALL_INVALID_ARGUMENT);
  }
  CHECK(sidecall_server_open_frontend(backend.get(), nullptr, nullptr, &frontend, error()) ==
        SIDECALL_INVALID_ARGUMENT);
  CHECK(sidecall_server_open_frontend(backend.get(), "http://127.0.0.1:0", nullptr, nullptr,
                                      error()) == SIDECALL_INVALID_ARGUMENT);
}
