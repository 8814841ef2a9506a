// Programs of `exec:` addresses that serve, die, hang or do not exist. No program is left running.
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <catch2/catch_test_macros.hpp>

#include "raw_server.h"
#include "shm/client/child.h"
#include "shm/common/mapping_registry.h"

using namespace raw;

namespace {

std::unique_ptr<Client> open_child(const std::string& arguments, int64_t timeout_ns = 5 * kSecond,
                                   const std::string& program = SIDECALL_EXEC_CHILD,
                                   int64_t wait_ns = 0) {
  ClientOptions options;
  options.timeout_ns = timeout_ns;
  options.wait_ns = wait_ns;
  auto client =
      std::make_unique<Client>(make_child_endpoint("'" + program + "' " + arguments), options);
  client->set_outputs(outputs());
  return client;
}

int32_t status_of_open(const std::string& arguments, std::string* message,
                       int64_t timeout_ns = 5 * kSecond,
                       const std::string& program = SIDECALL_EXEC_CHILD, int64_t wait_ns = 0) {
  try {
    open_child(arguments, timeout_ns, program, wait_ns);
  } catch (const Error& error) {
    *message = error.message;
    return error.status;
  }
  return SIDECALL_OK;
}

bool has_children() { return waitpid(-1, nullptr, WNOHANG) >= 0 || errno != ECHILD; }

}  // namespace

TEST_CASE("a child process serves several connections and ends with its endpoint") {
  const int before = count_descriptors();
  {
    const auto client = open_child("serve");
    CHECK(client->served().signature == kSignature);
    auto one = client->borrow(1, 1, Deadline::after(5 * kSecond));
    auto two = client->borrow(1, 1, Deadline::after(5 * kSecond));
    for (Channel* channel : {one.get(), two.get(), one.get()}) {
      write_request(*channel, 4);
      channel->publish(false, 5 * kSecond);
      REQUIRE(channel->wait() == Outcome::kAnswered);
      CHECK(is_right(channel->take(), 4));
    }
  }
  CHECK(!has_children());
  CHECK(count_descriptors() == before);
}

TEST_CASE("a child process inherits only its socket") {
  const int open_one = fcntl(0, F_DUPFD, 100);  // not close-on-exec
  void (*handler)(int) = signal(SIGPIPE, SIG_IGN);
  std::string message;
  CHECK(status_of_open("inherit", &message) == SIDECALL_OK);
  signal(SIGPIPE, handler);
  close(open_one);
}

