// The server sends descriptors to a client that has no free descriptor number. The client reports
// this as its own shortage, not as a violation by the server.
#include <sys/resource.h>

#include <catch2/catch_test_macros.hpp>
#include <optional>

#include "raw_server.h"

using namespace raw;

namespace {

// While this object exists, the process gets no new descriptor; those that it has stay usable.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few = before_;
    few.rlim_cur = 4;  // not less, because this also limits the entries of poll()
    setrlimit(RLIMIT_NOFILE, &few);
  }
  ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

// The client's error when it runs `work` while `serve` answers. `serve` creates a NoDescriptors
// when the shortage should begin.
template <typename Work>
Error failure_of(const std::function<void()>& serve, Work work) {
  BackgroundThread serving(serve);
  try {
    work();
  } catch (const Error& error) {
    CHECK(serving.join().empty());
    return error;
  }
  serving.join();
  return Error(SIDECALL_OK, "");
}

void check(const Error& error) {
  CHECK(error.status == SIDECALL_OUT_OF_MEMORY);
  CHECK(error.message.find("no file descriptor is left: raise ulimit -n") != std::string::npos);
}

}  // namespace

TEST_CASE("receiving a message reports that descriptors were lost for lack of free numbers") {
  Socket one, other;
  Socket::pair(&one, &other);
  const int fds[] = {0, 1};
  char buffer[2];
  {
    REQUIRE(one.send("ab", 2, fds, 2) == Sent::kDone);
    const NoDescriptors scarce;
    const Received received = other.receive(buffer, sizeof buffer);
    CHECK(received.bytes == 2);
    CHECK(received.num_fds == 0);
    CHECK(received.is_cut);
    CHECK(received.lacks_descriptors);
  }
  REQUIRE(one.send("abc", 3, fds, 2) == Sent::kDone);
  const Received longer = other.receive(buffer, sizeof buffer);
  CHECK(longer.is_cut);
  CHECK_FALSE(longer.lacks_descriptors);
}

TEST_CASE("a message with too many descriptors is not reported as a shortage") {
  Socket one, other;
  Socket::pair(&one, &other);
  const std::vector<int> fds(kMaxDescriptors + 1, 0);
  // Does what send() does, with one more descriptor than send() accepts.
  char byte = 'a';
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE((kMaxDescriptors + 1) * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
  std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
  REQUIRE(sendmsg(one.fd(), &message, 0) == 1);
  const Received received = other.receive(&byte, 1);
  CHECK(received.num_fds == kMaxDescriptors);
  CHECK(received.is_cut);
  CHECK_FALSE(received.lacks_descriptors);
}

TEST_CASE(
    "an open without a free descriptor for the manifest fails with OUT_OF_MEMORY, and the next "
    "open succeeds") {
  Server server;
  std::optional<NoDescriptors> scarce;
  check(failure_of(
      [&] {
        Peer peer = server.accept();
        peer.read_hello();
        Welcome welcome = welcome_to(peer.hello);
        welcome.request_bytes = welcome.response_bytes = 0;
        const std::string text = manifest(kSignature, "");
        welcome.manifest_bytes = text.size();
        const Fd file = make_sealed_file(text);
        scarce.emplace();
        peer.send(&welcome, sizeof welcome, {file.get()});
      },
      [&] { open_client(server); }));
  scarce.reset();
  BackgroundThread serving([&] {
    Peer peer = server.accept();
    peer.read_hello();
    Server::open(peer);
  });
  open_client(server);
  CHECK(serving.join().empty());
}

TEST_CASE("a call without a free descriptor for its connection fails with OUT_OF_MEMORY") {
  Server server;
  std::optional<NoDescriptors> scarce;
  std::unique_ptr<Client> client;
  check(failure_of(
      [&] {
        Peer peer = server.accept_connect();
        const Welcome welcome = welcome_to(peer.hello);
        peer.make_segments(welcome);
        scarce.emplace();
        peer.send(&welcome, sizeof welcome, {peer.request.file.get(), peer.response.file.get()});
      },
      [&] {
        client = open_client(server);
        client->borrow(1, 1, Deadline::after(5 * kSecond));
      }));
  scarce.reset();
  BackgroundThread serving([&] { server.accept_honest(); });
  CHECK(client->borrow(1, 1, Deadline::after(5 * kSecond)) != nullptr);
  CHECK(serving.join().empty());
}

TEST_CASE("reading counters without a free descriptor fails with OUT_OF_MEMORY") {
  Server server;
  std::optional<NoDescriptors> scarce;
  check(failure_of(
      [&] {
        Peer peer = server.accept();
        peer.read_hello();
        auto message = with_magic<FileMessage>();
        message.version = kVersion;
        message.kind = kStatusAnswer;
        message.first = 2;
        const Fd file = make_sealed_file("{}");
        scarce.emplace();
        peer.send(&message, sizeof message, {file.get()});
      },
      [&] {
        fetch_status(*make_socket_endpoint(server.address()), Deadline::after(0),
                     Deadline::after(5 * kSecond));
      }));
}

TEST_CASE("a large answer without a free descriptor fails only its own call") {
  Pair pair;
  std::optional<NoDescriptors> scarce;
  BackgroundThread serving([&] {
    pair.peer.next();
    Segment file = make_file(kPage);
    pair.peer.write_answer(file.memory.data());
    const Fd fd = seal_file(std::move(file));
    auto message = with_magic<FileMessage>();
    message.version = kVersion;
    message.kind = kOneShotFile;
    message.first = 1;
    message.second = kPage;
    scarce.emplace();
    pair.peer.send(&message, sizeof message, {fd.get()});
    ResponseFields fields{};
    fields.flags = kOneShot;
    fields.one_shot_bytes = kPage;
    pair.peer.publish(fields);
    pair.peer.serve(1);  // the same connection is still in use
  });
  CHECK(pair.run() == Outcome::kAnswered);
  try {
    pair.channel->take();
    FAIL("expected an error");
  } catch (const Error& error) {
    check(error);
  }
  scarce.reset();
  write_request(*pair.channel, 5);
  CHECK(pair.run() == Outcome::kAnswered);
  CHECK(is_right(pair.channel->take(), 5));
  CHECK(serving.join().empty());
}
