// Servers that violate the protocol, refuse or stall in the handshake: each gives the matching
// status and leaves no descriptor open.
#include <sys/mman.h>

#include <catch2/catch_test_macros.hpp>

#include "raw_server.h"
#include "shm/client/handshake.h"
#include "shm/server/accepting/admission.h"

using namespace raw;

namespace {

// Opens a client against a server that answers HELLO by `answer`. Returns the status, after a check
// that no descriptor was leaked.
int32_t open_against(const std::function<void(Peer&)>& answer, std::string* message = nullptr,
                     int hang_ups = 0) {
  Server server;
  const int before = count_descriptors();
  ClientOptions options;
  options.timeout_ns = 5 * kSecond;
  int32_t status = SIDECALL_OK;
  {
    BackgroundThread serving([&] {
      for (int i = 0; i < hang_ups; ++i) server.accept();
      Peer peer = server.accept();
      peer.read_hello();
      answer(peer);
    });
    try {
      open_client(server, options);
    } catch (const Error& error) {
      status = error.status;
      if (message) *message = error.message;
    }
    CHECK(serving.join().empty());
  }
  CHECK(count_descriptors() == before);
  return status;
}

int32_t open_with(const std::function<void(Welcome&)>& change,
                  std::string text = manifest(kSignature, ""), int hang_ups = 0) {
  return open_against(
      [&](Peer& peer) {
        Welcome welcome = welcome_to(peer.hello);
        welcome.request_bytes = welcome.response_bytes = 0;
        welcome.manifest_bytes = text.size();
        change(welcome);
        const Fd file = make_sealed_file(text);
        peer.send(&welcome, sizeof welcome, {file.get()});
      },
      nullptr, hang_ups);
}

// Like open_against, but the server answers CONNECT, with one slot of 4096 bytes each way.
int32_t connect_against(const std::function<void(Peer&, Welcome&)>& answer) {
  Server server;
  std::unique_ptr<Client> client;
  {
    BackgroundThread opening([&] {
      Peer peer = server.accept();
      peer.read_hello();
      Server::open(peer);
    });
    client = open_client(server);
  }
  const int before = count_descriptors();
  int32_t status;
  {
    BackgroundThread serving([&] {
      Peer peer = server.accept_connect();
      Welcome welcome = welcome_to(peer.hello);
      answer(peer, welcome);
    });
    status = status_of([&] { client->borrow(1, 1, Deadline::after(5 * kSecond)); });
    CHECK(serving.join().empty());
  }
  CHECK(count_descriptors() == before);
  return status;
}

int32_t connect_with(const std::function<void(Welcome&)>& change) {
  return connect_against([&](Peer& peer, Welcome& welcome) {
    change(welcome);
    peer.make_segments(welcome);
    peer.send(&welcome, sizeof welcome, {peer.request.file.get(), peer.response.file.get()});
  });
}

int32_t refuse_with(const std::function<void(Refused&, std::string&)>& change,
                    std::string* message = nullptr) {
  return open_against(
      [&](Peer& peer) {
        auto refused = with_magic<Refused>();
        refused.version_min = refused.version_max = kVersion;
        refused.kind = kRefused;
        refused.status = SIDECALL_DENIED;
        std::string text = "this user is not admitted";
        refused.text_bytes = static_cast<uint32_t>(text.size());
        change(refused, text);
        const std::string all =
            std::string(reinterpret_cast<const char*>(&refused), sizeof refused) + text;
        peer.send(all.data(), all.size());
      },
      message);
}

Fd sealed_memory(const std::string& text, int seals) {
  Fd file(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      fcntl(file.get(), F_ADD_SEALS, seals) != 0)
    throw std::runtime_error("no memory file");
  return file;
}

}  // namespace

