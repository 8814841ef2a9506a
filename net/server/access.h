// Who may call: tokens, and the names of hosts that a browser may use. Used by the router before
// the body of a request is read.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "address.h"
#include "message.h"

namespace sidecall::net {

// The tokens of a file, one in each line. The file is read again when it has changed.
class Tokens {
 public:
  // Throws FILE_NOT_FOUND and INVALID_ARGUMENT.
  explicit Tokens(const std::string& path);
  bool has(const std::string& token);

 private:
  // Identifies the contents of the file.
  struct Version {
    long inode = 0;
    long seconds = 0, nanoseconds = 0;
    long size = 0;
    bool operator==(const Version& other) const;
  };
  Version version() const;
  bool read();

  const std::string path_;
  std::mutex mutex_;  // guards the rest
  Version read_version_;
  Clock::time_point checked_;
  std::vector<std::string> tokens_;
};

enum class Access {
  kAllowed,
  kNoToken,      // 401
  kOtherSite,    // 403: a page of another site sent the request
  kUnknownHost,  // 421: the name of the host is not one of this server
};

class AccessCheck {
 public:
  explicit AccessCheck(const ServerAddress& address);
  // `is_open`: the request needs no token.
  Access check(const Request& request, bool is_open);

 private:
  bool knows_host(const std::string& host) const;

  const bool takes_any_host_;
  std::vector<std::string> host_names_;
  std::unique_ptr<Tokens> tokens_;  // nullptr if clients need none
};

}  // namespace sidecall::net
