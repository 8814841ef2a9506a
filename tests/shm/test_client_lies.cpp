// Servers that violate the protocol in answers, messages and memory: a violation ends the current
// call with a status, and the channel continues with the next server.
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <random>

#include "raw_server.h"

using namespace raw;

namespace {

// Makes one call against a server that took the request and answers by `lie`, then a valid call on
// the same channel.
int32_t call_against(const std::function<void(Peer&)>& lie, std::string* message = nullptr) {
  Pair pair;
  int32_t status = SIDECALL_OK;
  BackgroundThread serving([&] {
    pair.peer.next();
    lie(pair.peer);
    // The client hangs up if it notices a violation; otherwise it simply continues.
    if (pair.peer.await_request()) {
      pair.peer.take();
      pair.peer.answer();
      return;
    }
    pair.peer = pair.server.accept_honest();
    pair.peer.serve(1);
  });
  try {
    pair.run();
    pair.channel->take();
  } catch (const Error& error) {
    status = error.status;
    if (message) *message = error.message;
  }
  write_request(*pair.channel, 5);
  CHECK(pair.run() == Outcome::kAnswered);
  CHECK(is_right(pair.channel->take(), 5));
  CHECK(serving.join().empty());
  return status;
}

int32_t answer_with(const std::function<void(ResponseFields&)>& change) {
  return call_against([&](Peer& peer) {
    ResponseFields fields{};
    change(fields);
    peer.answer(fields);
  });
}

int32_t table_with(const std::function<void(TensorEntry&)>& change) {
  return call_against([&](Peer& peer) {
    peer.write_answer(peer.response_slot());
    TensorEntry entry;
    std::memcpy(&entry, peer.response_slot(), sizeof entry);
    change(entry);
    std::memcpy(peer.response_slot(), &entry, sizeof entry);
    peer.publish();
  });
}

int32_t fail_with(const std::function<void(ErrorRecord&)>& change,
                  int32_t status = SIDECALL_ENGINE) {
  return call_against([&](Peer& peer) {
    ErrorRecord record{};
    record.status = status;
    record.row = -1;
    change(record);
    std::memcpy(peer.response_slot(), &record, sizeof record);
    ResponseFields fields{};
    fields.status = status;
    peer.publish(fields);
  });
}

// A failure whose record is followed by two texts and three rows. `change` may corrupt their bytes
// and counts.
struct Listed {
  FaultTextEntry texts[2] = {};
  FaultRowEntry rows[3] = {{0, 0, 0}, {4, 1, 0}, {-1, 0, 0}};
  ResponseFields fields{};
};

int32_t list_with(const std::function<void(Listed&)>& change) {
  return call_against([&](Peer& peer) {
    ErrorRecord record{};
    record.status = SIDECALL_REFUSED;
    record.row = 0;
    Listed listed;
    for (FaultTextEntry& text : listed.texts) text.status = SIDECALL_REFUSED;
    listed.fields.status = SIDECALL_REFUSED;
    listed.fields.fault_rows = 3;
    listed.fields.fault_texts = 2;
    listed.fields.faults_found = 3;
    change(listed);
    unsigned char* at = peer.response_slot();
    std::memcpy(at, &record, sizeof record);
    std::memcpy(at + sizeof record, listed.texts, sizeof listed.texts);
    std::memcpy(at + sizeof record + sizeof listed.texts, listed.rows, sizeof listed.rows);
    peer.publish(listed.fields);
  });
}

struct OneShot {
  uint64_t bytes = kPage;      // size of the file
  uint64_t said = kPage;       // size in the message
  uint64_t described = kPage;  // size in the descriptor
  uint64_t sequence = 1;
  int copies = 1;  // how often the message is sent
  size_t descriptors = 1;
  bool is_sealed = true;
  std::function<void(unsigned char*)> change = [](unsigned char*) {};
  std::function<void(FileMessage&)> change_message = [](FileMessage&) {};
};

int32_t one_shot_with(const OneShot& lie) {
  return call_against([&](Peer& peer) {
    Segment file = make_file(lie.bytes);
    peer.write_answer(file.memory.data());
    lie.change(file.memory.data());
    const Fd fd = lie.is_sealed ? seal_file(std::move(file)) : std::move(file.file);
    auto message = with_magic<FileMessage>();
    message.version = kVersion;
    message.kind = kOneShotFile;
    message.first = lie.sequence;
    message.second = lie.said;
    lie.change_message(message);
    for (int i = 0; i < lie.copies; ++i)
      peer.send(&message, sizeof message, std::vector<int>(lie.descriptors, fd.get()));
    ResponseFields fields{};
    fields.flags = kOneShot;
    fields.one_shot_bytes = lie.described;
    peer.publish(fields);
  });
}

int32_t send_with(const std::string& bytes, bool with_descriptor = false) {
  return call_against([&](Peer& peer) {
    peer.send(bytes.data(), bytes.size(),
              with_descriptor ? std::vector<int>{0} : std::vector<int>{});
    // The client goes to sleep, wakes up and reads the message.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  });
}

}  // namespace

TEST_CASE("a descriptor that is wrong in any field is a violation") {
  CHECK(answer_with([](ResponseFields& fields) { fields.flags = 0x80; }) == SIDECALL_OK);
  CHECK(answer_with([](ResponseFields& fields) { fields.run_ns = UINT64_MAX; }) == SIDECALL_OK);
  CHECK(answer_with([](ResponseFields& fields) { fields.cpu = UINT32_MAX; }) == SIDECALL_OK);
  CHECK(answer_with([](ResponseFields& fields) { fields.zero1[5] = 1; }) == SIDECALL_OK);
  const std::vector<std::function<void(ResponseFields&)>> lies = {
      [](ResponseFields& fields) { fields.flags = kResponseSameLayout; },
      [](ResponseFields& fields) { fields.flags = kResponseSameLayout | kOneShot; },
      [](ResponseFields& fields) { fields.one_shot_bytes = 1; },
      [](ResponseFields& fields) {
        fields.flags = kOneShot;
        fields.status = SIDECALL_ENGINE;
      },
      [](ResponseFields& fields) {
        fields.flags = kResponseSameLayout;
        fields.status = SIDECALL_ENGINE;
      },
      [](ResponseFields& fields) { fields.flags = kOneShot; },
      [](ResponseFields& fields) {
        fields.flags = kOneShot;
        fields.one_shot_bytes = kPage;
      },
      // The slot holds a tensor table, not an error record.
      [](ResponseFields& fields) { fields.status = SIDECALL_ENGINE; },
  };
  for (const auto& lie : lies) CHECK(answer_with(lie) == SIDECALL_PROTOCOL);
  for (uint64_t sequence : {UINT64_C(2), UINT64_C(77), UINT64_MAX})
    CHECK(call_against([&](Peer& peer) {
            peer.sequence = sequence;
            peer.answer();
            peer.sequence = 1;
          }) == SIDECALL_PROTOCOL);
}

TEST_CASE("an answer with the flag SAME_LAYOUT after a failure is a violation") {
  Pair pair;
  BackgroundThread serving([&] {
    pair.peer.serve(1);
    pair.peer.next();
    pair.peer.fail(SIDECALL_ENGINE, "no");
    pair.peer.next();
    ResponseFields fields{};
    fields.flags = kResponseSameLayout;
    pair.peer.answer(fields);
  });
  REQUIRE(pair.run() == Outcome::kAnswered);
  pair.channel->take();
  REQUIRE(pair.run() == Outcome::kAnswered);
  CHECK(status_of([&] { pair.channel->take(); }) == SIDECALL_ENGINE);
  CHECK(status_of([&] { pair.run(); }) == SIDECALL_PROTOCOL);
}

TEST_CASE("a table that is wrong in any field is a violation") {
  CHECK(table_with([](TensorEntry&) {}) == SIDECALL_OK);
  CHECK(table_with([](TensorEntry& entry) { entry.dims[0] = 0, entry.bytes = 0; }) == SIDECALL_OK);
  CHECK(table_with([](TensorEntry& entry) { entry.offset = kPage - 64; }) == SIDECALL_OK);
  const std::vector<std::function<void(TensorEntry&)>> lies = {
      [](TensorEntry& entry) { entry.dtype = SIDECALL_DTYPE_FLOAT64; },
      [](TensorEntry& entry) { entry.dtype = -1; },
      [](TensorEntry& entry) { entry.rank = 0; },
      [](TensorEntry& entry) { entry.rank = 2; },
      [](TensorEntry& entry) { entry.rank = 17; },
      [](TensorEntry& entry) { entry.rank = UINT32_MAX; },
      [](TensorEntry& entry) { entry.dims[0] = -1; },
      [](TensorEntry& entry) { entry.dims[0] = 4; },
      [](TensorEntry& entry) { entry.dims[0] = INT64_MAX; },
      [](TensorEntry& entry) { entry.dims[0] = INT64_C(1) << 62, entry.bytes = 0; },
      [](TensorEntry& entry) { entry.dims[1] = 1; },
      [](TensorEntry& entry) { entry.dims[15] = -1; },
      [](TensorEntry& entry) { entry.bytes += 1; },
      [](TensorEntry& entry) { entry.bytes = 0; },
      [](TensorEntry& entry) { entry.bytes = UINT64_MAX; },
      [](TensorEntry& entry) { entry.offset = 0; },
      [](TensorEntry& entry) { entry.offset = 128; },
      [](TensorEntry& entry) { entry.offset += 1; },
      [](TensorEntry& entry) { entry.offset = kPage; },
      [](TensorEntry& entry) { entry.offset = UINT64_MAX - 63; },
      [](TensorEntry& entry) { entry.offset = UINT64_C(1) << 63; },
      [](TensorEntry& entry) { entry.zero[7] = 1; },
      [](TensorEntry& entry) { std::memset(&entry, 0xff, sizeof entry); },
      [](TensorEntry& entry) { std::memset(&entry, 0, sizeof entry); },
  };
  for (const auto& lie : lies) CHECK(table_with(lie) == SIDECALL_PROTOCOL);
}

TEST_CASE("an error record that is malformed is a violation") {
  CHECK(fail_with([](ErrorRecord&) {}) == SIDECALL_ENGINE);
  CHECK(fail_with([](ErrorRecord& record) { record.row = INT64_MAX; }) == SIDECALL_ENGINE);
  const std::vector<std::function<void(ErrorRecord&)>> lies = {
      [](ErrorRecord& record) { record.status = 0; },
      [](ErrorRecord& record) { record.status = SIDECALL_TIMEOUT; },
      [](ErrorRecord& record) { record.zero = 1; },
      [](ErrorRecord& record) { record.row = -2; },
      [](ErrorRecord& record) { std::memset(record.message, 'x', sizeof record.message); },
      [](ErrorRecord& record) { std::memset(record.name, 'x', sizeof record.name); },
      [](ErrorRecord& record) { record.message[0] = '\xff'; },
      [](ErrorRecord& record) { record.expected[0] = '\xc3'; },
      [](ErrorRecord& record) { std::memset(record.got, 0xed, 4); },
  };
  for (const auto& lie : lies) CHECK(fail_with(lie) == SIDECALL_PROTOCOL);
  // An error without a message is allowed, and the client writes one.
  CHECK(fail_with([](ErrorRecord& record) { record.message[0] = '\0'; }) == SIDECALL_ENGINE);
}

TEST_CASE("a list of faults that is malformed is a violation") {
  CHECK(list_with([](Listed&) {}) == SIDECALL_REFUSED);
  CHECK(list_with([](Listed& listed) { listed.fields.faults_found = UINT32_MAX; }) ==
        SIDECALL_REFUSED);
  // The kind may be one of a later protocol version.
  CHECK(list_with([](Listed& listed) { listed.texts[1].kind = UINT32_MAX; }) == SIDECALL_REFUSED);
  // A failure may list no row.
  CHECK(list_with([](Listed& listed) { listed.fields.fault_rows = 0; }) == SIDECALL_REFUSED);
  const std::vector<std::function<void(Listed&)>> lies = {
      [](Listed& listed) { listed.fields.faults_found = 2; },
      [](Listed& listed) { listed.fields.fault_texts = 4; },
      [](Listed& listed) { listed.fields.fault_texts = 0; },
      [](Listed& listed) { listed.fields.fault_rows = listed.fields.faults_found = 1001; },
      [](Listed& listed) {
        listed.fields.fault_rows = listed.fields.faults_found = 500;
      },  // exceeds the slot
      [](Listed& listed) {
        listed.fields.fault_rows = listed.fields.fault_texts = listed.fields.faults_found =
            UINT32_MAX;
      },
      [](Listed& listed) { listed.rows[2].text = 2; },
      [](Listed& listed) { listed.rows[1].row = -2; },
      [](Listed& listed) { listed.rows[0].zero = 1; },
      [](Listed& listed) { listed.texts[0].status = SIDECALL_OK; },
      [](Listed& listed) { listed.texts[1].status = SIDECALL_NOT_RUN; },
      [](Listed& listed) { std::memset(listed.texts[1].name, 'x', sizeof listed.texts[1].name); },
      [](Listed& listed) { listed.texts[0].got[0] = '\xff'; },
  };
  for (size_t i = 0; i < lies.size(); ++i) {
    INFO("lie " << i);
    CHECK(list_with(lies[i]) == SIDECALL_PROTOCOL);
  }
}

TEST_CASE(
    "a status about a client's own handle is a violation, and every other status is an answer") {
  CHECK(fail_with([](ErrorRecord&) {}, SIDECALL_NOT_RUN) == SIDECALL_PROTOCOL);
  for (const int32_t status :
       {SIDECALL_BUSY, SIDECALL_CANCELLED, SIDECALL_TIMEOUT, SIDECALL_PEER_DIED, 98, -1, INT32_MAX})
    CHECK(fail_with([](ErrorRecord&) {}, status) == status);
}

TEST_CASE("a one-shot result that is wrong in any way is a violation") {
  CHECK(one_shot_with({}) == SIDECALL_OK);
  const auto lie = [](const std::function<void(OneShot&)>& change) {
    OneShot one;
    change(one);
    return one_shot_with(one);
  };
  CHECK(lie([](OneShot& one) { one.sequence = 0; }) == SIDECALL_PROTOCOL);
  CHECK(lie([](OneShot& one) { one.sequence = 2; }) == SIDECALL_PROTOCOL);
  CHECK(lie([](OneShot& one) { one.copies = 0; }) == SIDECALL_PROTOCOL);
  CHECK(lie([](OneShot& one) { one.copies = 2; }) == SIDECALL_PROTOCOL);
  CHECK(lie([](OneShot& one) { one.descriptors = 0; }) == SIDECALL_PROTOCOL);
  CHECK(lie([](OneShot& one) { one.descriptors = 2; }) == SIDECALL_PROTOCOL);
  CHECK(lie([](OneShot& one) { one.descriptors = 8; }) == SIDECALL_PROTOCOL);
  CHECK(lie([](OneShot& one) { one.is_sealed = false; }) == SIDECALL_PROTOCOL);
  CHECK(lie([](OneShot& one) { one.bytes = 2 * kPage; }) == SIDECALL_PROTOCOL);
  CHECK(lie([](OneShot& one) { one.said = 2 * kPage; }) == SIDECALL_PROTOCOL);
  CHECK(lie([](OneShot& one) { one.described = 2 * kPage; }) == SIDECALL_PROTOCOL);
  CHECK(lie([](OneShot& one) { one.said = one.described = 2 * kPage; }) == SIDECALL_PROTOCOL);
  CHECK(lie([](OneShot& one) { one.said = one.described = UINT64_MAX; }) == SIDECALL_PROTOCOL);
  CHECK(lie([](OneShot& one) { one.said = one.described = 0; }) == SIDECALL_PROTOCOL);
  CHECK(lie([](OneShot& one) { one.change = [](unsigned char* slot) { slot[0] ^= 4; }; }) ==
        SIDECALL_PROTOCOL);
  CHECK(lie([](OneShot& one) {
          one.change_message = [](FileMessage& message) { message.kind = kWelcome; };
        }) == SIDECALL_PROTOCOL);
  CHECK(lie([](OneShot& one) {
          one.change_message = [](FileMessage& message) { message.version = 2; };
        }) == SIDECALL_PROTOCOL);
  CHECK(lie([](OneShot& one) {
          one.change_message = [](FileMessage& message) { message.magic[7] = 0; };
        }) == SIDECALL_PROTOCOL);
}

TEST_CASE("unknown messages and a flood of wake-ups are violations") {
  for (const std::string& bytes :
       {std::string("\x02"), std::string("\x01\x01"), std::string("x"), std::string(31, 's'),
        std::string(32, 's'), std::string(33, 's'), std::string(4000, '\x01')})
    CHECK(send_with(bytes) == SIDECALL_PROTOCOL);
  CHECK(send_with("\x01", true) == SIDECALL_PROTOCOL);
  CHECK(call_against([](Peer& peer) {
          // The socket's queue is short: the client has to read in the meantime.
          for (int rung = 0; rung <= 5000;) {
            const char ring = 1;
            switch (peer.socket.send(&ring, 1)) {
              case Sent::kDone:
                ++rung;
                break;
              case Sent::kFull:
                std::this_thread::yield();
                break;
              case Sent::kGone:
                return;
            }
          }
        }) == SIDECALL_PROTOCOL);
  std::string message;
  CHECK(call_against(
            [](Peer& peer) {
              peer.send("x", 1);
              std::this_thread::sleep_for(std::chrono::milliseconds(20));
            },
            &message) == SIDECALL_PROTOCOL);
  CHECK(message == "the peer broke the protocol: it sent an unknown message");
}

TEST_CASE("a server that falsely reports a request as taken affects only that call") {
  CHECK(call_against([](Peer& peer) {
          peer.response_head()->mark.store(UINT64_MAX);
          peer.socket.close();
        }) == SIDECALL_PEER_DIED);
}

TEST_CASE("random bytes in the whole response segment end in a status") {
  Pair pair;
  std::atomic<bool> is_over{false};
  BackgroundThread serving([&] {
    std::mt19937_64 random(42);
    while (!is_over) {
      // Mostly plausible sequences, so that the client reads the data after them.
      const uint64_t next = pair.peer.request_entry()->sequence.load();
      unsigned char* memory = pair.peer.response.memory.data();
      for (size_t i = sizeof(Head) + 8; i < pair.peer.response.memory.bytes(); i += 8) {
        const uint64_t bits = random() & (random() % 4 ? 0xff : UINT64_MAX);
        std::memcpy(memory + i, &bits, sizeof bits);
      }
      pair.peer.response_entry()->sequence.store(random() % 8 ? next : random());
      pair.peer.socket.ring();
      if (!pair.peer.socket.is_hung_up()) continue;
      const int fd = pair.server.listener();
      if (!wait_readable(&fd, 1, Deadline::after(kMillisecond))) continue;
      try {
        pair.peer = pair.server.accept_honest();
      } catch (const std::exception&) {
        // A client whose deadline passed has disconnected again.
      }
    }
  });
  for (int i = 0; i < 300; ++i) {
    const int32_t status = status_of([&] {
      if (pair.run(50 * kMillisecond) == Outcome::kAnswered) pair.channel->take();
    });
    if (status == SIDECALL_UNREACHABLE || status == SIDECALL_TIMEOUT)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  is_over = true;
  CHECK(serving.join() == "");
}

TEST_CASE("values that change between check and use never lead outside the slot") {
  Pair pair;
  std::atomic<bool> is_over{false};
  BackgroundThread serving([&] {
    while (!is_over && pair.peer.next()) {
      pair.peer.answer();
      for (int i = 0; i < 2000; ++i) {
        auto* entry = reinterpret_cast<volatile TensorEntry*>(pair.peer.response_slot());
        entry->offset = i % 2 ? UINT64_MAX - 63 : 192;
        entry->bytes = i % 2 ? UINT64_C(1) << 40 : 12;
        entry->rank = i % 2 ? 16 : 1;
      }
    }
  });
  for (int i = 0; i < 300 && pair.run() == Outcome::kAnswered; ++i) {
    const int32_t status = status_of([&] {
      const Tensor& tensor = pair.channel->take().tensors->at(0);
      if (tensor.rank != 1 || tensor.offset != 192 || tensor.bytes != 12)
        FAIL("an unchecked entry was used");
    });
    if (status == SIDECALL_OK) continue;
    CHECK(status == SIDECALL_PROTOCOL);
    break;
  }
  is_over = true;
  pair.channel.reset();
}