TEST_CASE("a valid handshake is accepted, and unknown flags and reserved bytes are ignored") {
  CHECK(open_with([](Welcome&) {}) == SIDECALL_OK);
  CHECK(open_with([](Welcome& welcome) { welcome.flags |= 0x80; }) == SIDECALL_OK);
  CHECK(open_with([](Welcome& welcome) { welcome.zero2[3] = 1; }) == SIDECALL_OK);
  CHECK(open_with([](Welcome& welcome) {
          std::memset(welcome.model_id, 0, sizeof welcome.model_id);
        }) == SIDECALL_OK);
  CHECK(connect_with([](Welcome&) {}) == SIDECALL_OK);
  CHECK(connect_with([](Welcome& welcome) { welcome.response_bytes = 4 * kPage; }) == SIDECALL_OK);
}

TEST_CASE("a WELCOME that is wrong in any field is a violation") {
  const std::vector<std::function<void(Welcome&)>> lies = {
      [](Welcome& welcome) { welcome.magic[0] = 'S'; },
      [](Welcome& welcome) { welcome.version = 2; },
      [](Welcome& welcome) { welcome.version = 0; },
      [](Welcome& welcome) { welcome.zero0 = 1; },
      [](Welcome& welcome) { welcome.kind = kStatusAnswer; },
      [](Welcome& welcome) { welcome.kind = 9; },
      [](Welcome& welcome) { welcome.slots = 1; },
      [](Welcome& welcome) { welcome.request_bytes = kPage; },
      [](Welcome& welcome) { welcome.response_bytes = kPage; },
      [](Welcome& welcome) { welcome.model_id[5] = 'X'; },
      [](Welcome& welcome) { welcome.model_id[63] = 0; },
      [](Welcome& welcome) { welcome.manifest_bytes += 1; },
      [](Welcome& welcome) { welcome.manifest_bytes = 0; },
      [](Welcome& welcome) { welcome.manifest_bytes = UINT64_MAX; },
      [](Welcome& welcome) { welcome.flags |= kHasContract; },
      [](Welcome& welcome) { welcome.flags |= kHasPidfd; },
  };
  for (const auto& lie : lies) CHECK(open_with(lie) == SIDECALL_PROTOCOL);
}

TEST_CASE("a manifest whose parts do not match its size is a violation") {
  const uint64_t huge = UINT64_MAX - 7;
  std::vector<std::string> texts = {"",
                                    "short",
                                    manifest(kSignature, "").substr(0, 40),
                                    manifest(kSignature, "x") + "y",
                                    manifest("\xff", ""),
                                    manifest(std::string("a\0b", 3), ""),
                                    manifest(kSignature, "{}")};
  std::string lying = manifest(kSignature, "");
  std::memcpy(lying.data(), &huge, sizeof huge);
  texts.push_back(lying);
  lying = manifest(kSignature, "");
  std::memcpy(lying.data() + 8, &huge, sizeof huge);
  texts.push_back(lying);
  for (const std::string& text : texts)
    CHECK(open_with([](Welcome&) {}, text) == SIDECALL_PROTOCOL);
}

TEST_CASE("a manifest that is not a sealed memory file is a violation") {
  const std::string text = manifest(kSignature, "");
  const auto with_file = [&](const std::function<Fd()>& make) {
    return open_against([&](Peer& peer) {
      Welcome welcome = welcome_to(peer.hello);
      welcome.request_bytes = welcome.response_bytes = 0;
      welcome.manifest_bytes = text.size();
      const Fd file = make();
      peer.send(&welcome, sizeof welcome, {file.get()});
    });
  };
  const int all = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  CHECK(with_file([&] { return sealed_memory(text, all); }) == SIDECALL_OK);
  for (int missing : {F_SEAL_WRITE, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL})
    CHECK(with_file([&] { return sealed_memory(text, all & ~missing); }) == SIDECALL_PROTOCOL);
  CHECK(with_file([&] { return Fd(open("/dev/zero", O_RDONLY | O_CLOEXEC)); }) ==
        SIDECALL_PROTOCOL);
  CHECK(with_file([&] { return Fd(open("/proc/self/exe", O_RDONLY | O_CLOEXEC)); }) ==
        SIDECALL_PROTOCOL);
  CHECK(with_file([&] { return Fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }) ==
        SIDECALL_PROTOCOL);
}

