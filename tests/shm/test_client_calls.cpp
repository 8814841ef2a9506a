// Calls of the client to a server that follows the protocol. Each call has exactly one outcome,
// however the client waits, and also after a deadline, a cancel or the end of the server.
#include <fcntl.h>

#include <catch2/catch_test_macros.hpp>

#include "raw_server.h"

using namespace raw;

TEST_CASE("the client reads the signature and the contract when it opens") {
  Server server;
  BackgroundThread serving([&] {
    Peer peer = server.accept();
    peer.read_hello();
    Server::open(peer, "{}");
  });
  const auto client = open_client(server);
  CHECK(client->served().signature == kSignature);
  CHECK(client->served().contract == "{}");
  CHECK(client->served().has_contract);
  CHECK(client->served().is_verified);
  CHECK(client->served().model_id == kModelId);
  CHECK(client->served().max_request_bytes == 1 << 20);
  CHECK(serving.join().empty());
}

TEST_CASE("answers arrive whether the client polls or sleeps") {
  Pair pair;
  BackgroundThread serving([&] {
    for (int i = 0; i < 200 && pair.peer.next(); ++i) {
      if (i % 20 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(i % 40 ? 1 : 7));
      pair.peer.answer();
    }
  });
  for (int i = 0; i < 200; ++i) {
    REQUIRE(pair.run(i % 2 ? -1 : 5 * kSecond) == Outcome::kAnswered);
    REQUIRE(is_right(pair.channel->take(), 3));
  }
}

TEST_CASE("a layout that does not change is sent only once") {
  Pair pair;
  std::vector<uint32_t> flags;
  BackgroundThread serving([&] {
    for (int i = 0; i < 4 && pair.peer.next(); ++i) {
      flags.push_back(pair.peer.request_entry()->fields.flags);
      ResponseFields fields{};
      if (i == 2) {
        pair.peer.fail(SIDECALL_ENGINE, "no");
        continue;
      }
      if (i == 1) fields.flags = kResponseSameLayout;
      pair.peer.answer(fields);
    }
  });
  for (int i = 0; i < 4; ++i) {
    REQUIRE(pair.run(5 * kSecond, true) == Outcome::kAnswered);
    if (i == 2) CHECK(status_of([&] { pair.channel->take(); }) == SIDECALL_ENGINE);
    else CHECK(is_right(pair.channel->take(), 3));
  }
  CHECK(serving.join().empty());
  CHECK(flags == std::vector<uint32_t>{0, kSameLayout, kSameLayout, 0});
}

TEST_CASE("a failure of the server arrives with all its fields") {
  Pair pair;
  BackgroundThread serving([&] {
    pair.peer.next();
    ErrorRecord record{};
    record.status = SIDECALL_UNKNOWN_CATEGORY;
    record.row = 2;
    std::strcpy(record.name, "job");
    std::strcpy(record.expected, "a known category");
    std::strcpy(record.got, "another");
    std::strcpy(record.message, "feature 'job': expected a known category (row 2)");
    std::memcpy(pair.peer.response_slot(), &record, sizeof record);
    ResponseFields fields{};
    fields.status = record.status;
    pair.peer.publish(fields);
  });
  REQUIRE(pair.run() == Outcome::kAnswered);
  try {
    pair.channel->take();
    FAIL("expected an error");
  } catch (const Error& error) {
    CHECK(error.status == SIDECALL_UNKNOWN_CATEGORY);
    CHECK(error.row == 2);
    CHECK(error.name == "job");
    CHECK(error.expected == "a known category");
    CHECK(error.got == "another");
    CHECK(error.message == "feature 'job': expected a known category (row 2)");
  }
  CHECK(status_of([&] { pair.channel->take(); }) == SIDECALL_INTERNAL);
}

TEST_CASE("a deadline ends the call, and its late answer is dropped") {
  Pair pair;
  REQUIRE(pair.run(20 * kMillisecond) == Outcome::kTimedOut);
  CHECK(pair.peer.request_head()->mark.load() == 1);
  // The server does not release the first call within the next deadline either, so the second
  // request is not sent.
  REQUIRE(pair.run(20 * kMillisecond) == Outcome::kTimedOut);
  CHECK(pair.peer.request_entry()->sequence.load() == 1);
  BackgroundThread serving([&] {
    pair.peer.next();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    pair.peer.fail(SIDECALL_TIMEOUT, "late");
    pair.peer.serve(2);
  });
  REQUIRE(pair.run() == Outcome::kAnswered);
  CHECK(is_right(pair.channel->take(), 3));
  REQUIRE(pair.run() == Outcome::kAnswered);
  CHECK(is_right(pair.channel->take(), 3));
}

TEST_CASE("an answer can repeat the layout of a late answer that was dropped") {
  Pair pair;
  REQUIRE(pair.run(10 * kMillisecond) == Outcome::kTimedOut);
  BackgroundThread serving([&] {
    pair.peer.next();
    pair.peer.answer();
    pair.peer.next();
    ResponseFields same{};
    same.flags = kResponseSameLayout;
    pair.peer.answer(same);
  });
  REQUIRE(pair.run() == Outcome::kAnswered);
  CHECK(is_right(pair.channel->take(), 3));
}

