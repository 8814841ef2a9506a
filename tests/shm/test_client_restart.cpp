// Servers that die, restart and change while a client is connected, and clients that fork.
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <catch2/catch_test_macros.hpp>

#include "raw_server.h"
#include "shm/common/mapping_registry.h"

using namespace raw;

namespace {

constexpr bool kKeepsAddresses = !mapping_registry::kIsUsed;

// The next server of a pair: accepts the client and answers `requests` requests.
void serve_again(
    Pair& pair, int requests, const std::function<void(Welcome&)>& change = [](Welcome&) {}) {
  pair.peer = pair.server.accept_connect();
  Welcome welcome = welcome_to(pair.peer.hello);
  change(welcome);
  pair.peer.grant(welcome);
  pair.peer.serve(requests);
}

}  // namespace

TEST_CASE("calls continue after a server restart, and views keep their addresses") {
  Pair pair;
  BackgroundThread first([&] { pair.peer.serve(1); });
  REQUIRE(pair.run() == Outcome::kAnswered);
  const Answer before = pair.channel->take();
  REQUIRE(first.join().empty());
  const unsigned char* request = pair.channel->request();
  const float* view = reinterpret_cast<const float*>(before.slot + before.tensors->at(0).offset);
  for (int i = 0; i < 3; ++i) {
    pair.peer = Peer();
    if (kKeepsAddresses || i == 0) CHECK(view[2] == 3);
    BackgroundThread again([&] { serve_again(pair, 1); });
    REQUIRE(pair.run() == Outcome::kAnswered);
    CHECK(is_right(pair.channel->take(), 3));  // the inputs were written for the first server
    CHECK(again.join().empty());
    if (!kKeepsAddresses) continue;
    CHECK(pair.channel->request() == request);
    CHECK(view[2] == 3);
    CHECK(pair.channel->response() == before.slot);
  }
}

TEST_CASE("a view of an answer stays valid when a restarted server grants another size") {
  Pair pair;
  BackgroundThread first([&] { pair.peer.serve(1); });
  REQUIRE(pair.run() == Outcome::kAnswered);
  const Answer before = pair.channel->take();
  REQUIRE(first.join().empty());
  const volatile unsigned char* view = before.slot;
  for (uint64_t size : {16 * kPage, kPage, 64 * kPage}) {
    pair.peer = Peer();
    BackgroundThread again(
        [&] { serve_again(pair, 1, [&](Welcome& welcome) { welcome.response_bytes = size; }); });
    REQUIRE(pair.run() == Outcome::kAnswered);
    CHECK(is_right(pair.channel->take(), 3));
    CHECK(again.join().empty());
    CHECK(pair.channel->response_bytes() == size);
    if (kKeepsAddresses) static_cast<void>(view[0]);
  }
}

TEST_CASE("a request that was not taken is sent to the restarted server") {
  Pair pair;
  BackgroundThread serving([&] {
    pair.peer.await_request();
    pair.peer = Peer();
    serve_again(pair, 1);
  });
  REQUIRE(pair.run() == Outcome::kAnswered);
  CHECK(is_right(pair.channel->take(), 3));
}

TEST_CASE("a request that was not taken is also sent again for a call in a queue") {
  Pair pair;
  BackgroundThread serving([&] {
    pair.peer.await_request();
    pair.peer = Peer();
    serve_again(pair, 1);
  });
  pair.channel->publish(false, 5 * kSecond, Awaited::kInQueue);
  REQUIRE(await_in_queue(pair.channel.get()) == Outcome::kAnswered);
  CHECK(is_right(pair.channel->take(), 3));
}

TEST_CASE("a request that was taken is not sent again") {
  Pair pair;
  BackgroundThread serving([&] {
    pair.peer.next();
    pair.peer = Peer();
  });
  CHECK(status_of([&] { pair.run(); }) == SIDECALL_PEER_DIED);
  CHECK(serving.join().empty());
  BackgroundThread again([&] { serve_again(pair, 1); });
  REQUIRE(pair.run() == Outcome::kAnswered);
  CHECK(is_right(pair.channel->take(), 3));
}

TEST_CASE("an answer that arrived just before the server died is used") {
  Pair pair;
  BackgroundThread serving([&] {
    pair.peer.next();
    pair.peer.write_answer(pair.peer.response_slot());
    pair.peer.response_entry()->fields = ResponseFields{};
    pair.peer.response_entry()->sequence.store(1);  // without a wake-up
    pair.peer.socket.close();
  });
  REQUIRE(pair.run() == Outcome::kAnswered);
  CHECK(is_right(pair.channel->take(), 3));
}

TEST_CASE("a call fails if every restarted server disconnects when the request arrives") {
  Pair pair;
  BackgroundThread serving([&] {
    for (int i = 0; i < 4; ++i) {
      pair.peer.await_request();
      pair.peer = Peer();
      if (i < 3) pair.peer = pair.server.accept_honest();
    }
  });
  CHECK(status_of([&] { pair.run(-1); }) == SIDECALL_PEER_DIED);
}

