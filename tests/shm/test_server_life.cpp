// Deaths of clients, draining, sockets that a parent passes, and the path of the listener.
#include <catch2/catch_test_macros.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "raw_client.h"
#include "server_host.h"
#include "shm/server/accepting/listener.h"

using host::Host;
using raw::Client;

namespace shm = sidecall::shm;
namespace fs = std::filesystem;

namespace {

// A client in a process of its own, forked before the server has threads: waits for the path,
// connects, publishes one request unless it is `idle`, reports through a pipe that it is ready, and
// waits.
class OtherProcess {
 public:
  explicit OtherProcess(bool idle) {
    if (pipe(to_) != 0 || pipe(from_) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      char path[256] = {};
      if (read(to_[0], path, sizeof(path)) <= 0) _exit(1);
      try {
        Client client(path);
        client.write_numbers(1, 1.0F);
        if (!idle) client.publish(1);
        if (write(from_[1], "x", 1) != 1) _exit(1);
        while (true) pause();
      } catch (...) {
        _exit(1);
      }
    }
  }
  ~OtherProcess() {
    end(SIGKILL);
    for (const int fd : {to_[0], to_[1], from_[0], from_[1]}) close(fd);
  }
  void start(const std::string& path) {
    char ready = 0;
    REQUIRE(write(to_[1], path.c_str(), path.size() + 1) > 0);
    REQUIRE(read(from_[0], &ready, 1) == 1);
  }
  void send(int signal) { kill(pid_, signal); }
  void end(int signal) {
    if (pid_ <= 0) return;
    kill(pid_, signal);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
  int to_[2] = {}, from_[2] = {};
};

int32_t status_of_listening(const std::string& address) {
  try {
    const shm::Listener listener(address, {});
    return 0;
  } catch (const shm::Error& error) {
    return error.status;
  }
}

// Runs until the gate is opened, whatever the client does.
struct Gate {
  std::atomic<bool> is_entered{false}, is_open{false};
  void pass() {
    is_entered = true;
    while (!is_open) usleep(100);
  }
};

// Opens the gate even if the test fails, so that the server can end.
struct Opens {
  Gate* gate;
  ~Opens() { gate->is_open = true; }
};

}  // namespace

TEST_CASE("nothing of a killed client remains in the server") {
  OtherProcess idle(true), busy(false);
  Gate gate;
  Host server(host::numbers(), [&](const shm::Request& request, shm::Response& response) {
    gate.pass();
    host::echo(request, response);
  });
  const Opens opens{&gate};
  idle.start(server.path);
  busy.start(server.path);
  REQUIRE(host::eventually([&] { return gate.is_entered.load(); }));
  CHECK(server.number("connections") == 2);
  CHECK(server.number("in_flight") == 1);
  idle.end(SIGKILL);  // its connection is freed although the only engine thread is in a handler
  CHECK(host::eventually([&] { return server.number("connections") == 1; }));
  busy.end(SIGKILL);
  CHECK(host::eventually([&] { return server.handler.interrupts >= 1; }));
  CHECK(server.number("connections") == 1);
  gate.is_open = true;
  CHECK(host::eventually([&] { return server.number("connections") == 0; }));
  CHECK(server.number("bytes_mapped") == 0);
  CHECK(server.number("violations") == 0);
  CHECK(Client(server.path).echo(1, 1.0F));
}

TEST_CASE("a stopped client does not delay other clients") {
  OtherProcess stopped(false);
  Host server;
  stopped.start(server.path);
  stopped.send(SIGSTOP);
  Client client(server.path);
  for (uint64_t k = 1; k <= 200; ++k) CHECK(client.echo(k, 1.0F));
  CHECK(server.number("connections") == 2);
}

TEST_CASE("a handler is interrupted when its client disconnects") {
  std::atomic<int32_t> seen{0};
  Host server(host::numbers(), [&](const shm::Request& request, shm::Response&) {
    while (request.is_wanted()) usleep(100);
    seen = request.stop_status();
    throw shm::Error(SIDECALL_PEER_DIED, "no client waits");
  });
  {
    Client client(server.path);
    client.write_numbers(1, 1.0F);
    client.publish(1);
    REQUIRE(host::eventually([&] { return server.number("in_flight") == 1; }));
  }
  CHECK(host::eventually([&] { return seen == SIDECALL_PEER_DIED; }));
  CHECK(host::eventually([&] { return server.number("connections") == 0; }));
}

TEST_CASE("connecting and disconnecting many times leaks no descriptor and no memory") {
  Host server;
  const auto count = [] {
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
  };
  REQUIRE(Client(server.path).echo(1, 1.0F));
  REQUIRE(host::eventually([&] { return server.number("connections") == 0; }));
  const auto before = count();
  for (int i = 0; i < 100; ++i) Client(server.path, 1, i % 10 == 0 ? 2 << 20 : 0).echo(1, 1.0F);
  CHECK(host::eventually([&] { return server.number("connections") == 0 && count() <= before; }));
  CHECK(server.number("closed") == 101);
}

TEST_CASE("a drain answers the requests that were taken and leaves the others unanswered") {
  Gate gate;
  Host server(host::numbers(), [&](const shm::Request& request, shm::Response& response) {
    gate.pass();
    host::echo(request, response);
  });
  const Opens opens{&gate};
  Client busy(server.path, 2), idle(server.path);
  busy.write_numbers(1, 1.0F, 0);
  busy.write_numbers(1, 2.0F, 1);
  busy.publish(1, 0);
  busy.publish(2, 1);
  REQUIRE(host::eventually([&] { return gate.is_entered.load(); }));
  bool all_answered = false;
  std::thread draining(
      [&] { all_answered = server.server.drain(shm::Deadline::after(10000000000)); });
  CHECK(raw::is_closed(&idle.socket));
  CHECK_FALSE(fs::exists(server.path));
  CHECK(server.number("ready") == 0);
  CHECK(server.server.status().find("\"draining\":true") != std::string::npos);
  gate.is_open = true;
  CHECK(busy.await(1).status == 0);
  CHECK(raw::is_closed(&busy.socket));
  // This proves that the second request was never taken.
  CHECK(busy.response_head().mark.load() == 1);
  CHECK_FALSE(busy.is_answered(2));
  draining.join();
  CHECK(all_answered);
  const int fd = server.server.ended_fd();
  CHECK(shm::wait_readable(&fd, 1, shm::Deadline::after(0)) == 1);
  CHECK(server.server.drain(shm::Deadline::never()));
  CHECK_THROWS_AS(server.server.listen(server.path), shm::Error);
}

TEST_CASE("a drain that reaches its deadline disconnects the calls that still run") {
  Gate gate;
  std::atomic<int32_t> seen{0};
  Host server(host::numbers(), [&](const shm::Request& request, shm::Response& response) {
    gate.pass();
    seen = request.stop_status();
    host::echo(request, response);
  });
  const Opens opens{&gate};
  Client client(server.path);
  client.write_numbers(1, 1.0F);
  client.publish(1);
  REQUIRE(host::eventually([&] { return gate.is_entered.load(); }));
  CHECK_FALSE(server.server.drain(shm::Deadline::after(20000000)));
  CHECK(server.handler.interrupts >= 1);
  CHECK(raw::is_closed(&client.socket));
  gate.is_open = true;
  server.server.close();
  CHECK(seen == SIDECALL_UNREACHABLE);
}

TEST_CASE("connections during a drain are refused") {
  Gate gate;
  Host server(host::numbers(), [&](const shm::Request& request, shm::Response& response) {
    gate.pass();
    host::echo(request, response);
  });
  const Opens opens{&gate};
  shm::Socket early = raw::connect(server.path);
  Client busy(server.path);
  busy.write_numbers(1, 1.0F);
  busy.publish(1);
  REQUIRE(host::eventually([&] { return gate.is_entered.load(); }));
  std::thread draining([&] { server.server.drain(shm::Deadline::after(10000000000)); });
  REQUIRE(host::eventually(
      [&] { return server.server.status().find("\"draining\":true") != std::string::npos; }));
  const shm::Hello hello = raw::hello(shm::kConnect, 1, 4096, 4096);
  CHECK(raw::ask(&early, &hello, sizeof(hello)).refusal() == SIDECALL_UNREACHABLE);
  gate.is_open = true;
  draining.join();
}

TEST_CASE("sockets from a supervisor are served like accepted ones") {
  host::FunctionHandler handler(host::echo);
  shm::Server server(host::numbers(), &handler, {});
  shm::Socket ours, theirs;
  shm::Socket::pair(&ours, &theirs);
  server.attach(theirs.take().release());
  Client client(std::move(ours), 1, 4096, 4096, 0);
  CHECK(client.echo(1, 1.0F));
  CHECK_THROWS_AS(server.attach(dup(0)), shm::Error);
}

TEST_CASE("the control socket passes connections and counts, and its closing starts a drain") {
  host::FunctionHandler handler(host::echo);
  shm::Server server(host::numbers(), &handler, {});
  shm::Socket parent, child;
  shm::Socket::pair(&parent, &child);
  server.control(child.take().release(), 1000000000);
  const auto load = [&] {
    const raw::Answer answer = raw::receive(&parent);
    uint32_t number = 0;
    if (answer.bytes.size() == 5 && static_cast<uint8_t>(answer.bytes[0]) == shm::kLoad)
      std::memcpy(&number, answer.bytes.data() + 1, 4);
    return answer.bytes.size() == 5 ? static_cast<int>(number) : -1;
  };
  CHECK(load() == 0);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 1; i <= 3; ++i) {
    shm::Socket ours, theirs;
    shm::Socket::pair(&ours, &theirs);
    const int fd = theirs.fd();
    parent.send("\3", 1, &fd, 1);  // an unknown message: ignored
    parent.send(&shm::kAttach, 1);
    parent.send(&shm::kAttach, 1, &fd, 1);
    theirs.close();
    clients.push_back(std::make_unique<Client>(std::move(ours), 1, 4096, 4096, 0));
    CHECK(clients.back()->echo(1, 1.0F));
    CHECK(load() == i);
  }
  clients.pop_back();
  CHECK(load() == 2);
  parent.close();
  CHECK(raw::is_closed(&clients[0]->socket));
  const int fd = server.ended_fd();
  CHECK(shm::wait_readable(&fd, 1, shm::Deadline::after(10000000000)) == 1);
}

