// Checks tokens and names of hosts; see access.h.
#include "access.h"

#include <arpa/inet.h>
#include <strings.h>

#include <algorithm>

namespace sidecall::net {
namespace {

bool is_ip(const std::string& host) {
  in6_addr address{};
  return inet_pton(AF_INET, host.c_str(), &address) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

// A host without its port and brackets.
std::string name_of(const std::string& host) {
  if (!host.empty() && host.front() == '[') {
    const size_t end = host.find(']');
    return end == std::string::npos ? host : host.substr(1, end - 1);
  }
  return host.substr(0, host.rfind(':'));
}

// A page of another site can make a browser send requests. Browsers say so in these headers.
bool is_of_other_site(const Request& request) {
  const std::string& site = request.header("sec-fetch-site");
  if (site == "cross-site" || site == "same-site") return true;
  const std::string& origin = request.header("origin");
  const size_t start = origin.find("://");
  return !origin.empty() &&
         (start == std::string::npos || origin.substr(start + 3) != request.host);
}

}  // namespace

AccessCheck::AccessCheck(const ServerAddress& address, const Tokens* tokens)
    : takes_any_host_(address.is_grpc || tokens != nullptr || !address.client_ca.empty()),
      host_names_(address.host_names),
      tokens_(tokens) {
  host_names_.emplace_back("localhost");
  if (!address.host.empty()) host_names_.push_back(address.host);
}

bool AccessCheck::knows_host(const std::string& host) const {
  const std::string name = name_of(host);
  return is_ip(name) ||
         std::any_of(host_names_.begin(), host_names_.end(), [&](const std::string& known) {
           return known == "*" || ::strcasecmp(known.c_str(), name.c_str()) == 0;
         });
}

Access AccessCheck::check(const Request& request, bool is_open) const {
  if (request.method == "POST" && is_of_other_site(request)) return Access::kOtherSite;
  // Protects against DNS rebinding: the owner of a page can let its host name point to this
  // address, and then browsers treat the page as one of this site. Any name is accepted if clients
  // need a token, a certificate or gRPC, because such a page has none of them.
  if (!takes_any_host_ && !request.host.empty() && !knows_host(request.host))
    return Access::kUnknownHost;
  if (tokens_ == nullptr || is_open) return Access::kAllowed;
  constexpr char kBearer[] = "Bearer ";
  const std::string& given = request.header("authorization");
  const bool has_token = given.size() > sizeof kBearer - 1 &&
                         ::strncasecmp(given.c_str(), kBearer, sizeof kBearer - 1) == 0 &&
                         tokens_->has(given.substr(sizeof kBearer - 1));
  return has_token ? Access::kAllowed : Access::kNoToken;
}

}  // namespace sidecall::net
