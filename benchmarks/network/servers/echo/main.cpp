// bench-http-echo PORT FILE: answers each HTTP request with the bytes of a file. It uses the parser
// of sidecall's server, epoll and one thread, and nothing else, so it shows what that server could
// at best take. serving.py runs it.
#include <arpa/inet.h>
#include <llhttp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

namespace {

std::string g_answer;

struct Connection {
  explicit Connection(int given) : fd(given) {
    llhttp_settings_init(&settings);
    settings.on_message_complete = [](llhttp_t* self) {
      static_cast<Connection*>(self->data)->is_complete = true;
      return 0;
    };
    llhttp_init(&parser, HTTP_REQUEST, &settings);
    parser.data = this;
  }
  const int fd;
  llhttp_t parser{};
  llhttp_settings_t settings{};
  bool is_complete = false;
};

// Returns false at the end of the connection.
bool answer(Connection* connection) {
  static std::vector<char> buffer(65536);
  const ssize_t got = recv(connection->fd, buffer.data(), buffer.size(), 0);
  if (got <= 0) return false;
  if (llhttp_execute(&connection->parser, buffer.data(), static_cast<size_t>(got)) != HPE_OK)
    return false;
  if (!connection->is_complete) return true;
  connection->is_complete = false;
  for (size_t sent = 0; sent < g_answer.size();) {
    const ssize_t count =
        send(connection->fd, g_answer.data() + sent, g_answer.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) return false;
    sent += static_cast<size_t>(count);
  }
  return true;
}

int listen_at(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(fd, 64) != 0) {
    std::perror("bench-http-echo");
    std::exit(1);
  }
  return fd;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::ifstream file(argv[2], std::ios::binary);
  g_answer.assign(std::istreambuf_iterator<char>(file), {});
  const int listener = listen_at(std::atoi(argv[1]));
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event wanted{EPOLLIN, {}};
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &wanted);
  std::vector<epoll_event> events(64);
  for (;;) {
    const int count = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      auto* connection = static_cast<Connection*>(events[static_cast<size_t>(i)].data.ptr);
      if (connection == nullptr) {
        const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        const int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        wanted.data.ptr = new Connection(fd);
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &wanted);
      } else if (!answer(connection)) {
        close(connection->fd);
        delete connection;
      }
    }
  }
}