TEST_CASE("the pidfd reports the death of a server whose socket is still open elsewhere") {
  Server server;
  Peer peer;
  const pid_t process = fork();
  REQUIRE(process >= 0);
  if (process == 0) {
    pause();
    _exit(0);
  }
  BackgroundThread accepting([&] {
    peer = server.accept_connect();
    Welcome welcome = welcome_to(peer.hello);
    welcome.flags |= kHasPidfd;
    peer.make_segments(welcome);
    const Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, process, 0)));
    peer.send(&welcome, sizeof welcome,
              {peer.request.file.get(), peer.response.file.get(), pidfd.get()});
  });
  const auto client = open_client(server);
  const auto channel = client->borrow(1, 1, Deadline::after(5 * kSecond));
  REQUIRE(accepting.join().empty());
  BackgroundThread killing([&] {
    peer.next();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    kill(process, SIGKILL);
  });
  SECTION("to a call that blocks") {
    channel->publish(false, -1);
    CHECK(status_of([&] { channel->wait(); }) == SIDECALL_PEER_DIED);
  }
  SECTION("to a call in a queue") {
    channel->publish(false, -1, Awaited::kInQueue);
    CHECK(status_of([&] { await_in_queue(channel.get()); }) == SIDECALL_PEER_DIED);
  }
  killing.join();
  CHECK(waitpid(process, nullptr, 0) == process);
}

TEST_CASE("a call fails if the server does not return, and a later call can succeed") {
  Pair pair;
  pair.peer = Peer();
  pair.server.stop();
  CHECK(status_of([&] { pair.run(); }) == SIDECALL_UNREACHABLE);
  CHECK(status_of([&] { pair.run(); }) == SIDECALL_UNREACHABLE);
  pair.server.listen();
  BackgroundThread again([&] { serve_again(pair, 1); });
  REQUIRE(pair.run() == Outcome::kAnswered);
  CHECK(is_right(pair.channel->take(), 3));
}

TEST_CASE("the client waits for a server that is still starting") {
  ClientOptions options;
  options.wait_ns = 5 * kSecond;
  Server server;
  server.stop();
  BackgroundThread starting([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    server.listen();
    for (int i = 0; i < 2; ++i) {  // the first server drains, or dies, before it answers
      Peer peer = server.accept();
      peer.read_hello();
      if (i == 1) Server::open(peer);
    }
  });
  CHECK(open_client(server, options)->served().signature == kSignature);
  options.wait_ns = 10 * kMillisecond;
  starting.join();
  server.stop();
  CHECK(status_of([&] { open_client(server, options); }) == SIDECALL_UNREACHABLE);
}

TEST_CASE("calls fail after the signature changed until the model is opened again") {
  Pair pair;
  pair.peer = Peer();
  BackgroundThread changed([&] {
    for (int i = 0; i < 3; ++i) {
      Peer peer = pair.server.accept_connect();
      Welcome welcome = welcome_to(peer.hello);
      welcome.signature_digest[0] ^= 1;
      peer.grant(welcome);
    }
  });
  CHECK(status_of([&] { pair.run(); }) == SIDECALL_CONTRACT_CHANGED);
  CHECK(status_of([&] { pair.run(); }) == SIDECALL_CONTRACT_CHANGED);
  CHECK(status_of([&] { pair.client->borrow(1, 1, Deadline::never()); }) ==
        SIDECALL_CONTRACT_CHANGED);
  CHECK(changed.join().empty());
}

TEST_CASE("another model with the same signature is used, and its id is reported") {
  Pair pair;
  CHECK(pair.client->model_id() == kModelId);
  pair.peer = Peer();
  BackgroundThread again([&] {
    serve_again(pair, 1, [](Welcome& welcome) {
      std::memset(welcome.model_id, 'b', sizeof welcome.model_id);
    });
  });
  REQUIRE(pair.run() == Outcome::kAnswered);
  CHECK(is_right(pair.channel->take(), 3));
  CHECK(pair.client->model_id() == std::string(64, 'b'));
  CHECK(pair.client->served().model_id == kModelId);
}

TEST_CASE(
    "calls in a forked child fail with FORKED, the child's views are private, and the parent "
    "continues") {
  Pair pair;
  BackgroundThread serving([&] { pair.peer.serve(2); });
  REQUIRE(pair.run() == Outcome::kAnswered);
  const Answer answer = pair.channel->take();
  const unsigned char* view = answer.slot + answer.tensors->at(0).offset;
  float before;
  std::memcpy(&before, view, sizeof before);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int failures = 0;
    failures += status_of([&] { pair.channel->publish(false, -1); }) != SIDECALL_FORKED;
    failures += status_of([&] { pair.channel->wait(); }) != SIDECALL_FORKED;
    failures += status_of([&] { pair.channel->poll(); }) != SIDECALL_FORKED;
    failures += status_of([&] { pair.client->borrow(1, 1, Deadline::never()); }) != SIDECALL_FORKED;
    failures += std::memcmp(view, &before, sizeof before) != 0;
    // Only the child sees this change.
    std::memset(pair.channel->request(), 0xff, pair.channel->request_bytes());
    pair.channel->cancel();
    pair.client->give_back(std::move(pair.channel));
    pair.client.reset();
    _exit(failures);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  REQUIRE(pair.run() == Outcome::kAnswered);
  CHECK(is_right(pair.channel->take(), 3));
}

TEST_CASE("a forked child does not keep connections of its parent open") {
  Pair pair;
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    pause();
    _exit(0);
  }
  pair.channel.reset();
  pair.client.reset();
  char byte;
  CHECK(pair.peer.socket.receive(&byte, 1, Deadline::after(5 * kSecond)).kind == Received::kEnd);
  kill(child, SIGKILL);
  CHECK(waitpid(child, nullptr, 0) == child);
}
