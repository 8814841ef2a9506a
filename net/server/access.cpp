// Checks tokens and names of hosts; see access.h.
#include "access.h"

#include <arpa/inet.h>
#include <sidecall/sidecall.h>
#include <strings.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "net/common/error.h"

namespace sidecall::net {
namespace {

constexpr auto kCheckEvery = std::chrono::seconds(1);
constexpr size_t kMaxTokens = 1024, kMaxTokenBytes = 65536;

// Compares in a time that does not depend on where the texts differ.
bool is_same(const std::string& a, const std::string& b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i)
    difference = static_cast<unsigned char>(difference | (a[i] ^ b[i]));
  return difference == 0;
}

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

bool Tokens::Version::operator==(const Version& other) const {
  return inode == other.inode && seconds == other.seconds && nanoseconds == other.nanoseconds &&
         size == other.size;
}

Tokens::Tokens(const std::string& path) : path_(path) {
  if (!read())
    throw Error(
        SIDECALL_INVALID_ARGUMENT,
        "at: tokens: expected a file with one token of visible ASCII in each line, got none "
        "or another file");
}

Tokens::Version Tokens::version() const {
  struct stat status{};
  if (::stat(path_.c_str(), &status) != 0) return {};
  return {static_cast<long>(status.st_ino), static_cast<long>(status.st_mtim.tv_sec),
          static_cast<long>(status.st_mtim.tv_nsec), static_cast<long>(status.st_size)};
}

// Replaces the tokens if the file has any.
bool Tokens::read() {
  struct stat status{};
  if (::stat(path_.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return false;
  const Version now = version();
  std::ifstream file(path_);
  std::vector<std::string> tokens;
  for (std::string line; tokens.size() < kMaxTokens && std::getline(file, line);) {
    line.resize(line.find_last_not_of(" \t\r") + 1);
    if (line.empty()) continue;
    const bool is_valid =
        line.size() <= kMaxTokenBytes &&
        std::all_of(line.begin(), line.end(), [](char c) { return c > ' ' && c <= '~'; });
    if (!is_valid) return false;
    tokens.push_back(std::move(line));
  }
  if (tokens.empty()) return false;
  tokens_ = std::move(tokens);
  read_version_ = now;
  return true;
}

bool Tokens::has(const std::string& token) {
  const std::lock_guard lock(mutex_);
  const Clock::time_point now = Clock::now();
  if (now - checked_ >= kCheckEvery) {
    checked_ = now;
    if (!(version() == read_version_)) read();
  }
  bool is_known = false;
  for (const std::string& each : tokens_) is_known = is_same(each, token) || is_known;
  return is_known;
}

AccessCheck::AccessCheck(const ServerAddress& address)
    : takes_any_host_(address.is_grpc || !address.tokens.empty() || !address.client_ca.empty()),
      host_names_(address.host_names) {
  host_names_.emplace_back("localhost");
  if (!address.host.empty()) host_names_.push_back(address.host);
  if (!address.tokens.empty()) tokens_ = std::make_unique<Tokens>(address.tokens);
}

bool AccessCheck::knows_host(const std::string& host) const {
  const std::string name = name_of(host);
  return is_ip(name) ||
         std::any_of(host_names_.begin(), host_names_.end(), [&](const std::string& known) {
           return known == "*" || ::strcasecmp(known.c_str(), name.c_str()) == 0;
         });
}

Access AccessCheck::check(const Request& request, bool is_open) {
  if (request.method == "POST" && is_of_other_site(request)) return Access::kOtherSite;
  // A name that its owner lets point to this address (DNS rebinding) makes any page one of this
  // site. A page cannot know a token, have a certificate or speak gRPC, so then any name will do.
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
