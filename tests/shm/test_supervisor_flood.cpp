// A supervisor under a flood of invalid connections: it still passes on new connections, reports
// its status and ends.
#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

#include "raw_client.h"
#include "server_host.h"
#include "shm/supervisor/supervisor.h"

namespace shm = sidecall::shm;

namespace {

// Connects as fast as it can, sends something that is not a HELLO, and disconnects.
class Flood {
 public:
  explicit Flood(const std::string& path) {
    for (int i = 0; i < 3; ++i) {
      threads_.emplace_back([this, path] {
        while (!is_over_) {
          int error = 0;
          shm::Socket socket(shm::connect_to(path, &error));
          if (!socket) continue;
          socket.send("garbage", 7);
          ++count_;
        }
      });
    }
    while (count_ < 500) std::this_thread::yield();
  }
  ~Flood() {
    is_over_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;

 private:
  std::atomic<bool> is_over_{false};
  std::atomic<uint64_t> count_{0};
  std::vector<std::thread> threads_;
};

// The backlog of the socket may be full for a moment.
shm::Socket connect(const std::string& path) {
  for (;;) {
    int error = 0;
    shm::Socket socket(shm::connect_to(path, &error));
    if (socket) return socket;
    if (error != EAGAIN) throw std::runtime_error(std::strerror(error));
    std::this_thread::yield();
  }
}

}  // namespace

TEST_CASE(
    "during a flood of invalid connections new clients are served, the status is answered and the "
    "supervisor can end") {
  host::Host worker;
  const std::string path = worker.folder / "supervisor.sock";
  auto supervisor = std::make_unique<shm::Supervisor>(path, shm::ServerOptions());
  worker.server.control(supervisor->add(1).release(), 1000000000);
  REQUIRE(supervisor->listen(shm::Deadline::after(INT64_C(10000000000))));
  const Flood flood(path);
  const shm::Hello hello = raw::hello(shm::kOpen);
  std::vector<int64_t> waits;
  for (int i = 0; i < 50; ++i) {
    const int64_t start = shm::now_ns();
    shm::Socket newcomer = connect(path);
    CHECK(raw::ask(&newcomer, &hello, sizeof hello).kind() == shm::kWelcome);
    waits.push_back(shm::now_ns() - start);
    if (i % 10 == 0) CHECK(supervisor->status().find("\"workers\":1,") != std::string::npos);
  }
  std::sort(waits.begin(), waits.end());
  CAPTURE(waits.front(), waits[waits.size() / 2], waits.back());
  CHECK(waits.back() < INT64_C(4000000000));
  supervisor.reset();
}