TEST_CASE("missing or surplus descriptors are a violation, and all are closed") {
  const std::string text = manifest(kSignature, "");
  for (size_t count : {0u, 2u, 3u, 8u, 9u, 40u}) {
    CHECK(open_against([&](Peer& peer) {
            Welcome welcome = welcome_to(peer.hello);
            welcome.request_bytes = welcome.response_bytes = 0;
            welcome.manifest_bytes = text.size();
            const Fd file = make_sealed_file(text);
            std::vector<int> fds(count, file.get());
            // The library's own send() accepts at most eight descriptors.
            iovec part{&welcome, sizeof welcome};
            alignas(cmsghdr) char control[CMSG_SPACE(64 * sizeof(int))] = {};
            msghdr message{};
            message.msg_iov = &part;
            message.msg_iovlen = 1;
            if (count) {
              message.msg_control = control;
              message.msg_controllen = CMSG_SPACE(count * sizeof(int));
              cmsghdr* header = CMSG_FIRSTHDR(&message);
              header->cmsg_level = SOL_SOCKET;
              header->cmsg_type = SCM_RIGHTS;
              header->cmsg_len = CMSG_LEN(count * sizeof(int));
              std::memcpy(CMSG_DATA(header), fds.data(), count * sizeof(int));
            }
            if (sendmsg(peer.socket.fd(), &message, MSG_NOSIGNAL) < 0)
              throw std::runtime_error("not sent");
          }) == SIDECALL_PROTOCOL);
  }
}

TEST_CASE("a handshake message of the wrong size is a violation") {
  for (size_t bytes : {1u, 31u, 32u, 64u, 191u, 193u, 1057u, 4000u}) {
    CHECK(open_against([&](Peer& peer) {
            std::vector<char> message(bytes);
            Welcome welcome = welcome_to(peer.hello);
            welcome.request_bytes = welcome.response_bytes = 0;
            std::memcpy(message.data(), &welcome, std::min(bytes, sizeof welcome));
            peer.send(message.data(), bytes);
          }) == SIDECALL_PROTOCOL);
  }
}

TEST_CASE("a refusal keeps its status and text, and a malformed one is a violation") {
  std::string message;
  CHECK(refuse_with([](Refused&, std::string&) {}, &message) == SIDECALL_DENIED);
  CHECK(message.find("refused by the server: this user is not admitted") != std::string::npos);
  for (int32_t status : {SIDECALL_PROTOCOL, SIDECALL_OUT_OF_RANGE, SIDECALL_BUSY,
                         SIDECALL_OUT_OF_MEMORY, SIDECALL_UNREACHABLE})
    CHECK(refuse_with([&](Refused& refused, std::string&) { refused.status = status; }) == status);
  CHECK(refuse_with([](Refused& refused, std::string&) {
          refused.version_min = refused.version_max = 9;
        }) == SIDECALL_DENIED);
  const std::vector<std::function<void(Refused&, std::string&)>> lies = {
      [](Refused& refused, std::string&) { refused.status = 0; },
      [](Refused& refused, std::string&) { refused.status = 12345; },
      [](Refused& refused, std::string&) { refused.zero = 1; },
      [](Refused& refused, std::string&) { refused.text_bytes += 1; },
      [](Refused& refused, std::string&) { refused.text_bytes = UINT32_MAX; },
      [](Refused&, std::string& text) { text[0] = '\n'; },
      [](Refused&, std::string& text) { text[0] = '\0'; },
      [](Refused&, std::string& text) { text[0] = '\xff'; },
      [](Refused& refused, std::string& text) {
        text.assign(1025, 'x');
        refused.text_bytes = 1025;
      },
  };
  for (const auto& lie : lies) CHECK(refuse_with(lie) == SIDECALL_PROTOCOL);
}