TEST_CASE("a program without standard descriptors can start a child process") {
  int kept[3];
  for (int fd = 0; fd < 3; ++fd) {
    kept[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
    close(fd);
  }
  std::string message;
  const int32_t status = status_of_open("inherit", &message);
  for (int fd = 0; fd < 3; ++fd) {
    dup2(kept[fd], fd);
    close(kept[fd]);
  }
  CHECK(message.empty());
  CHECK(status == SIDECALL_OK);
}

TEST_CASE("a command is split into words as in a shell, without expansion") {
  std::string message;
  CHECK(status_of_open("words 'two words' \"\\$HOME*\"", &message) == SIDECALL_OK);
  using Words = std::vector<std::string>;
  CHECK(split_command("a  b\tc\n") == Words{"a", "b", "c"});
  CHECK(split_command("a'b c'\"d\"\\ e") == Words{"ab cd e"});
  CHECK(split_command("a '' \"\"") == Words{"a", "", ""});
  CHECK(split_command("a '\\' \"\\n\\\"\"") == Words{"a", "\\", "\\n\""});
  CHECK(split_command("a $HOME ~ * ;|&") == Words{"a", "$HOME", "~", "*", ";|&"});
  for (const std::string& wrong :
       {std::string(), std::string("  "), std::string("''"), std::string("a 'b"),
        std::string("a \"b"), std::string("a\\"), std::string("a\0b", 3), std::string("a\\\0", 3)})
    CHECK(status_of([&] { make_child_endpoint(wrong); }) == SIDECALL_INVALID_ARGUMENT);
}

TEST_CASE("the open fails if the child process dies immediately, does not exist or never answers") {
  std::string message;
  CHECK(status_of_open("die", &message) == SIDECALL_UNREACHABLE);
  CHECK(message.find("exit status 3") != std::string::npos);
  CHECK(status_of_open("", &message, 5 * kSecond, "/no/such/program") == SIDECALL_UNREACHABLE);
  CHECK(status_of_open("", &message, 5 * kSecond, "no-such-program-anywhere") ==
        SIDECALL_UNREACHABLE);
  if (!mapping_registry::kIsUsed)
    CHECK(message.find("expected an executable program") != std::string::npos);
  CHECK(status_of_open("", &message, 5 * kSecond, "/dev/null") == SIDECALL_UNREACHABLE);
  CHECK(status_of_open("-c 'kill -9 $$'", &message, 5 * kSecond, "/bin/sh") ==
        SIDECALL_UNREACHABLE);
  CHECK(message.find("signal 9") != std::string::npos);
  CHECK(status_of_open("stubborn", &message, 300 * kMillisecond) == SIDECALL_TIMEOUT);
  CHECK(status_of_open("late", &message, 300 * kMillisecond) == SIDECALL_TIMEOUT);
  CHECK(message.find("not ready") != std::string::npos);
  CHECK(status_of_open("liar", &message) == SIDECALL_PROTOCOL);
  CHECK(!has_children());
}

TEST_CASE("an attempt to connect leaves the start of the program to another thread") {
  const auto endpoint = make_child_endpoint("/no/such/program");
  Error not_yet(SIDECALL_OK, "");
  uint64_t started = 0;
  const auto attempt = [&] { return endpoint->connect(Deadline::never(), &started, &not_yet); };
  CHECK(!attempt());  // the program cannot be started, but that is not known yet
  CHECK(started != 0);
  const auto attempt_until_failure = [&] {
    while (true) attempt();
  };
  CHECK(status_of(attempt_until_failure) == SIDECALL_UNREACHABLE);
  CHECK(started == 0);
  if (!mapping_registry::kIsUsed) CHECK(!endpoint->may_still_appear());
}

TEST_CASE("waiting for a child process that keeps dying fails soon and says how it died") {
  const Folder folder;
  const std::string path = folder.path() + "/starts";
  const auto open_patiently = [&](const std::string& arguments, std::string* message,
                                  int64_t timeout_ns, const std::string& program = "/bin/sh") {
    return status_of_open(arguments, message, timeout_ns, program, 60 * kSecond);
  };
  std::string message;
  CHECK(open_patiently("-c 'echo >> " + path + "; exit 4'", &message, 60 * kSecond) ==
        SIDECALL_UNREACHABLE);
  CHECK(message.find("exit status 4") != std::string::npos);
  struct stat starts{};
  REQUIRE(stat(path.c_str(), &starts) == 0);
  CHECK(starts.st_size == 3);
  CHECK(open_patiently("", &message, 60 * kSecond, "/no/such/program") == SIDECALL_UNREACHABLE);

  // The first child dies, the second one is not ready in time.
  unlink(path.c_str());
  CHECK(status_of_open("-c 'test -e " + path + " && exec sleep 60; touch " + path + "; exit 5'",
                       &message, kSecond, "/bin/sh", 3 * kSecond) == SIDECALL_TIMEOUT);
  CHECK(message.find("not ready in time (the child process ended with exit status 5)") !=
        std::string::npos);
  CHECK(!has_children());
}

TEST_CASE("waiting for a child process succeeds if it serves at its second start") {
  const Folder folder;
  const std::string path = folder.path() + "/died";
  std::string message;
  const std::string script =
      "test -e " + path + " || { touch " + path + "; exit 6; }; exec \"$0\" serve";
  CHECK(status_of_open("-c '" + script + "' '" SIDECALL_EXEC_CHILD "'", &message, 5 * kSecond,
                       "/bin/sh", 5 * kSecond) == SIDECALL_OK);
  CHECK(message.empty());
}

TEST_CASE("a child process that closes its socket before it serves is ended at once") {
  std::string message;
  CHECK(status_of_open("-c 'exec 3>&-; exec sleep 60'", &message, 10 * kSecond, "/bin/sh") ==
        SIDECALL_UNREACHABLE);
  CHECK(message.find("ended as soon as it was started") != std::string::npos);
  CHECK(!has_children());
}

TEST_CASE("a child process that drains is not cut off when a call needs another connection") {
  // The child closes its control socket when it takes its second connection. The first one is that
  // of the open.
  const auto client = open_child("drain");
  const auto channel = client->borrow(1, 1, Deadline::after(5 * kSecond));
  CHECK(status_of([&] { client->borrow(1, 1, Deadline::after(kSecond / 10)); }) ==
        SIDECALL_TIMEOUT);
  write_request(*channel, 3);
  channel->publish(false, 5 * kSecond);
  REQUIRE(channel->wait() == Outcome::kAnswered);
  CHECK(is_right(channel->take(), 3));
}

TEST_CASE("a child process that died is started again after a pause") {
  const auto client = open_child("once");
  const auto channel = client->borrow(1, 1, Deadline::after(5 * kSecond));
  write_request(*channel, 2);
  for (int i = 0; i < 3; ++i) {
    channel->publish(false, 5 * kSecond);
    REQUIRE(channel->wait() == Outcome::kAnswered);
    CHECK(is_right(channel->take(), 2));
  }
  // The timeout of the second call is shorter than the pause before the next child is started.
  channel->publish(false, 5 * kSecond);
  CHECK(channel->wait() == Outcome::kAnswered);
  const int32_t status = status_of([&] {
    channel->publish(false, kMillisecond);
    if (channel->wait() == Outcome::kTimedOut) throw Error(SIDECALL_TIMEOUT, "");
  });
  CHECK((status == SIDECALL_UNREACHABLE || status == SIDECALL_TIMEOUT ||
         status == SIDECALL_PEER_DIED));
}

TEST_CASE("the end of a child process is noticed even in a program that ignores SIGCHLD") {
  struct sigaction ignore{}, before{};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGCHLD, &ignore, &before);
  std::string message;
  CHECK(status_of_open("die", &message) == SIDECALL_UNREACHABLE);
  CHECK(status_of_open("serve", &message) == SIDECALL_OK);
  sigaction(SIGCHLD, &before, nullptr);
}

