// The server's handshake: its answers, the sizes that it grants, and the clients that it refuses.
#include <catch2/catch_test_macros.hpp>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <functional>

#include "raw_client.h"
#include "server_host.h"
#include "shm/server/accepting/admission.h"

using host::Host;
using raw::Client;

namespace shm = sidecall::shm;

TEST_CASE("OPEN is answered with the manifest, and the connection is then closed") {
  Host server;
  shm::Socket socket = raw::connect(server.path);
  const shm::Hello hello = raw::hello(shm::kOpen);
  const raw::Answer answer = raw::ask(&socket, &hello, sizeof(hello));
  const auto welcome = answer.as<shm::Welcome>();
  CHECK(std::memcmp(welcome.magic, shm::kMagic, 8) == 0);
  CHECK(welcome.version == 1);
  CHECK(welcome.kind == shm::kWelcome);
  CHECK((welcome.flags & shm::kHasContract) != 0);
  CHECK((welcome.flags & shm::kVerified) != 0);
  CHECK(welcome.slots == 0);
  CHECK(welcome.request_bytes == 0);
  CHECK(welcome.max_request_bytes == UINT64_C(256) << 20);
  CHECK(welcome.signature_digest[31] == 31);
  CHECK(std::string(welcome.model_id, 64) == std::string(64, 'a'));
  CHECK(welcome.instance != 0);
  CHECK(welcome.process == static_cast<uint32_t>(getpid()));
  REQUIRE(answer.fds.size() == ((welcome.flags & shm::kHasPidfd) != 0 ? 2 : 1));
  const std::string manifest =
      shm::read_sealed_file(answer.fds[0].get(), welcome.manifest_bytes, shm::kMaxManifest);
  uint64_t sizes[2];
  std::memcpy(sizes, manifest.data(), sizeof(sizes));
  const shm::Service service = host::numbers();
  CHECK(manifest.substr(16, sizes[0]) == service.signature);
  CHECK(manifest.substr(16 + sizes[0]) == service.contract);
  CHECK(sizes[1] == service.contract.size());
  CHECK(raw::is_closed(&socket));
}

TEST_CASE("CONNECT is answered with sealed memory of at least the requested size") {
  Host server;
  const struct {
    uint32_t slots;
    uint64_t wanted_request, wanted_response, request, response;
  } cases[] = {{1, 0, 0, 4096, 4096},
               {2, 1, 4097, 4096, 8192},
               {64, 100000, 4096, 102400, 4096},
               {1, 3 << 20, 1 << 20, 3 << 20, 1 << 20}};
  for (const auto& one : cases) {
    Client client(server.path, one.slots, one.wanted_request, one.wanted_response);
    CHECK(client.welcome.slots == one.slots);
    CHECK(client.welcome.request_bytes == one.request);
    CHECK(client.welcome.response_bytes == one.response);
    CHECK(client.welcome.manifest_bytes == 0);
    CHECK(client.echo(1, 2.0F));
  }
  shm::Socket socket = raw::connect(server.path);
  const shm::Hello hello = raw::hello(shm::kConnect, 1, 4096, 4096);
  const raw::Answer answer = raw::ask(&socket, &hello, sizeof(hello));
  shm::check_file(answer.fds[0].get(), shm::Kind::kRequest, shm::segment_bytes(1, 4096));
  shm::check_file(answer.fds[1].get(), shm::Kind::kResponse, shm::segment_bytes(1, 4096));
}

