// Calls that wait for a server that restarts: without blocking in a queue, within their deadline,
// and until they are cancelled.
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

TEST_CASE("a caller that polls is not blocked while the server restarts") {
  Orphan pair;
  std::atomic<int> num_polls{0};
  BackgroundThread starting([&] {
    while (num_polls < 3) std::this_thread::yield();  // never ends if a poll waits for the server
    pair.server.listen();
    serve_again(pair);
  });
  pair.channel->publish(false, 20 * kSecond, Awaited::kInQueue);
  Outcome outcome = Outcome::kPending;
  while (outcome == Outcome::kPending) {
    outcome = pair.channel->poll();
    ++num_polls;
  }
  REQUIRE(outcome == Outcome::kAnswered);
  CHECK(is_right(pair.channel->take(), 3));
  CHECK(starting.join().empty());
}

TEST_CASE("a call continues with a restarted server") {
  for (const Awaited awaited : {Awaited::kAtOnce, Awaited::kInQueue}) {
    Orphan pair;
    BackgroundThread starting([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      pair.server.listen();
      serve_again(pair);
    });
    pair.channel->publish(false, 20 * kSecond, awaited);
    REQUIRE(await_outcome(pair.channel.get(), awaited) == Outcome::kAnswered);
    CHECK(is_right(pair.channel->take(), 3));
    CHECK(starting.join().empty());
  }
}

TEST_CASE(
    "a deadline or a cancel ends the wait for a restarted server, and the channel stays usable") {
  Orphan pair;
  for (const Awaited awaited : {Awaited::kAtOnce, Awaited::kInQueue}) {
    CHECK(status_of([&] {
            pair.channel->publish(false, 30 * kMillisecond, awaited);
            await_outcome(pair.channel.get(), awaited);
          }) == SIDECALL_UNREACHABLE);
    pair.channel->publish(false, 20 * kSecond, awaited);
    BackgroundThread cancelling([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      pair.channel->cancel();
    });
    CHECK(await_outcome(pair.channel.get(), awaited) == Outcome::kCancelled);
    cancelling.join();
    CHECK(pair.channel->is_free());
  }
  pair.server.listen();
  BackgroundThread again([&] { serve_again(pair); });
  REQUIRE(pair.run() == Outcome::kAnswered);
  CHECK(is_right(pair.channel->take(), 3));
  CHECK(again.join().empty());
}

TEST_CASE("a call that is cancelled after the server has hung up is free at once") {
  Pair pair;
  pair.channel->publish(false, 20 * kSecond, Awaited::kInQueue);
  pair.peer = Peer();  // hangs up; the process goes on
  pair.channel->cancel();
  REQUIRE(pair.channel->poll() == Outcome::kCancelled);
  CHECK(pair.channel->is_free());
}

TEST_CASE("a cancel that comes too late does not end the next call") {
  Pair pair;
  for (const Awaited awaited : {Awaited::kInQueue, Awaited::kAtOnce}) {
    BackgroundThread serving([&] { pair.peer.serve(2); });
    REQUIRE(pair.run() == Outcome::kAnswered);
    pair.channel->cancel();
    pair.channel->publish(false, 20 * kSecond, awaited);
    CHECK(await_outcome(pair.channel.get(), awaited) == Outcome::kAnswered);
    CHECK(serving.join().empty());
  }
}

TEST_CASE(
    "a restarted server that does not answer the handshake delays a call at most until its "
    "deadline") {
  Orphan pair;
  pair.server.listen();
  const Deadline end = Deadline::after(20 * kSecond);
  CHECK(status_of([&] {
          pair.channel->publish(false, 30 * kMillisecond, Awaited::kInQueue);
          await_in_queue(pair.channel.get());
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
  pair.channel->publish(false, 20 * kMillisecond, Awaited::kInQueue);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  CHECK(pair.channel->poll() == Outcome::kTimedOut);
}