TEST_CASE("a second server at the same path fails with BUSY and does not affect the first") {
  Host first;
  host::FunctionHandler handler(host::echo);
  shm::Server second(host::numbers(), &handler, {});
  try {
    second.listen(first.path);
    FAIL("expected BUSY");
  } catch (const shm::Error& error) {
    CHECK(error.status == SIDECALL_BUSY);
    CHECK(error.message.find("another server is there") != std::string::npos);
  }
  CHECK(Client(first.path).echo(1, 1.0F));
  first.server.close();
  CHECK_FALSE(fs::exists(first.path));
  CHECK_FALSE(fs::exists(first.path + ".lock"));
  second.listen(first.path);
  CHECK(Client(first.path).echo(1, 1.0F));
}

TEST_CASE("a server takes over a path only from a server that has died") {
  const host::Folder folder;
  const std::string path = folder / "s.sock";
  {
    // What a dead server leaves: its socket, its lock file and the socket that it was about to
    // rename. No process holds them.
    const shm::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    REQUIRE(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    fs::rename(path, path + ".new");
    const shm::Fd again(::socket(AF_UNIX, SOCK_SEQPACKET, 0));
    REQUIRE(bind(again.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    std::ofstream(path + ".lock") << "";
  }
  CHECK(status_of_listening(path) == 0);
  CHECK_FALSE(fs::exists(path));

  // This server is alive, although it uses no lock file.
  const shm::Fd foreign(::socket(AF_UNIX, SOCK_SEQPACKET, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  REQUIRE(bind(foreign.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  REQUIRE(listen(foreign.get(), 1) == 0);
  CHECK(status_of_listening(path) == SIDECALL_BUSY);
  fs::remove(path);

  std::ofstream(path) << "data";
  CHECK(status_of_listening(path) == SIDECALL_INVALID_ARGUMENT);
  CHECK(fs::file_size(path) == 4);
  CHECK(status_of_listening(folder / "no/such/s.sock") == SIDECALL_UNREACHABLE);
  CHECK(status_of_listening("/proc/s.sock") != 0);
  CHECK(status_of_listening(std::string(200, 'x')) == SIDECALL_INVALID_ARGUMENT);
}

TEST_CASE(
    "the mode of the socket follows from the allowed users, and a missing folder is created") {
  const host::Folder folder;
  const auto mode_of = [](const std::string& path) {
    struct stat found{};
    return stat(path.c_str(), &found) == 0 ? found.st_mode & 0777 : 0U;
  };
  const std::string path = folder / "made/s.sock";
  const auto group = static_cast<int64_t>(getegid());
  {
    const shm::Listener listener(path, {});
    CHECK(mode_of(path) == 0600);
    CHECK(mode_of(folder / "made") == 0700);
  }
  {
    const shm::Listener listener(path, {group, false});
    CHECK(mode_of(path) == 0660);
    CHECK(mode_of(folder / "made") == 0700);  // the folder existed, so its mode is left alone
  }
  {
    const shm::Listener listener(folder / "group/s.sock", {group, false});
    CHECK(mode_of(folder / "group") == 0750);
  }
  {
    const shm::Listener listener(path, {-1, true});
    CHECK(mode_of(path) == 0666);
  }
  CHECK(fs::is_empty(folder / "made"));
}

TEST_CASE("a server can listen at the longest possible path") {
  const host::Folder folder;
  std::string path = folder / "";
  path += std::string(107 - path.size(), 'n');
  const shm::Listener listener(path, {});
  int error = 0;
  CHECK(shm::connect_to(path, &error));
}

TEST_CASE("a server does not remove a path that another server has taken over") {
  const host::Folder folder;
  const std::string path = folder / "s.sock";
  std::optional<shm::Listener> listener(std::in_place, path, shm::Access{});
  fs::remove(path);
  std::ofstream(path) << "other";
  listener.reset();
  CHECK(fs::exists(path));
}
