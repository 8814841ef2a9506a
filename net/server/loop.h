// One thread of a server, with the connections that it has accepted.
#pragma once

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
#include "poller.h"
#include "router.h"

namespace sidecall::net {

// The socket at which a server listens. Removes the file of a Unix socket at the end.
class Listener {
 public:
  // Throws INVALID_ARGUMENT, DENIED, BUSY, UNREACHABLE, OUT_OF_MEMORY.
  explicit Listener(const ServerAddress& address);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  int fd() const { return fd_.get(); }
  int port() const { return port_; }

 private:
  void listen_tcp(const ServerAddress& address);
  void listen_unix(const std::string& path);

  Descriptor fd_;
  Descriptor lock_;  // of a Unix socket: a server that runs holds it
  int port_ = 0;
  std::string path_;
};

// What the threads of a server share beside the site.
struct Shared {
  std::atomic<bool> should_stop{false};
  std::mutex mutex;  // guards the rest
  std::condition_variable changed;
  int num_draining = 0;                          // threads that still have connections
  std::unordered_map<std::string, int> clients;  // connections by IP address
};

class Loop {
 public:
  // Throws OUT_OF_MEMORY and the errors of make_tls_context().
  Loop(Site* site, Shared* shared, int listener);
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
    std::string address;
  };

  void accept_all();
  void add_client(int fd, const std::string& address, bool is_unix);
  bool admit(const std::string& address);
  void leave(const std::string& address);
  void begin_drain();
  void check_time();
  void reap();

  Site& site_;
  Shared& shared_;
  const int listener_;
  Poller poller_;
  Router router_;
  std::unique_ptr<TlsContext> tls_;
  std::unique_ptr<Accept> accept_;
  std::unique_ptr<Wake> wake_;
  std::vector<Client> clients_;
  bool is_draining_ = false;
  bool is_reported_ = false;  // that the drain is done
  Clock::time_point checked_;
};

}  // namespace sidecall::net