TEST_CASE("STATUS is answered with a sealed file of JSON, and the connection is then closed") {
  Host server;
  Client client(server.path);
  REQUIRE(client.echo(1, 1.0F));
  shm::Socket socket = raw::connect(server.path);
  const shm::Hello hello = raw::hello(shm::kStatus);
  const raw::Answer answer = raw::ask(&socket, &hello, sizeof(hello));
  const auto message = answer.as<shm::FileMessage>();
  CHECK(message.kind == shm::kStatusAnswer);
  REQUIRE(answer.fds.size() == 1);
  const std::string json = shm::read_sealed_file(answer.fds[0].get(), message.first, 1 << 20);
  for (const char* part :
       {R"("name":"numbers")", R"("version":"7")", R"("ready":true)", R"("draining":false)",
        R"("calls":1)", R"("errors":0)", R"("connections":1)", R"("statuses":{"0":1})", R"("p99":)",
        R"("protocol":1)"}) {
    INFO(part);
    CHECK(json.find(part) != std::string::npos);
  }
  CHECK(json.find("\"process\":" + std::to_string(getpid())) != std::string::npos);
  CHECK(raw::is_closed(&socket));
}

TEST_CASE("an invalid HELLO is refused with a text") {
  const struct {
    const char* what;
    std::function<void(shm::Hello*)> tell;
    int32_t status;
  } cases[] = {
      {"a version to come", [](shm::Hello* h) { h->version_min = 2, h->version_max = 9; },
       SIDECALL_PROTOCOL},
      {"no version at all", [](shm::Hello* h) { h->version_min = h->version_max = 0; },
       SIDECALL_PROTOCOL},
      {"versions the wrong way round",
       [](shm::Hello* h) { h->version_min = 2, h->version_max = 0; }, SIDECALL_PROTOCOL},
      {"an unknown kind", [](shm::Hello* h) { h->kind = 4; }, SIDECALL_PROTOCOL},
      {"kind 0", [](shm::Hello* h) { h->kind = 0; }, SIDECALL_PROTOCOL},
      {"an unknown flag", [](shm::Hello* h) { h->flags = 2; }, SIDECALL_PROTOCOL},
      {"a byte that must be zero", [](shm::Hello* h) { h->zero[23] = 1; }, SIDECALL_PROTOCOL},
      {"slots with OPEN",
       [](shm::Hello* h) { h->kind = shm::kOpen, h->request_bytes = h->response_bytes = 0; },
       SIDECALL_PROTOCOL},
      {"bytes with STATUS",
       [](shm::Hello* h) { h->kind = shm::kStatus, h->slots = 0, h->request_bytes = 0; },
       SIDECALL_PROTOCOL},
      {"no slots", [](shm::Hello* h) { h->slots = 0; }, SIDECALL_PROTOCOL},
      {"three slots", [](shm::Hello* h) { h->slots = 3; }, SIDECALL_PROTOCOL},
      {"too many slots", [](shm::Hello* h) { h->slots = 128; }, SIDECALL_OUT_OF_RANGE},
      {"far too many slots", [](shm::Hello* h) { h->slots = UINT32_C(1) << 31; },
       SIDECALL_OUT_OF_RANGE},
      {"a request slot too large",
       [](shm::Hello* h) { h->request_bytes = (UINT64_C(256) << 20) + 1; }, SIDECALL_OUT_OF_RANGE},
      {"a request slot that wraps", [](shm::Hello* h) { h->request_bytes = UINT64_MAX; },
       SIDECALL_OUT_OF_RANGE},
      {"a response slot that wraps", [](shm::Hello* h) { h->response_bytes = UINT64_MAX - 4095; },
       SIDECALL_OUT_OF_RANGE},
      {"more than all connections may have",
       [](shm::Hello* h) { h->slots = 64, h->request_bytes = UINT64_C(256) << 20; },
       SIDECALL_OUT_OF_MEMORY},
  };
  Host server;
  for (const auto& one : cases) {
    INFO(one.what);
    shm::Hello hello = raw::hello(shm::kConnect, 1, 4096, 4096);
    one.tell(&hello);
    shm::Socket socket = raw::connect(server.path);
    const raw::Answer answer = raw::ask(&socket, &hello, sizeof(hello));
    CHECK(answer.refusal() == one.status);
    CHECK(answer.text().size() == answer.as<shm::Refused>().text_bytes);
    CHECK_FALSE(answer.text().empty());
    CHECK(raw::is_closed(&socket));
  }
  shm::Hello both = raw::hello(shm::kConnect, 1, 4096, 4096);
  both.version_min = 0, both.version_max = 9;
  CHECK(raw::ask(server.path, both).as<shm::Welcome>().version == 1);
}

