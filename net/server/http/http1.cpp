// A session of HTTP/1.1, by llhttp: one request after the other. See connection.h.
#include <llhttp.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <optional>
#include <string_view>
#include <utility>

#include "net/server/connection/connection.h"

namespace sidecall::net {
namespace {

constexpr size_t kMaxHeaderBytes = size_t{16} * 1024;
constexpr size_t kMaxHeaders = 100;
constexpr auto kLongestIdle = std::chrono::seconds(120);
constexpr auto kLongestHead = std::chrono::seconds(10);

const char* reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

// The time in the form that the header Date has. Its memory belongs to the thread and has no
// destructor: to register one, the C library allocates, and ends the process if it cannot.
std::string_view date_now() {
  static thread_local time_t known = 0;
  static thread_local std::array<char, 64> text{};
  const time_t now = ::time(nullptr);
  if (now == known) return text.data();
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  tm parts{};
  gmtime_r(&now, &parts);
  std::snprintf(text.data(), text.size(), "%s, %02d %s %d %02d:%02d:%02d GMT", kDays[parts.tm_wday],
                parts.tm_mday, kMonths[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour,
                parts.tm_min, parts.tm_sec);
  known = now;
  return text.data();
}

class Http1 final : public Session, private Responder {
 public:
  Http1(Router* router, ServerContext* server, Connection* connection)
      : router_(router), server_(*server), connection_(connection), since_(Clock::now()) {
    llhttp_settings_init(&settings_);
    settings_.on_url = &on_target;
    settings_.on_header_field = &on_name;
    settings_.on_header_value = &on_value;
    settings_.on_header_value_complete = &on_value_end;
    settings_.on_headers_complete = &on_head_end;
    settings_.on_body = &on_body;
    settings_.on_chunk_extension_name = &on_chunk_extension;
    settings_.on_message_complete = &on_end;
    llhttp_init(&parser_, HTTP_REQUEST, &settings_);
    parser_.data = this;
  }
  ~Http1() override {
    if (state_ == State::kRunning) router_->abandon(this);
  }

  void receive(const char* data, size_t bytes) override {
    // The body of a request may arrive before "100 Continue" was sent.
    const bool is_free =
        pending_.empty() && state_ != State::kRunning && (ready_.empty() || state_ == State::kBody);
    if (is_free) parse({data, bytes});
    else pending_.append(data, bytes);
  }

  // A request is answered when the answer before it is sent, so that a client that reads no answers
  // fills no memory.
  void produce(Output* output) override {
    if (output->is_empty() && ready_.empty() && state_ == State::kIdle) {
      connection_->memory().set(0);
      const std::string next = std::exchange(pending_, {});
      parse(next);
    }
    for (std::string& part : ready_) output->add(std::move(part));
    ready_.clear();
  }

  bool wants_input() const override {
    return pending_.empty() && state_ != State::kRunning && state_ != State::kOver;
  }
  bool is_over() const override { return state_ == State::kOver && ready_.empty(); }
  bool is_broken() const override { return is_broken_; }
  bool is_busy() const override { return state_ != State::kIdle && state_ != State::kOver; }

  void drain(bool is_over) override {
    is_draining_ = true;
    if (is_over && state_ == State::kIdle && pending_.empty() && ready_.empty())
      state_ = State::kOver;
  }

  void check_time(Clock::time_point now) override {
    const auto took = now - since_;
    if (state_ == State::kIdle && took > kLongestIdle) state_ = State::kOver;
    const bool is_slow = (state_ == State::kHead && took > kLongestHead) ||
                         (state_ == State::kBody && progress_.is_slow(now));
    if (is_slow) fail(408, "expected the whole request in time, got a part of it");
  }

 private:
  static constexpr int kLineIsOver = -1;
  enum class State {
    kIdle,     // nothing of a request has arrived
    kHead,     // some of its head
    kBody,     // its head
    kRunning,  // all of it; the answer is not there yet
    kOver
  };

  static Http1& of(llhttp_t* parser) { return *static_cast<Http1*>(parser->data); }

  static int on_target(llhttp_t* parser, const char* text, size_t length) {
    return of(parser).add_head(&of(parser).request_.target, text, length);
  }
  static int on_name(llhttp_t* parser, const char* text, size_t length) {
    return of(parser).add_head(&of(parser).name_, text, length);
  }
  static int on_value(llhttp_t* parser, const char* text, size_t length) {
    return of(parser).add_head(&of(parser).value_, text, length);
  }
  static int on_value_end(llhttp_t* parser) {
    return of(parser).guard([&](Http1& self) { return self.end_header(); });
  }
  static int on_head_end(llhttp_t* parser) {
    return of(parser).guard([&](Http1& self) { return self.end_head(); });
  }
  static int on_body(llhttp_t* parser, const char* text, size_t length) {
    return of(parser).guard([&](Http1& self) { return self.add_body(text, length); });
  }
  static int on_chunk_extension(llhttp_t* parser, const char*, size_t) {
    return of(parser).refuse(400, "expected chunks without extensions, got one with an extension");
  }
  static int on_end(llhttp_t* parser) {
    of(parser).is_complete_ = true;
    return HPE_PAUSED;
  }

  // No exception may pass through llhttp.
  template <typename Body>
  int guard(Body body) noexcept {
    try {
      return body(*this);
    } catch (const std::exception&) {
      status_ = 503;
      problem_ = "out of memory";
      return HPE_USER;
    }
  }

  // Ends the request with an error, after which the connection closes.
  int refuse(int status, const char* problem) noexcept {
    status_ = status;
    problem_ = problem;
    return HPE_USER;
  }

  int add_head(std::string* to, const char* text, size_t length) noexcept {
    return guard([&](Http1&) {
      head_bytes_ += length;
      if (head_bytes_ > kMaxHeaderBytes)
        return refuse(431, "expected headers of at most 16 KiB, got more");
      to->append(text, length);
      return 0;
    });
  }

  int end_header() {
    if (state_ == State::kBody) return refuse(400, "expected no trailers, got some");
    if (request_.headers.size() == kMaxHeaders)
      return refuse(431, "expected at most 100 headers, got more");
    std::string name = lower(std::exchange(name_, {}));
    std::string value = std::exchange(value_, {});
    if (value.find_first_of("\r\n") != std::string::npos)
      return refuse(400, "expected each header on one line, got one on several");
    if (name == "host") {
      if (num_hosts_++ > 0) return refuse(400, "expected one header Host, got several");
      request_.host = value;
    }
    request_.headers.emplace_back(std::move(name), std::move(value));
    return 0;
  }

  int end_head() {
    parser_.upgrade = 0;  // no other protocol is spoken on this connection
    request_.method = llhttp_method_name(static_cast<llhttp_method_t>(parser_.method));
    is_head_only_ = request_.method == "HEAD";
    if (parser_.http_major != 1)
      return refuse(
          505, "this server speaks HTTP/1.0, HTTP/1.1 and HTTP/2: the request has another version");
    is_old_ = request_.is_http_1_0 = parser_.http_minor == 0;
    if (!is_old_ && num_hosts_ == 0) return refuse(400, "expected the header Host, got none");
    if (request_.target.empty() || request_.target.front() != '/')
      return refuse(400, "the target of the request must be a path that begins with '/'");
    const std::string& encoding = request_.header("transfer-encoding");
    if (!encoding.empty() && lower(encoding) != "chunked")
      return refuse(501, "header Transfer-Encoding: this server supports only 'chunked'");
    if (!encoding.empty() && is_old_)
      return refuse(400, "header Transfer-Encoding: HTTP/1.0 does not have it; send HTTP/1.1");
    keeps_open_ = llhttp_should_keep_alive(&parser_) != 0;
    state_ = State::kBody;
    since_ = Clock::now();
    progress_ = BodyProgress(since_);
    max_body_bytes_ = router_->max_body_bytes(request_);
    if (std::optional<Response> refused = router_->refuse(request_)) {
      refused->must_close = true;
      wants_head_only_ = is_head_only_;
      queue(std::move(*refused));
      return HPE_USER;
    }
    const bool has_length = (parser_.flags & F_CONTENT_LENGTH) != 0;
    if (has_length && parser_.content_length > max_body_bytes_)
      return refuse(413, "expected a smaller body, got a larger one");
    const std::string expectation = lower(request_.header("expect"));
    if (!expectation.empty() && expectation != "100-continue")
      return refuse(417, "header Expect: this server supports only '100-continue'");
    const bool has_body = encoding.empty() ? parser_.content_length > 0 : true;
    if (!expectation.empty() && has_body && !is_old_)
      ready_.emplace_back("HTTP/1.1 100 Continue\r\n\r\n");
    return 0;
  }

  int add_body(const char* text, size_t length) {
    if (request_.body.size() + length > max_body_bytes_)
      return refuse(413, "expected a smaller body, got a larger one");
    request_.body.append(text, length);
    progress_.add(length);
    if (!connection_->memory().set(request_.body.capacity()))
      return refuse(503, "the memory for requests is used up");
    return 0;
  }

  // llhttp accepts several spaces after the method. Returns whether the request line, as far as it
  // has arrived, has two spaces at most.
  bool has_strict_line(std::string_view text) {
    for (const char c : text) {
      if (c == '\n' && num_spaces_ > 0) num_spaces_ = kLineIsOver;
      if (num_spaces_ == kLineIsOver) return true;
      if (c == ' ' && ++num_spaces_ > 2) return false;
    }
    return true;
  }

  // Reads up to the end of a request. What follows it waits in `pending_`.
  void parse(std::string_view text) {
    if (text.empty() || state_ == State::kOver) return;
    if (state_ == State::kIdle) {
      state_ = State::kHead;
      since_ = Clock::now();
    }
    if (!has_strict_line(text))
      return fail(400,
                  "request line: expected one space after the method and one after the path, "
                  "got more");
    const llhttp_errno_t error = llhttp_execute(&parser_, text.data(), text.size());
    if (error == HPE_OK || state_ == State::kOver) return;
    if (status_ != 0) return fail(status_, problem_);
    if (error != HPE_PAUSED || !is_complete_)
      return fail(400,
                  std::string("the request is not HTTP/1.1: ") + llhttp_get_error_reason(&parser_));
    const char* const end = llhttp_get_error_pos(&parser_);
    pending_.assign(end, static_cast<size_t>(text.data() + text.size() - end));
    llhttp_resume(&parser_);
    is_complete_ = false;
    begin_run();
  }

  void begin_run() {
    state_ = State::kRunning;
    request_.begun = Clock::now();
    Request request = std::exchange(request_, {});
    wants_head_only_ = std::exchange(is_head_only_, false);
    head_bytes_ = 0;
    num_hosts_ = 0;
    num_spaces_ = 0;
    is_answering_ = true;
    router_->handle(std::move(request), this);
    is_answering_ = false;
  }

  void respond(Response response) override {
    queue(std::move(response));
    if (!is_answering_) connection_->flush();
  }
  void give_up() noexcept override { connection_->fail(); }

  void fail(int status, const std::string& problem) {
    is_broken_ = true;
    Response response = refusal(status, problem);
    response.must_close = true;
    server_.metrics.count(Route::kOther, status, {});
    queue(std::move(response));
  }

  void queue(Response response) {
    if (!connection_->memory().set(response.body.capacity()) && response.body.size() > kSmallAnswer)
      response = http_error({SIDECALL_OUT_OF_MEMORY, "the memory for answers is used up", ""});
    const bool must_close = response.must_close || !keeps_open_ || is_draining_;
    std::string head =
        "HTTP/1.1 " + std::to_string(response.status) + " " + reason_of(response.status) + "\r\n";
    for (const auto& [name, value] : response.headers) {
      head.append(name).append(": ").append(value).append("\r\n");
    }
    head.append("date: ")
        .append(date_now())
        .append("\r\ncontent-length: ")
        .append(std::to_string(response.body.size()))
        .append("\r\n");
    if (must_close) head.append("connection: close\r\n");
    else if (is_old_) head.append("connection: keep-alive\r\n");
    head.append("\r\n");
    constexpr size_t kSmall = 4096;
    if (std::exchange(wants_head_only_, false)) response.body.clear();
    if (response.body.size() <= kSmall) {
      head.append(response.body);
      ready_.push_back(std::move(head));
    } else {
      ready_.push_back(std::move(head));
      ready_.push_back(std::move(response.body));
    }
    state_ = must_close ? State::kOver : State::kIdle;
    since_ = Clock::now();
  }

  Router* const router_;
  ServerContext& server_;
  Connection* const connection_;
  llhttp_t parser_{};
  llhttp_settings_t settings_{};
  State state_ = State::kIdle;
  Request request_;
  std::string name_, value_;
  size_t head_bytes_ = 0;
  int num_hosts_ = 0;
  int num_spaces_ = 0;            // of the request line; kLineIsOver after its end
  bool is_complete_ = false;      // llhttp has read a whole request
  bool keeps_open_ = true;        // after the response
  bool is_old_ = false;           // the request has HTTP/1.0
  bool is_head_only_ = false;     // the request that is being read is a HEAD
  bool wants_head_only_ = false;  // the request that is answered is a HEAD
  bool is_answering_ = false;     // the router is called, and may respond at once
  bool is_draining_ = false;
  bool is_broken_ = false;
  int status_ = 0;  // with which the request is refused
  std::string problem_;
  std::string pending_;             // bytes after the request that is answered
  std::vector<std::string> ready_;  // to be sent
  Clock::time_point since_;         // of the state
  BodyProgress progress_;
  uint64_t max_body_bytes_ = 0;  // of the present request
};

}  // namespace

std::unique_ptr<Session> make_http1_session(Router* router, ServerContext* server,
                                            Connection* connection) {
  return std::make_unique<Http1>(router, server, connection);
}

}  // namespace sidecall::net