TEST_CASE("another thread can cancel a call that is not answered") {
  Pair pair;
  BackgroundThread cancelling([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    pair.channel->cancel();
  });
  CHECK(pair.run(-1) == Outcome::kCancelled);
  CHECK(cancelling.join().empty());
  pair.channel->cancel();  // no call is in flight
  BackgroundThread serving([&] { pair.peer.serve(2); });
  REQUIRE(pair.run() == Outcome::kAnswered);
  CHECK(is_right(pair.channel->take(), 3));
}

TEST_CASE("a one-shot result is read from its file") {
  Pair pair;
  BackgroundThread serving([&] {
    for (int i = 0; i < 2; ++i) {
      pair.peer.next();
      Segment file = make_file(1 << 16);
      pair.peer.write_answer(file.memory.data());
      const Fd sealed = seal_file(std::move(file));
      auto message = with_magic<FileMessage>();
      message.version = kVersion;
      message.kind = kOneShotFile;
      message.first = pair.peer.sequence;
      message.second = 1 << 16;
      pair.peer.send(&message, sizeof message, {sealed.get()});
      ResponseFields fields{};
      fields.flags = kOneShot;
      fields.one_shot_bytes = 1 << 16;
      pair.peer.publish(fields);
    }
    pair.peer.serve(1);
  });
  for (int i = 0; i < 2; ++i) {
    REQUIRE(pair.run() == Outcome::kAnswered);
    const Answer answer = pair.channel->take();
    CHECK(answer.is_one_shot);
    CHECK(is_right(answer, 3));
  }
  REQUIRE(pair.run() == Outcome::kAnswered);
  CHECK(!pair.channel->take().is_one_shot);
}

TEST_CASE("a queue sleeps until the server answers, and a deadline or a cancel ends a call") {
  Pair pair;
  Channel* const channel = pair.channel.get();
  BackgroundThread serving([&] {
    for (int i = 0; i < 3; ++i) {
      pair.peer.next();
      if (i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
      pair.peer.answer();
    }
  });
  for (int i = 0; i < 3; ++i) {
    channel->publish(false, 5 * kSecond, Awaited::kInQueue);
    REQUIRE(await_in_queue(channel) == Outcome::kAnswered);
    CHECK(is_right(channel->take(), 3));
  }
  CHECK(serving.join().empty());
  channel->publish(false, 20 * kMillisecond, Awaited::kInQueue);
  CHECK(await_in_queue(channel) == Outcome::kTimedOut);
  // The next request is not sent before the late answer has arrived.
  channel->publish(false, 5 * kSecond, Awaited::kInQueue);
  CHECK(channel->poll() == Outcome::kPending);
  BackgroundThread late([&] { pair.peer.serve(2); });
  CHECK(await_in_queue(channel) == Outcome::kAnswered);
  CHECK(is_right(channel->take(), 3));
  CHECK(late.join().empty());
  channel->publish(false, -1, Awaited::kInQueue);
  channel->cancel();
  CHECK(channel->poll() == Outcome::kCancelled);
}

TEST_CASE("an answer wakes the set that was prepared for sleeping") {
  Pair pair;
  const Fd set(epoll_create1(EPOLL_CLOEXEC));
  const int fd = set.get();
  pair.channel->publish(false, 20 * kSecond, Awaited::kInQueue);
  CHECK_FALSE(pair.channel->prepare_sleep(fd, 1).passed());
  CHECK_FALSE(wait_readable(&fd, 1, Deadline::after(0)));
  BackgroundThread serving([&] { pair.peer.serve(1); });
  CHECK(wait_readable(&fd, 1, Deadline::after(20 * kSecond)));
  CHECK(pair.channel->has_news(false, false, now_ns()));
  CHECK(pair.channel->poll() == Outcome::kAnswered);
  CHECK(serving.join().empty());
}

TEST_CASE("a limited number of idle channels is kept, and dead channels are not reused") {
  ClientOptions options;
  options.max_idle = 1;
  Pair pair(options);
  Peer second;
  BackgroundThread accepting([&] { second = pair.server.accept_honest(); });
  auto other = pair.client->borrow(1, 1, Deadline::after(5 * kSecond));
  REQUIRE(accepting.join().empty());
  const unsigned char* address = pair.channel->request();
  pair.client->give_back(std::move(pair.channel));
  pair.client->give_back(std::move(other));  // one more than max_idle
  char byte;
  CHECK(second.socket.receive(&byte, 1, Deadline::after(5 * kSecond)).kind == Received::kEnd);
  pair.channel = pair.client->borrow(1, 1, Deadline::after(5 * kSecond));
  CHECK(pair.channel->request() == address);
  pair.client->give_back(std::move(pair.channel));
  pair.peer = Peer();
  BackgroundThread again([&] { pair.peer = pair.server.accept_honest(); });
  pair.channel = pair.client->borrow(1, 1, Deadline::after(5 * kSecond));
  CHECK(again.join().empty());
  CHECK(pair.channel->is_alive());
}

TEST_CASE("a channel that waits for a late answer is closed instead of reused") {
  Pair pair;
  REQUIRE(pair.run(10 * kMillisecond) == Outcome::kTimedOut);
  pair.client->give_back(std::move(pair.channel));
  CHECK(pair.peer.next());
  CHECK(!pair.peer.await_request());
}