TEST_CASE("a first message other than HELLO only closes the connection") {
  Host server;
  const shm::Hello hello = raw::hello(shm::kOpen);
  const std::string good(reinterpret_cast<const char*>(&hello), sizeof(hello));
  for (const std::string& bytes : {std::string(1, '\1'), good.substr(0, 15),
                                   "SIDECALL" + good.substr(8), std::string(300, '\0')}) {
    shm::Socket socket = raw::connect(server.path);
    CHECK(raw::ask(&socket, bytes.data(), bytes.size()).is_end);
  }
  for (const std::string& bytes :
       {good.substr(0, 63), good + '\0'}) {  // another version might have this size
    shm::Socket socket = raw::connect(server.path);
    CHECK(raw::ask(&socket, bytes.data(), bytes.size()).refusal() == SIDECALL_PROTOCOL);
  }
  shm::Socket socket = raw::connect(server.path);
  const int fd = STDERR_FILENO;
  socket.send(&hello, sizeof(hello), &fd, 1);
  CHECK(raw::receive(&socket).is_end);
  CHECK(server.number("violations") == 5);
}

TEST_CASE("a silent connection is closed after a timeout, or earlier to make room for new ones") {
  shm::ServerOptions options;
  options.hello_ns = 30000000;
  Host server(host::numbers(), host::echo, options);
  shm::Socket silent = raw::connect(server.path);
  CHECK(raw::is_closed(&silent));
  CHECK(server.has_logged("connection.silent"));

  options.hello_ns = INT64_C(100000000000);
  options.max_half_open = 3;
  Host crowded(host::numbers(), host::echo, options);
  std::vector<shm::Socket> sockets;
  for (int i = 0; i < 5; ++i) sockets.push_back(raw::connect(crowded.path));
  CHECK(raw::is_closed(&sockets[0]));
  CHECK(raw::is_closed(&sockets[1]));
  CHECK(crowded.number("half_open") == 3);
  const shm::Hello hello = raw::hello(shm::kOpen);
  CHECK(raw::ask(&sockets[2], &hello, sizeof(hello)).kind() == shm::kWelcome);
  CHECK(Client(crowded.path).echo(1, 1.0F));
}

TEST_CASE("quotas refuse new connections, and closed connections free their share") {
  shm::ServerOptions options;
  options.max_connections = 3;
  options.max_connections_per_user = 2;
  options.max_slots = 2;
  options.max_request_bytes = 8192;
  Host server(host::numbers(), host::echo, options);
  const shm::Hello hello = raw::hello(shm::kConnect, 1, 4096, 4096);
  {
    Client one(server.path), two(server.path);
    const raw::Answer answer = raw::ask(server.path, hello);
    CHECK(answer.refusal() == SIDECALL_BUSY);
    CHECK(answer.text() ==
          "max_connections_per_user: expected at most 2 connections of one user, got one more");
    CHECK(raw::ask(server.path, raw::hello(shm::kOpen)).kind() == shm::kWelcome);
    CHECK(raw::ask(server.path, raw::hello(shm::kStatus)).kind() == shm::kStatusAnswer);
  }
  CHECK(host::eventually([&] { return server.number("connections") == 0; }));
  CHECK(Client(server.path).echo(1, 1.0F));
  CHECK(raw::ask(server.path, raw::hello(shm::kConnect, 4, 0, 0)).refusal() ==
        SIDECALL_OUT_OF_RANGE);
  CHECK(raw::ask(server.path, raw::hello(shm::kConnect, 1, 8193, 0)).refusal() ==
        SIDECALL_OUT_OF_RANGE);
  CHECK(server.number("refused") == 3);

  options = {};
  options.max_connections = 1;
  options.max_memory = 65536;
  Host small(host::numbers(), host::echo, options);
  CHECK(raw::ask(small.path, raw::hello(shm::kConnect, 1, 65536, 0)).refusal() ==
        SIDECALL_OUT_OF_MEMORY);
  Client client(small.path);
  CHECK(raw::ask(small.path, hello).refusal() == SIDECALL_BUSY);
}

