// Other users that connect to a server or a supervisor: admitted users are answered, and others
// cannot delay them. Only root can run this test, because it changes its user id.
#include <catch2/catch_test_macros.hpp>

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <mutex>
#include <vector>

#include "raw_client.h"
#include "server_host.h"
#include "shm/supervisor/supervisor.h"

using host::Host;

namespace shm = sidecall::shm;

namespace {

constexpr uint32_t kFriend = 1001, kStranger = 1002;

// Changes the user id of the calling thread only; the server's threads keep theirs.
void become(uint32_t uid) {
  if (syscall(SYS_setresuid, -1, uid, -1) != 0) throw std::runtime_error("setresuid");
}

shm::Socket connect_as(uint32_t uid, const std::string& path) {
  become(uid);
  shm::Socket socket = raw::connect(path);
  become(0);
  return socket;
}

bool is_open(const shm::Socket& socket) { return !socket.is_hung_up(); }

shm::ServerOptions options_for(int64_t hello_ns, uint32_t max_half_open) {
  shm::ServerOptions options;
  options.allowed_uids = {kFriend};
  options.hello_ns = hello_ns;
  options.max_half_open = max_half_open;
  return options;
}

// A server, or a server behind a supervisor, in a folder that every user may enter.
struct Door {
  Door(bool is_supervised, int64_t hello_ns, uint32_t max_half_open)
      : server(host::numbers(), host::echo, options_for(hello_ns, max_half_open)) {
    std::filesystem::permissions(std::filesystem::path(server.path).parent_path(),
                                 std::filesystem::perms(0755));
    if (!is_supervised) return;
    path = server.folder / "supervisor.sock";
    shm::ServerOptions options = options_for(hello_ns, max_half_open);
    options.log = [this](shm::LogLevel, const char* event, const std::string& facts) {
      const std::lock_guard<std::mutex> lock(mutex);
      log += std::string(event) + " " + facts + "\n";
      return true;
    };
    supervisor = std::make_unique<shm::Supervisor>(path, options);
    server.server.control(supervisor->add(1).release(), 1000000000);
    if (!supervisor->listen(shm::Deadline::after(INT64_C(10000000000))))
      throw std::runtime_error("no worker");
  }

  bool has_logged(const std::string& event, uint32_t uid) {
    const std::string user = "\"uid\":" + std::to_string(uid);
    if (!supervisor) return server.facts_of(event).find(user) != std::string::npos;
    const std::lock_guard<std::mutex> lock(mutex);
    return log.find(event + " {" + user) != std::string::npos;
  }

  Host server;
  std::string path = server.path;
  std::mutex mutex;
  std::string log;
  std::unique_ptr<shm::Supervisor> supervisor;  // destroyed first: it writes to the log until then
};

raw::Answer ask(shm::Socket* socket) {
  const shm::Hello hello = raw::hello(shm::kOpen);
  return raw::ask(socket, &hello, sizeof(hello));
}

}  // namespace

TEST_CASE("listed users are admitted, and others are refused with a text") {
  if (geteuid() != 0) return;
  for (const bool is_supervised : {false, true}) {
    CAPTURE(is_supervised);
    Door door(is_supervised, INT64_C(10000000000), 64);
    for (const uint32_t uid : {uint32_t{0}, kFriend}) {
      shm::Socket socket = connect_as(uid, door.path);
      CHECK(ask(&socket).kind() == shm::kWelcome);
    }
    shm::Socket socket = connect_as(kStranger, door.path);
    CHECK(ask(&socket).refusal() == SIDECALL_DENIED);
    CHECK(host::eventually([&] {
      return door.has_logged(is_supervised ? "connection.denied" : "connection.refused", kStranger);
    }));
  }
}