TEST_CASE("messages are received although the peer closed before it had read all of ours") {
  Socket ours, theirs;
  Socket::pair(&ours, &theirs);
  REQUIRE(theirs.send("answer", 6) == Sent::kDone);
  REQUIRE(ours.ring());
  theirs.close();
  char text[8];
  const Received received = ours.receive(text, sizeof text);
  REQUIRE(received.kind == Received::kMessage);
  CHECK(std::string(text, received.bytes) == "answer");
  CHECK(ours.receive(text, sizeof text).kind == Received::kEnd);
}

TEST_CASE("the client receives a refusal that the server sends without reading HELLO") {
  struct Refusing final : Endpoint {
    const std::string name = "shm:refusing";
    const std::string& label() const noexcept override { return name; }
    Socket connect(Deadline, uint64_t*, Error*) override {
      Socket ours, theirs;
      Socket::pair(&ours, &theirs);
      refuse(&theirs, SIDECALL_OUT_OF_MEMORY, "no file descriptors left");
      return ours;
    }
  } endpoint;
  CHECK(status_of([&] {
          run_handshake(endpoint, ConnectionRequest(), Deadline::after(0),
                        Deadline::after(5 * kSecond));
        }) == SIDECALL_OUT_OF_MEMORY);
}

TEST_CASE("a client retries twice after a disconnect, because a worker may have been ending") {
  CHECK(open_with([](Welcome&) {}, manifest(kSignature, ""), 2) == SIDECALL_OK);
}

TEST_CASE(
    "a server that disconnects or is absent gives UNREACHABLE, and one that stalls gives TIMEOUT") {
  CHECK(open_against([](Peer& peer) { peer.socket.close(); }, nullptr, 2) == SIDECALL_UNREACHABLE);
  Server server;
  ClientOptions options;
  options.timeout_ns = 20 * kMillisecond;
  // The server listens but never accepts.
  CHECK(status_of([&] { open_client(server, options); }) == SIDECALL_TIMEOUT);
  server.stop();
  CHECK(status_of([&] { open_client(server, options); }) == SIDECALL_UNREACHABLE);
  unlink(server.address().c_str());
  CHECK(status_of([&] { open_client(server, options); }) == SIDECALL_UNREACHABLE);
}

