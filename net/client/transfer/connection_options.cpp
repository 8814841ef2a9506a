// How libcurl connects to a server; see connection_options.h.
#include "connection_options.h"

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <mutex>

namespace sidecall::net {
namespace {

// Programs that the host starts must not get the connection.
curl_socket_t open_socket(void*, curlsocktype, curl_sockaddr* address) {
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

}  // namespace

bool start_libcurl() noexcept {
  static std::mutex mutex;
  static std::atomic<bool> is_started{false};
  if (is_started.load(std::memory_order_acquire)) return true;
  const std::lock_guard lock(mutex);
  // The next call repeats a start that had no memory.
  if (!is_started) is_started = curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK;
  return is_started;
}

const std::string& default_ca() {
  // The place differs between distributions. Never destroyed, because the thread of the loop may
  // use it until the process ends.
  static const std::string& found = *new std::string([] {
    const char* const named = secure_getenv("SSL_CERT_FILE");
    if (named != nullptr && *named != '\0') return std::string(named);
    for (const char* path :
         {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
          "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}) {
      if (access(path, R_OK) == 0) return std::string(path);
    }
    return std::string();
  }());
  return found;
}

CURLcode set_connection(CURL* handle, const Address& address, const Replica& replica,
                        const std::string& path, curl_slist* pin) {
  CURLcode result = CURLE_OK;
  const auto set = [&](CURLoption option, auto value) {
    if (result == CURLE_OK) result = curl_easy_setopt(handle, option, value);
  };
  const std::string url = replica.url + path;
  set(CURLOPT_URL, url.c_str());
  if (!replica.connect_to.empty()) {
    // The URL keeps the name of the host, which the server and its certificate know.
    pin->data = const_cast<char*>(replica.connect_to.c_str());  // only read
    set(CURLOPT_CONNECT_TO, pin);
  }
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_TCP_KEEPIDLE, 30L);
  set(CURLOPT_TCP_KEEPINTVL, 10L);
  set(CURLOPT_OPENSOCKETFUNCTION, &open_socket);
  if (!address.socket.empty()) set(CURLOPT_UNIX_SOCKET_PATH, address.socket.c_str());
  const long without_tls = address.protocol == Protocol::kGrpc
                               ? long{CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE}
                               : long{CURL_HTTP_VERSION_1_1};
  set(CURLOPT_HTTP_VERSION, address.is_secure ? long{CURL_HTTP_VERSION_2TLS} : without_tls);
  if (address.is_secure) {
    set(CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
    const std::string& ca = address.ca.empty() ? default_ca() : address.ca;
    if (!ca.empty()) set(CURLOPT_CAINFO, ca.c_str());
    if (!address.cert.empty()) set(CURLOPT_SSLCERT, address.cert.c_str());
    if (!address.key.empty()) set(CURLOPT_SSLKEY, address.key.c_str());
  }
  return result;
}

}  // namespace sidecall::net