TEST_CASE("connections of refused users do not displace those of admitted users") {
  if (geteuid() != 0) return;
  for (const bool is_supervised : {false, true}) {
    CAPTURE(is_supervised);
    Door door(is_supervised, INT64_C(100000000000), 2);
    shm::Socket first = connect_as(kFriend, door.path), second = connect_as(0, door.path);
    for (int i = 0; i < 3; ++i) {
      shm::Socket stranger = connect_as(kStranger, door.path);
      CHECK(raw::is_closed(&stranger));
    }
    CHECK(host::eventually([&] { return door.has_logged("connection.silent", kStranger); }));
    REQUIRE(is_open(first));
    CHECK(ask(&first).kind() == shm::kWelcome);

    // A HELLO that arrived in time is answered, whichever clients connect next.
    std::vector<shm::Socket> crowd;
    const shm::Hello hello = raw::hello(shm::kOpen);
    second.send(&hello, sizeof(hello));
    for (int i = 0; i < 3; ++i) crowd.push_back(connect_as(kFriend, door.path));
    CHECK(raw::receive(&second).kind() == shm::kWelcome);
    CHECK(raw::is_closed(&crowd[0]));
    CHECK(ask(&crowd[2]).kind() == shm::kWelcome);
  }
}

TEST_CASE("users whose connections wait for an answer take turns") {
  if (geteuid() != 0) return;
  // The log function blocks the control thread at its first event until all clients have connected.
  std::mutex mutex;
  std::vector<std::string> events;
  std::atomic<bool> is_held{true};
  shm::ServerOptions options = options_for(INT64_C(10000000000), 64);
  options.log = [&](shm::LogLevel, const char* event, const std::string& facts) {
    while (is_held) usleep(1000);
    const std::lock_guard<std::mutex> lock(mutex);
    if (std::string(event) == "connection.opened") events.push_back(facts);
    return true;
  };
  host::FunctionHandler handler(host::echo);
  shm::Server server(host::numbers(), &handler, options);
  const shm::Hello hello = raw::hello(shm::kConnect, 1, 0, 0);
  std::vector<shm::Socket> clients;
  const auto attach = [&](uint32_t uid) {
    become(uid);
    shm::Socket ours, theirs;
    shm::Socket::pair(&ours, &theirs);
    become(0);
    ours.send(&hello, sizeof(hello));
    server.attach(theirs.take().release());
    clients.push_back(std::move(ours));
  };
  attach(kFriend);  // the control thread answers this client and then blocks
  usleep(100000);
  for (int i = 0; i < 40; ++i) attach(kFriend);
  attach(0);
  is_held = false;
  for (shm::Socket& client : clients) CHECK(raw::receive(&client).kind() == shm::kWelcome);
  REQUIRE(host::eventually([&] {
    const std::lock_guard<std::mutex> lock(mutex);
    return events.size() == 42;
  }));
  const auto of_root = std::find_if(events.begin(), events.end(), [](const std::string& facts) {
    return facts.find("\"uid\":0,") != std::string::npos;
  });
  CHECK(of_root - events.begin() <= 2);
}

TEST_CASE(
    "if too many connections are silent, the user with the most of them loses the oldest one") {
  if (geteuid() != 0) return;
  for (const bool is_supervised : {false, true}) {
    CAPTURE(is_supervised);
    Door door(is_supervised, INT64_C(100000000000), 4);
    shm::Socket only = connect_as(0, door.path);
    std::vector<shm::Socket> crowd;
    for (int i = 0; i < 6; ++i) crowd.push_back(connect_as(kFriend, door.path));
    for (int i = 0; i < 3; ++i) CHECK(raw::is_closed(&crowd[static_cast<size_t>(i)]));
    CHECK(is_open(only));
    CHECK(ask(&only).kind() == shm::kWelcome);
    CHECK(ask(&crowd[5]).kind() == shm::kWelcome);
  }
}

TEST_CASE("a silent connection is closed, and the log names its user") {
  if (geteuid() != 0) return;
  for (const bool is_supervised : {false, true}) {
    CAPTURE(is_supervised);
    Door door(is_supervised, 30000000, 64);
    shm::Socket silent = connect_as(kFriend, door.path);
    CHECK(raw::is_closed(&silent));
    CHECK(host::eventually([&] { return door.has_logged("connection.silent", kFriend); }));
  }
}
