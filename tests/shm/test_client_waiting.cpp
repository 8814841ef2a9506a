// Calls that wait for a server that restarts: without blocking when the caller polls, within their
// deadline, and until they are cancelled.
#include <atomic>
#include <catch2/catch_test_macros.hpp>

#include "raw_server.h"

using namespace raw;

namespace {

// The restarted server: accepts the client and answers one request.
void serve_again(Pair& pair) {
  pair.peer = pair.server.accept_honest();
  pair.peer.serve(1);
}

ClientOptions patient() {
  ClientOptions options;
  options.wait_ns = 20 * kSecond;
  return options;
}

// A pair whose server has died. The address still exists, but no process listens.
struct Orphan : Pair {
  Orphan() : Pair(patient()) {
    peer = Peer();
    server.stop();
  }
};

}  // namespace

TEST_CASE(
    "a caller that polls and waits on the descriptor is not blocked while the server restarts") {
  Orphan pair;
  const int fd = pair.channel->fd();
  std::atomic<int> num_polls{0};
  BackgroundThread starting([&] {
    while (num_polls < 3) std::this_thread::yield();  // never ends if a poll waits for the server
    pair.server.listen();
    serve_again(pair);
  });
  pair.channel->publish(false, 20 * kSecond, Awaited::kByFd);
  Outcome outcome = Outcome::kPending;
  while (outcome == Outcome::kPending) {
    REQUIRE(wait_readable(&fd, 1, Deadline::after(20 * kSecond)));
    outcome = pair.channel->poll();
    ++num_polls;
  }
  REQUIRE(outcome == Outcome::kAnswered);
  CHECK(is_right(pair.channel->take(), 3));
  CHECK_FALSE(wait_readable(&fd, 1, Deadline::after(0)));
  CHECK(starting.join().empty());
}

TEST_CASE("a call that polls, waits briefly or waits long continues with a restarted server") {
  for (const int64_t wait_ns : {INT64_C(-1), INT64_C(0), 5 * kMillisecond}) {
    Orphan pair;
    std::atomic<int> num_looks{0};
    BackgroundThread starting([&] {
      while (wait_ns >= 0 && num_looks < 3) std::this_thread::yield();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      pair.server.listen();
      serve_again(pair);
    });
    pair.channel->publish(false, 20 * kSecond, Awaited::kLater);
    Outcome outcome = Outcome::kPending;
    while (outcome == Outcome::kPending) {
      outcome = wait_ns == 0 ? pair.channel->poll() : pair.channel->wait(Deadline::after(wait_ns));
      ++num_looks;
    }
    REQUIRE(outcome == Outcome::kAnswered);
    CHECK(is_right(pair.channel->take(), 3));
    CHECK(starting.join().empty());
  }
}

TEST_CASE(
    "a deadline or a cancel ends the wait for a restarted server, and the channel stays usable") {
  Orphan pair;
  const int fd = pair.channel->fd();
  for (const Awaited awaited : {Awaited::kAtOnce, Awaited::kLater, Awaited::kByFd}) {
    CHECK(status_of([&] {
            pair.channel->publish(false, 30 * kMillisecond, awaited);
            Outcome outcome = Outcome::kPending;
            while (outcome == Outcome::kPending) {
              if (awaited == Awaited::kByFd)
                REQUIRE(wait_readable(&fd, 1, Deadline::after(20 * kSecond)));
              outcome = awaited == Awaited::kAtOnce ? pair.channel->wait() : pair.channel->poll();
            }
          }) == SIDECALL_UNREACHABLE);
    CHECK_FALSE(wait_readable(&fd, 1, Deadline::after(0)));
    pair.channel->publish(false, 20 * kSecond, awaited);
    BackgroundThread cancelling([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      pair.channel->cancel();
    });
    Outcome outcome = Outcome::kPending;
    while (outcome == Outcome::kPending) {
      if (awaited == Awaited::kByFd) REQUIRE(wait_readable(&fd, 1, Deadline::after(20 * kSecond)));
      outcome = awaited == Awaited::kAtOnce ? pair.channel->wait() : pair.channel->poll();
    }
    CHECK(outcome == Outcome::kCancelled);
    cancelling.join();
    // The cancel made the descriptor readable, and no poll has cleared it.
    if (awaited != Awaited::kByFd) pair.channel->clear_fd();
    CHECK_FALSE(wait_readable(&fd, 1, Deadline::after(0)));
    CHECK(pair.channel->is_free());
  }
  pair.server.listen();
  BackgroundThread again([&] { serve_again(pair); });
  REQUIRE(pair.run() == Outcome::kAnswered);
  CHECK(is_right(pair.channel->take(), 3));
  CHECK(again.join().empty());
}

TEST_CASE("a call that is cancelled after the server has hung up is free at once") {
  for (const Awaited awaited : {Awaited::kByFd, Awaited::kLater}) {
    Pair pair;
    const int fd = pair.channel->fd();
    pair.channel->publish(false, 20 * kSecond, awaited);
    pair.peer = Peer();  // hangs up; the process goes on
    pair.channel->cancel();
    REQUIRE(pair.channel->poll() == Outcome::kCancelled);
    pair.channel->arm();
    CHECK(wait_readable(&fd, 1, Deadline::after(20 * kSecond)));
    CHECK(pair.channel->is_free());
    pair.channel->clear_fd();
    CHECK_FALSE(wait_readable(&fd, 1, Deadline::after(0)));
  }
}

TEST_CASE("a cancel that comes too late does not keep the descriptor of the next call readable") {
  Pair pair;
  const int fd = pair.channel->fd();
  BackgroundThread serving([&] { pair.peer.serve(1); });
  REQUIRE(pair.run() == Outcome::kAnswered);
  REQUIRE(serving.join().empty());
  pair.channel->cancel();
  pair.channel->publish(false, 20 * kSecond, Awaited::kByFd);
  CHECK(pair.channel->poll() == Outcome::kPending);
  CHECK_FALSE(wait_readable(&fd, 1, Deadline::after(0)));
  BackgroundThread again([&] { pair.peer.serve(1); });
  Outcome outcome = Outcome::kPending;
  while (outcome == Outcome::kPending) {
    REQUIRE(wait_readable(&fd, 1, Deadline::after(20 * kSecond)));
    outcome = pair.channel->poll();
  }
  CHECK(outcome == Outcome::kAnswered);
}

TEST_CASE(
    "a restarted server that does not answer the handshake delays a call at most until its "
    "deadline") {
  Orphan pair;
  pair.server.listen();
  const int fd = pair.channel->fd();
  const Deadline end = Deadline::after(20 * kSecond);
  CHECK(status_of([&] {
          pair.channel->publish(false, 30 * kMillisecond, Awaited::kByFd);
          while (pair.channel->poll() == Outcome::kPending) REQUIRE(wait_readable(&fd, 1, end));
        }) == SIDECALL_TIMEOUT);
  CHECK_FALSE(end.passed());
}

TEST_CASE("waiting for the first connection can be cancelled") {
  Orphan pair;
  std::atomic<bool> stop{false};
  BackgroundThread stopping([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    stop = true;
  });
  CHECK(status_of([&] { pair.client->borrow(1, 1, Deadline::never(), &stop); }) ==
        SIDECALL_CANCELLED);
}

TEST_CASE("the deadline of a request counts from its sending, not from the first poll") {
  Pair pair;
  pair.channel->publish(false, 20 * kMillisecond, Awaited::kLater);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  CHECK(pair.channel->poll() == Outcome::kTimedOut);
}
