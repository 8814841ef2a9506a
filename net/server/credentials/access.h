// Who may call: tokens, and the names of hosts that a browser may use. Used by the router before
// the body of a request is read.
#pragma once

#include <string>
#include <vector>

#include "net/server/address.h"
#include "net/server/message.h"
#include "tokens.h"

namespace sidecall::net {

enum class Access {
  kAllowed,
  kNoToken,      // 401
  kOtherSite,    // 403: a page of another site sent the request
  kUnknownHost,  // 421: the name of the host is not one of this server
};

class AccessCheck {
 public:
  // `tokens`: nullptr if clients need none.
  AccessCheck(const ServerAddress& address, const Tokens* tokens);
  // `is_open`: the request needs no token.
  Access check(const Request& request, bool is_open) const;

 private:
  bool knows_host(const std::string& host) const;

  const bool takes_any_host_;
  std::vector<std::string> host_names_;
  const Tokens* const tokens_;
};

}  // namespace sidecall::net