TEST_CASE("users are admitted by user id and primary group, but never as the overflow user") {
  const auto own = static_cast<uint32_t>(geteuid());
  const shm::Admission strict({}, -1);
  CHECK(strict.admits({1, own, 5}));
  CHECK(strict.admits({1, 0, 5}));
  CHECK_FALSE(strict.admits({1, own + 1001, 5}));
  const shm::Admission open({own + 1001, 65534}, 77);
  CHECK(open.admits({1, own + 1001, 5}));
  CHECK(open.admits({1, own + 1002, 77}));
  CHECK_FALSE(open.admits({1, own + 1002, 78}));
  CHECK_FALSE(open.admits({1, 65534, 77}));
}

TEST_CASE("the text of a refusal is cut between two characters") {
  const std::string message = shm::refusal(SIDECALL_BUSY, std::string(1023, 'x') + "\xc3\xa9");
  CHECK(message.size() == sizeof(shm::Refused) + 1023);
  CHECK(shm::refusal(SIDECALL_BUSY, "short").substr(sizeof(shm::Refused)) == "short");
}

TEST_CASE("invalid options and services are refused") {
  host::FunctionHandler handler(host::echo);
  const auto status_of = [&](const std::function<void(shm::Service*, shm::ServerOptions*)>& spoil) {
    shm::Service service = host::numbers();
    shm::ServerOptions options;
    spoil(&service, &options);
    try {
      const shm::Server server(service, &handler, options);
      return 0;
    } catch (const shm::Error& error) {
      return error.status;
    }
  };
  CHECK(status_of([](auto*, auto*) {}) == 0);
  CHECK(status_of([](auto*, auto* o) { o->threads = 0; }) == SIDECALL_INVALID_ARGUMENT);
  CHECK(status_of([](auto*, auto* o) { o->max_slots = 65; }) == SIDECALL_INVALID_ARGUMENT);
  CHECK(status_of([](auto*, auto* o) { o->max_request_bytes = 100; }) == SIDECALL_INVALID_ARGUMENT);
  CHECK(status_of([](auto*, auto* o) { o->max_one_shot = UINT64_MAX; }) ==
        SIDECALL_INVALID_ARGUMENT);
  CHECK(status_of([](auto* s, auto*) { s->model_id = "short"; }) == SIDECALL_INVALID_ARGUMENT);
  CHECK(status_of([](auto* s, auto*) { s->inputs[0].dtype = 99; }) == SIDECALL_INVALID_ARGUMENT);
  CHECK(status_of([](auto* s, auto*) { s->outputs[0].dims.resize(17); }) ==
        SIDECALL_INVALID_ARGUMENT);
}

TEST_CASE("a server without free descriptors refuses new clients and still serves connected ones") {
  Host server;
  Client client(server.path);
  REQUIRE(client.echo(1, 1.0F));
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  std::vector<shm::Socket> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.emplace_back(shm::Fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)));
  }
  const int highest = dup(0);
  close(highest);
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(highest);
  setrlimit(RLIMIT_NOFILE, &none);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, server.path.c_str(), server.path.size());
  for (const shm::Socket& socket : waiting)
    ::connect(socket.fd(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
  CHECK(raw::receive(&waiting[0]).refusal() == SIDECALL_OUT_OF_MEMORY);
  // The refusal must also arrive if HELLO was sent before it.
  const shm::Hello hello = raw::hello(shm::kOpen);
  for (int i = 1; i < 4; ++i) waiting[i].send(&hello, sizeof(hello));
  for (int i = 1; i < 3; ++i) CHECK(raw::receive(&waiting[i]).refusal() == SIDECALL_OUT_OF_MEMORY);
  CHECK(client.echo(2, 2.0F));
  setrlimit(RLIMIT_NOFILE, &before);
  CHECK(Client(server.path).echo(1, 1.0F));
  CHECK(client.echo(3, 3.0F));
}