TEST_CASE("sizes and memory files of CONNECT that differ from the request are a violation") {
  const std::vector<std::function<void(Welcome&)>> lies = {
      [](Welcome& welcome) { welcome.slots = 2; },
      [](Welcome& welcome) { welcome.slots = 0; },
      [](Welcome& welcome) { welcome.manifest_bytes = 16; },
      [](Welcome& welcome) { welcome.response_bytes = kPage + 64; },
      [](Welcome& welcome) { welcome.request_bytes = kPage - 64; },
      [](Welcome& welcome) { welcome.response_bytes = UINT64_C(4) << 20; },
      [](Welcome& welcome) { welcome.flags |= kHasPidfd; },
  };
  for (const auto& lie : lies) CHECK(connect_with(lie) == SIDECALL_PROTOCOL);
  CHECK(connect_with([](Welcome& welcome) { welcome.signature_digest[31] = 0; }) ==
        SIDECALL_CONTRACT_CHANGED);

  const auto with_files = [](const std::function<std::vector<int>(Peer&)>& files) {
    return connect_against([&](Peer& peer, Welcome& welcome) {
      peer.make_segments(welcome);
      peer.send(&welcome, sizeof welcome, files(peer));
    });
  };
  CHECK(with_files([](Peer& peer) { return std::vector<int>{peer.request.file.get()}; }) ==
        SIDECALL_PROTOCOL);
  CHECK(with_files([](Peer&) { return std::vector<int>{}; }) == SIDECALL_PROTOCOL);
  // The request file has no FUTURE_WRITE seal. If it were accepted as the response file, the client
  // could change it while the server uses it. In the opposite case the client could not write its
  // requests.
  CHECK(with_files([](Peer& peer) {
          return std::vector<int>{peer.request.file.get(), peer.request.file.get()};
        }) == SIDECALL_PROTOCOL);
  CHECK(with_files([](Peer& peer) {
          return std::vector<int>{peer.response.file.get(), peer.request.file.get()};
        }) == SIDECALL_PROTOCOL);
  CHECK(with_files([](Peer& peer) {
          return std::vector<int>{peer.request.file.get(), peer.response.file.get(), 0};
        }) == SIDECALL_PROTOCOL);
  for (int64_t off : {-4096, 4096}) {
    const Segment other =
        make_request_segment(segment_bytes(1, kPage) + static_cast<uint64_t>(off));
    CHECK(with_files([&](Peer& peer) {
            return std::vector<int>{other.file.get(), peer.response.file.get()};
          }) == SIDECALL_PROTOCOL);
  }
  const Segment growing = make_file(segment_bytes(1, kPage));
  CHECK(with_files([&](Peer& peer) {
          return std::vector<int>{growing.file.get(), peer.response.file.get()};
        }) == SIDECALL_PROTOCOL);
  CHECK(connect_against([](Peer& peer, Welcome& welcome) {
          welcome.flags |= kHasPidfd;  // the third file is not a pidfd
          peer.make_segments(welcome);
          peer.send(&welcome, sizeof welcome,
                    {peer.request.file.get(), peer.response.file.get(), 0});
        }) == SIDECALL_PROTOCOL);
}

TEST_CASE("the status of a server is read, and a malformed one is a violation") {
  const auto ask = [](const std::function<void(FileMessage&)>& change, const std::string& text) {
    Server server;
    BackgroundThread serving([&] {
      Peer peer = server.accept();
      peer.read_hello();
      auto message = with_magic<FileMessage>();
      message.version = kVersion;
      message.kind = kStatusAnswer;
      message.first = text.size();
      change(message);
      const Fd file = make_sealed_file(text);
      peer.send(&message, sizeof message, {file.get()});
    });
    const auto endpoint = make_socket_endpoint(server.address());
    std::string got;
    const int32_t status = status_of(
        [&] { got = fetch_status(*endpoint, Deadline::after(0), Deadline::after(5 * kSecond)); });
    if (status == SIDECALL_OK) CHECK(got == text);
    return status;
  };
  CHECK(ask([](FileMessage&) {}, R"({"state": "serving"})") == SIDECALL_OK);
  const auto nested = [](size_t levels) {
    return "{\"a\":" + std::string(levels - 1, '[') + std::string(levels - 1, ']') + "}";
  };
  CHECK(ask([](FileMessage&) {}, nested(64)) == SIDECALL_OK);
  for (const std::string& lie :
       {std::string(), nested(65), nested(1000000), std::string(1000000, '['), std::string("[]"),
        std::string("1"), std::string("{} {}"), std::string("{\"a\": \"\x1f\"}"),
        std::string("{\"a\": \"\xc3\"}"), std::string("\xc3")})
    CHECK(ask([](FileMessage&) {}, lie) == SIDECALL_PROTOCOL);
  CHECK(ask([](FileMessage& message) { message.first = 1; }, "{}") == SIDECALL_PROTOCOL);
  CHECK(ask([](FileMessage& message) { message.first = UINT64_MAX; }, "{}") == SIDECALL_PROTOCOL);
  CHECK(ask([](FileMessage& message) { message.second = 1; }, "{}") == SIDECALL_PROTOCOL);
  CHECK(ask([](FileMessage& message) { message.kind = kWelcome; }, "{}") == SIDECALL_PROTOCOL);
  CHECK(ask([](FileMessage& message) { message.version = 3; }, "{}") == SIDECALL_PROTOCOL);
}
