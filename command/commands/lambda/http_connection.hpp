// A client for HTTP/1.1 with one kept connection, as the Runtime API of AWS Lambda needs it: no
// TLS, one exchange at a time. Used by runtime_api.cpp.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sidecall::cli {

struct HttpReply {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names are in lower case
  std::string body;

  // The value of the header, whose name is in lower case; "" if the reply does not have it.
  const std::string& header(std::string_view name) const;
};

class HttpConnection {
 public:
  // `address` is HOST:PORT. Connects at the first exchange.
  explicit HttpConnection(std::string address) : address_(std::move(address)) {}
  ~HttpConnection() { close(); }
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  // Sends a request, whose first lines are `head`, and reads the reply. kUnlimited waits for the
  // reply until it comes or a signal is recorded, which gives nothing. Otherwise, and within a
  // reply, ten seconds without a byte are an error.
  //
  // Throws a Failure with kEnvironment if there is no connection, or if the reply is not HTTP/1.1
  // with a Content-Length or in chunks.
  enum class Wait { kLimited, kUnlimited };
  std::optional<HttpReply> exchange(const std::string& head, std::string_view body, Wait wait);

 private:
  void connect();
  void close();
  bool send(std::string_view request);
  bool receive();  // false at the end of the connection
  HttpReply read_reply();
  void read_headers(HttpReply* reply);
  void read_chunks(std::string* body);
  std::string take_line(const char* what);
  void take(size_t count, std::string* out);
  [[noreturn]] void fail(const std::string& message);
  [[noreturn]] void fail_expected(const std::string& expected, const std::string& got);

  const std::string address_;
  int fd_ = -1;
  std::string buffer_;  // what was received and not yet taken
};

}  // namespace sidecall::cli
