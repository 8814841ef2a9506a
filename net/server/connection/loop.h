// One thread of a server, with the connections that it has accepted.
#pragma once

#include <netdb.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "byte_stream.h"
#include "connection.h"
#include "descriptor.h"
#include "handshakes.h"
#include "net/server/router.h"
#include "poller.h"

namespace sidecall::net {

// The sockets at which a server listens: one for each IP address that the name of its host has.
// Removes the file of a Unix socket at the end.
class Listener {
 public:
  // Throws INVALID_ARGUMENT, DENIED, BUSY, UNREACHABLE, OUT_OF_MEMORY.
  explicit Listener(const ServerAddress& address);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  std::vector<int> fds() const;
  int port() const { return port_; }

 private:
  void listen_tcp(const ServerAddress& address);
  int listen_at(const addrinfo& info);
  void listen_unix(const std::string& path);

  std::vector<Descriptor> sockets_;
  Descriptor lock_;  // of a Unix socket: a server that runs holds it
  int port_ = 0;
  std::string path_;
};

// The state that the threads of a server share, in addition to ServerContext.
struct Shared {
  std::atomic<bool> should_stop{false};
  std::mutex mutex;  // guards the rest
  std::condition_variable changed;
  int num_draining = 0;                          // threads that still have connections
  std::unordered_map<std::string, int> clients;  // connections, by what client_of() returns
  Clock::time_point exhausted;                   // when descriptors were last scarce
};

class Loop {
 public:
  // Throws OUT_OF_MEMORY.
  Loop(ServerContext* server, Shared* shared, const std::vector<int>& listeners);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void run() noexcept;
  void wake() noexcept;  // from any thread

 private:
  class Accept;
  class Wake;
  struct Client {
    std::unique_ptr<Connection> connection;
    std::string address;  // as client_of() returns it
  };

  void accept_all(int listener);
  void add_client(int fd, const std::string& address);
  Connection* oldest_idle() const;
  bool make_room();
  void note_exhausted();
  void pause_accepting() noexcept;
  void resume_accepting();
  int timeout_ms() const;
  bool admit(const std::string& address);
  void leave(const std::string& address);
  void begin_drain();
  void check_time();
  void reap();

  ServerContext& server_;
  Shared& shared_;
  Poller poller_;
  Router router_;
  std::unique_ptr<Handshakes> handshakes_;        // nullptr without TLS
  std::vector<std::unique_ptr<Accept>> accepts_;  // one for each listener
  std::unique_ptr<Wake> wake_;
  std::vector<Client> clients_;
  bool is_draining_ = false;
  bool is_paused_ = false;    // no descriptor is left for a further connection
  bool is_reported_ = false;  // that the drain is done
  Clock::time_point checked_;
  const int first_reserved_;  // a descriptor; see loop.cpp
};

}  // namespace sidecall::net
