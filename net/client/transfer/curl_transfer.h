// One attempt to execute an exchange, as libcurl sees it: the options of its handle, what it sends,
// and what it gets. The loop (loop.h) makes it; the thread that drives the loop uses it.
#pragma once

#include <curl/curl.h>

#include <memory>
#include <string>

#include "exchange.h"
#include "net/client/replicas.h"

namespace sidecall::net {

struct FreeHandle {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct FreeHeaders {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Handle = std::unique_ptr<CURL, FreeHandle>;
using Headers = std::unique_ptr<curl_slist, FreeHeaders>;

// How an attempt ended, and what this says about the server.
struct AttemptEnd {
  Reply reply;
  Attempt attempt = Attempt::kUnknown;
  bool was_unsent = false;   // the server has certainly not begun to execute the request
  bool was_refused = false;  // the server refused the stream
  bool was_kept = false;     // the server had closed the connection, which we kept for reuse
};

// A handle of libcurl, and the server for which its options are set.
struct PreparedHandle {
  Handle handle;
  std::shared_ptr<const Address> address;
  ReplicaPtr replica;
  std::string path;
};

class CurlTransfer {
 public:
  // The handle may be one that another transfer released.
  CurlTransfer(std::shared_ptr<Exchange> exchange, ReplicaPtr replica, PreparedHandle handle);
  CurlTransfer(const CurlTransfer&) = delete;
  CurlTransfer& operator=(const CurlTransfer&) = delete;

  const std::shared_ptr<Exchange>& exchange() const { return exchange_; }
  const ReplicaPtr& replica() const { return replica_; }
  CURL* handle() const { return prepared_for_.handle.get(); }
  // After a transfer that ended well.
  PreparedHandle release_handle() { return std::move(prepared_for_); }
  bool has_answer() const { return header_bytes_ > 0; }
  // Whether a connection was made for it.
  bool is_first_on_connection() const;

  // Sets the options of the handle: all, or those that differ between two requests to a server.
  // Throws std::bad_alloc.
  CURLcode prepare();
  // Call this once libcurl has ended the transfer with `code`.
  AttemptEnd read_end(CURLcode code);

 private:
  static size_t on_body(const char* data, size_t size, size_t count, void* context);
  static size_t on_header(const char* data, size_t size, size_t count, void* context);
  static size_t on_send(char* to, size_t size, size_t count, void* context);
  size_t refuse(Transfer why) noexcept;
  void set_constants();
  void set_connect_options();
  void set_body();
  void set_headers();
  void add_header(const std::string& line);
  template <typename T>
  void set(CURLoption option, T value) {
    if (prepared_ == CURLE_OK) prepared_ = curl_easy_setopt(handle(), option, value);
  }

  const std::shared_ptr<Exchange> exchange_;
  const ReplicaPtr replica_;
  PreparedHandle prepared_for_;
  CURLcode prepared_ = CURLE_OK;
  curl_slist pin_{};  // the IP address of the server
  Headers headers_;
  bool has_function_ = false;  // a function supplies the body, which libcurl cannot send again
  Reply reply_;
  size_t header_bytes_ = 0;
  size_t sent_bytes_ = 0;                   // of the body, if a function gives it
  Transfer refused_ = Transfer::kAnswered;  // why bytes of the answer were not accepted
  char problem_[CURL_ERROR_SIZE] = "";
};

// Returns how a transfer ended, from the code of libcurl.
Transfer transfer_of(CURLcode code);

}  // namespace sidecall::net
