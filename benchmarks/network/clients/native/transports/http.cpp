// HTTP/1.1 with libcurl: one easy handle per worker with a kept-alive connection, over TCP or a
// Unix socket.
#include <curl/curl.h>

#include <stdexcept>

#include "transport.h"

namespace bench {
namespace {

struct EasyCloser {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct ListCloser {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

struct Place {
  std::string url;
  std::string unix_socket;
  std::string content_type;
};

size_t append(char* data, size_t size, size_t count, void* to) {
  static_cast<std::string*>(to)->append(data, size * count);
  return size * count;
}

class Http : public Transport {
 public:
  explicit Http(const Place& place) : handle_(curl_easy_init()) {
    if (handle_ == nullptr) throw std::runtime_error("http: curl_easy_init failed");
    headers_.reset(curl_slist_append(nullptr, place.content_type.c_str()));
    // otherwise a large body waits for "100 Continue"
    curl_slist_append(headers_.get(), "Expect:");
    set(CURLOPT_URL, place.url.c_str());
    if (!place.unix_socket.empty()) set(CURLOPT_UNIX_SOCKET_PATH, place.unix_socket.c_str());
    set(CURLOPT_HTTPHEADER, headers_.get());
    set(CURLOPT_POST, 1L);
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(CURLOPT_TCP_NODELAY, 1L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_PROXY, "");
    set(CURLOPT_TIMEOUT, static_cast<long>(kPatienceSeconds));
    set(CURLOPT_BUFFERSIZE, 512L * 1024);
    set(CURLOPT_UPLOAD_BUFFERSIZE, 1024L * 1024);
    set(CURLOPT_WRITEFUNCTION, append);
    set(CURLOPT_ERRORBUFFER, error_);
  }

  void call(const std::string& request, std::string& response) override {
    set(CURLOPT_POSTFIELDS, request.data());
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.size()));
    set(CURLOPT_WRITEDATA, &response);
    if (const CURLcode code = curl_easy_perform(handle_.get()); code != CURLE_OK)
      throw std::runtime_error(std::string("http: ") +
                               (error_[0] != '\0' ? error_ : curl_easy_strerror(code)));
    long status = 0;
    curl_easy_getinfo(handle_.get(), CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
      throw std::runtime_error("http: expected status 200, got " + std::to_string(status) + ": " +
                               response.substr(0, 300));
  }

 private:
  template <class Value>
  void set(CURLoption option, Value value) {
    if (curl_easy_setopt(handle_.get(), option, value) != CURLE_OK)
      throw std::runtime_error("http: libcurl refuses option " + std::to_string(option));
  }

  std::unique_ptr<curl_slist, ListCloser> headers_;
  std::unique_ptr<CURL, EasyCloser> handle_;
  char error_[CURL_ERROR_SIZE] = "";
};

class HttpConnector : public Connector {
 public:
  explicit HttpConnector(const Opening& opening) {
    if (opening.has("unix")) {
      place_.unix_socket = opening.text("unix");
      place_.url = "http://localhost" + opening.text("path");
    } else {
      place_.url = opening.text("url");
    }
    place_.url += "/" + opening.workload.name;
    place_.content_type = opening.body == "json" ? "Content-Type: application/json"
                                                 : "Content-Type: application/octet-stream";
  }

  std::unique_ptr<Transport> connect() override { return std::make_unique<Http>(place_); }

 private:
  Place place_;
};

const RegisterTransport kHttp("http", [](const Opening& opening) -> std::unique_ptr<Connector> {
  static const CURLcode initialized =
      curl_global_init(CURL_GLOBAL_DEFAULT);  // before any thread starts
  if (initialized != CURLE_OK) throw std::runtime_error("http: curl_global_init failed");
  return std::make_unique<HttpConnector>(opening);
});

}  // namespace
}  // namespace bench