TEST_CASE("a caller whose deadline is before the end of the pause does not retry immediately") {
  const Folder folder;
  const std::string path = folder.path() + "/end";
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  // The child reports that it is ready, and ends when a line is written to the FIFO.
  const auto endpoint = make_child_endpoint(
      R"(/bin/sh -c 'printf "\003\0\0\0\0" >&$SIDECALL_FD; read line <)" + path + "; exit 7'");
  Error not_yet(SIDECALL_OK, "");
  const auto connect = [&] {
    uint64_t started = 0;
    Socket socket;
    while (!socket) socket = endpoint->connect(Deadline::after(20 * kSecond), &started, &not_yet);
  };
  for (int round = 0;; ++round) {
    REQUIRE(round < 7);  // the pause has reached its maximum of five seconds
    connect();           // the first connection to this child,
    connect();           // and a second one
    REQUIRE(write(Fd(open(path.c_str(), O_WRONLY)).get(), "\n", 1) == 1);
    while (!endpoint->has_successor(1, Deadline::never()))
      sleep_until(Deadline::after(kMillisecond));
    uint64_t started = 0;
    const auto attempt = [&] { endpoint->connect(Deadline::after(0), &started, &not_yet); };
    if (status_of(attempt) == SIDECALL_OK)
      continue;  // the machine was so slow that the pause was over
    CHECK(!endpoint->has_successor(0, Deadline::never()));
    break;
  }
}
