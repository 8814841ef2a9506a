// A session of HTTP/2, by nghttp2: many requests at once. See connection.h.
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "net/common/error.h"
#include "net/common/grpc_tensor.h"
#include "net/common/status.h"
#include "net/server/connection/connection.h"
#include "net/server/grpc/message_stream.h"

namespace sidecall::net {
namespace {

constexpr uint32_t kMaxStreams = 128;
constexpr int32_t kWindow = 1 << 20;             // of a stream
constexpr int32_t kConnectionWindow = 16 << 20;  // of all streams of a connection
constexpr size_t kMaxHeaderBytes = size_t{16} * 1024;
constexpr size_t kMaxHeaders = 100;
constexpr auto kLongestIdle = std::chrono::minutes(10);
constexpr auto kLongestStall = std::chrono::seconds(30);
// The limits for streams of messages: how many one connection may have, and how many bytes may wait
// to be sent in each.
constexpr std::ptrdiff_t kMaxMessageStreams = 8;
constexpr size_t kMaxUnsent = size_t{64} * 1024;
// The limits for streams that the client resets, or makes this server reset: at once, and per
// second after that.
constexpr uint64_t kResetBurst = 500, kResetsPerSecond = 200;

struct FreeSession {
  void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
};

std::string_view view(const uint8_t* text, size_t length) {
  return {reinterpret_cast<const char*>(text), length};
}

class Http2;

class Stream final : public Responder {
 public:
  Stream(Http2* session, int32_t number)
      : session_(session), id(number), since(Clock::now()), progress(since) {}
  void respond(Response given) override;
  void give_up() noexcept override;
  bool is_sending() const { return is_answered || sent < response.body.size(); }
  // Whether the client takes too long to send its request or to read the response.
  bool is_slow(Clock::time_point now) {
    if (is_sending()) return now - since > kLongestStall;
    if (is_complete) return false;
    return messages != nullptr ? now - since > kLongestIdle : progress.is_slow(now);
  }

 private:
  Http2* const session_;

 public:
  const int32_t id;
  Request request;
  Response response;
  size_t head_bytes = 0;
  size_t sent = 0;                          // of the body of the response
  uint64_t held = 0;                        // counted in the memory of the connection
  bool is_complete = false;                 // the whole request is there
  bool is_running = false;                  // the router has the request
  bool is_answered = false;                 // a response is there, or the end of `messages`
  std::unique_ptr<MessageStream> messages;  // of a method with a stream of messages
  Clock::time_point since;                  // when bytes of the response were sent
  BodyProgress progress;
  uint64_t max_body_bytes = 0;
};

class Http2 final : public Session {
 public:
  Http2(Router* router, ServerContext* server, Connection* connection)
      : router_(router), server_(*server), connection_(connection), since_(Clock::now()) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_option* option = nullptr;
    nghttp2_session* session = nullptr;
    const bool is_ready =
        nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&option) == 0;
    if (is_ready) {
      nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, &on_begin);
      nghttp2_session_callbacks_set_on_header_callback(callbacks, &on_header);
      nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &on_frame);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &on_data);
      nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &on_close);
      nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, &on_sent);
      nghttp2_option_set_stream_reset_rate_limit(option, kResetBurst, kResetsPerSecond);
      nghttp2_option_set_no_closed_streams(option, 1);
      nghttp2_session_server_new2(&session, callbacks, this, option);
    }
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    if (session == nullptr) throw std::bad_alloc();
    session_.reset(session);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kMaxStreams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindow},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kMaxHeaderBytes}};
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, std::size(settings));
    nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kConnectionWindow);
  }

  ~Http2() override {
    for (auto& [id, stream] : streams_) {
      if (stream->is_running) router_->abandon(stream.get());
    }
  }

  void receive(const char* data, size_t bytes) override {
    if (is_over_) return;
    const nghttp2_ssize taken =
        nghttp2_session_mem_recv2(session_.get(), reinterpret_cast<const uint8_t*>(data), bytes);
    if (taken == NGHTTP2_ERR_NOMEM) throw std::bad_alloc();
    if (taken >= 0) return;
    // nghttp2 sends GOAWAY for errors that a frame can tell.
    is_broken_ = is_over_ = true;
  }

  void produce(Output* output) override {
    constexpr size_t kEnough = size_t{256} * 1024;
    while (output->bytes() < kEnough) {
      const uint8_t* data = nullptr;
      const nghttp2_ssize bytes = nghttp2_session_mem_send2(session_.get(), &data);
      if (bytes == NGHTTP2_ERR_NOMEM) throw std::bad_alloc();
      if (bytes < 0) is_over_ = true;
      if (bytes <= 0) return;
      output->add(std::string(view(data, static_cast<size_t>(bytes))));
    }
  }

  bool wants_input() const override { return !is_over_; }
  bool is_over() const override {
    return is_over_ ||
           (nghttp2_session_want_read(session_.get()) == 0 &&
            nghttp2_session_want_write(session_.get()) == 0) ||
           (is_ending_ && streams_.empty() && nghttp2_session_want_write(session_.get()) == 0);
  }
  bool is_broken() const override { return is_broken_; }
  bool is_busy() const override { return !streams_.empty() || (is_draining_ && !is_ending_); }

  void drain(bool is_over) override {
    for (const auto& [id, stream] : streams_) {
      if (stream->messages == nullptr || stream->is_answered) continue;
      converse(stream.get(), [](MessageStream& messages) { return messages.update(); });
      end(stream.get(), grpc_error(kGrpcUnavailable, "the server is about to end"));
    }
    if (!is_draining_) {
      is_draining_ = true;
      nghttp2_submit_shutdown_notice(session_.get());
    } else if (!is_ending_ && is_over) {
      is_ending_ = true;
      nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE,
                            nghttp2_session_get_last_proc_stream_id(session_.get()),
                            NGHTTP2_NO_ERROR, nullptr, 0);
    }
  }

  void check_time(Clock::time_point now) override {
    if (streams_.empty() && now - since_ > kLongestIdle)
      nghttp2_session_terminate_session(session_.get(), NGHTTP2_NO_ERROR);
    for (const auto& [id, stream] : streams_) {
      if (stream->is_slow(now)) {
        is_broken_ = true;
        reset(id, NGHTTP2_CANCEL);
      } else if (stream->messages != nullptr && !stream->is_sending()) {
        converse(stream.get(), [](MessageStream& messages) { return messages.update(); });
      }
    }
  }

  void fail() noexcept { connection_->fail(); }

  // A response is there.
  void answer(Stream* stream) {
    stream->is_answered = true;
    stream->since = Clock::now();
    if (!hold(stream, stream->response.body.size()) &&
        stream->response.body.size() > kSmallAnswer) {
      const Failure failure{SIDECALL_OUT_OF_MEMORY, "the memory for answers is used up", ""};
      stream->response = router_->is_grpc() ? grpc_failure(failure, true) : http_error(failure);
    }
    submit(stream);
    connection_->flush();
  }

 private:
  static Http2& of(void* session) { return *static_cast<Http2*>(session); }

  // Begins to send the response. A stream of messages has only headers at this time.
  void submit(Stream* stream) {
    const Response& response = stream->response;
    const std::string status = std::to_string(response.status);
    std::vector<nghttp2_nv> fields;
    const auto add = [&](const std::string& name, const std::string& value) {
      fields.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                        reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
                        value.size(), NGHTTP2_NV_FLAG_NONE});
    };
    static const std::string kStatus = ":status", kLength = "content-length";
    add(kStatus, status);
    for (const auto& [name, value] : response.headers) add(name, value);
    const bool has_body =
        stream->messages != nullptr || (!response.body.empty() && stream->request.method != "HEAD");
    // An answer of gRPC without a message is headers only.
    if (!has_body) {
      for (const auto& [name, value] : response.trailers) add(name, value);
    }
    const std::string length = std::to_string(response.body.size());
    if (response.trailers.empty() && stream->messages == nullptr) add(kLength, length);
    nghttp2_data_provider2 provider{};
    provider.source.ptr = stream;
    provider.read_callback = &on_read;
    const int result = nghttp2_submit_response2(session_.get(), stream->id, fields.data(),
                                                fields.size(), has_body ? &provider : nullptr);
    if (result == NGHTTP2_ERR_NOMEM) throw std::bad_alloc();
    if (result != 0) reset(stream->id, NGHTTP2_INTERNAL_ERROR);
  }

  // No exception may pass through nghttp2.
  template <typename Body>
  static int guard(Body body) noexcept {
    try {
      return body();
    } catch (const std::exception&) {
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
  }

  Stream* find(int32_t id) {
    const auto found = streams_.find(id);
    return found == streams_.end() ? nullptr : found->second.get();
  }

  // Returns false if the memory for all connections is used up.
  bool hold(Stream* stream, uint64_t bytes) {
    stream->held += bytes;
    return connection_->memory().add(bytes);
  }

  void reset(int32_t id, uint32_t code) {
    nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, id, code);
  }

  static int on_begin(nghttp2_session*, const nghttp2_frame* frame, void* session) {
    Http2& self = of(session);
    return guard([&] {
      if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
      self.streams_.emplace(frame->hd.stream_id,
                            std::make_unique<Stream>(&self, frame->hd.stream_id));
      return 0;
    });
  }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_length, const uint8_t* value, size_t value_length, uint8_t,
                       void* session) {
    Http2& self = of(session);
    return guard([&] {
      Stream* const stream = self.find(frame->hd.stream_id);
      if (stream == nullptr || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
      stream->head_bytes += name_length + value_length;
      Request& request = stream->request;
      if (stream->head_bytes > kMaxHeaderBytes || request.headers.size() == kMaxHeaders)
        return int{NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE};  // resets the stream
      const std::string_view key = view(name, name_length), text = view(value, value_length);
      if (key == ":method") request.method = text;
      else if (key == ":path") request.target = text;
      else if (key == ":authority") request.host = text;
      else if (key.front() != ':') request.headers.emplace_back(key, text);
      if (key == "host" && request.host.empty()) request.host = text;
      return 0;
    });
  }

  static int on_data(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t bytes,
                     void* session) {
    Http2& self = of(session);
    return guard([&] {
      Stream* const stream = self.find(id);
      if (stream == nullptr || stream->is_answered) return 0;
      std::string& body = stream->request.body;
      if (stream->messages != nullptr) {
        body.append(view(data, bytes));
        self.take_messages(stream);
        return 0;
      }
      if (body.size() + bytes > stream->max_body_bytes) {
        self.refuse(stream, SIDECALL_OUT_OF_RANGE, "expected a smaller request, got a larger one");
        return 0;
      }
      stream->progress.add(bytes);
      const size_t before = body.capacity();
      body.append(view(data, bytes));
      if (!self.hold(stream, body.capacity() - before))
        self.refuse(stream, SIDECALL_OUT_OF_MEMORY, "the memory for requests is used up");
      return 0;
    });
  }

  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* session) {
    Http2& self = of(session);
    return guard([&] {
      const bool is_message = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
      Stream* const stream = self.find(frame->hd.stream_id);
      if (!is_message || stream == nullptr || stream->is_running || stream->is_answered) return 0;
      if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        if (std::optional<Response> refused = self.router_->refuse(stream->request)) {
          stream->response = std::move(*refused);
          self.answer(stream);
          return 0;
        }
        stream->max_body_bytes = self.router_->max_body_bytes(stream->request);
        if (self.router_->has_messages(stream->request)) self.open_messages(stream);
      }
      if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
      stream->is_complete = true;
      if (stream->messages != nullptr) {
        self.finish_messages(stream);
        return 0;
      }
      if (stream->is_answered) return 0;
      stream->is_running = true;
      stream->request.begun = Clock::now();
      Request request = std::move(stream->request);
      stream->request = {};
      stream->request.method = request.method;
      self.router_->handle(std::move(request), stream);
      return 0;
    });
  }

  // Opens a stream of messages: sends the headers of the response.
  void open_messages(Stream* stream) {
    const auto is_open = [](const auto& each) { return each.second->messages != nullptr; };
    if (std::count_if(streams_.begin(), streams_.end(), is_open) >= kMaxMessageStreams)
      return refuse(stream, SIDECALL_BUSY, "too many calls with streams of one connection");
    stream->messages = router_->open_messages(stream->request);
    stream->response.headers.emplace_back("content-type", "application/grpc");
    submit(stream);
  }

  // Lets `action` use a stream of messages, and sends the messages that it returns.
  template <typename Action>
  void converse(Stream* stream, Action action) {
    try {
      const std::string added = action(*stream->messages);
      if (added.empty()) return;
      std::string& body = stream->response.body;
      body.erase(0, std::exchange(stream->sent, 0));
      body.append(added);
      stream->since = Clock::now();
      connection_->memory().remove(std::exchange(stream->held, 0));
      if (!hold(stream, body.size()) || body.size() > kMaxUnsent)
        throw Error(SIDECALL_OUT_OF_MEMORY, "the client does not read the answers");
      nghttp2_session_resume_data(session_.get(), stream->id);
    } catch (const Error& error) {
      end(stream, grpc_failure({error.status(), error.what(), ""}, true));
    }
  }

  // Passes the messages that have arrived completely to their stream.
  void take_messages(Stream* stream) {
    const std::string_view body = stream->request.body;
    stream->since = Clock::now();
    size_t taken = 0;
    bool is_whole = true;
    while (is_whole && !stream->is_answered) {
      converse(stream, [&](MessageStream& messages) -> std::string {
        const std::string_view rest = body.substr(taken);
        const size_t bytes = reading("request", [&] { return frame_bytes(rest); });
        if (bytes > stream->max_body_bytes)
          throw Error(SIDECALL_OUT_OF_RANGE, "expected a smaller request, got a larger one");
        is_whole = bytes != 0 && bytes <= rest.size();
        if (!is_whole) return {};
        taken += bytes;
        return messages.receive(unframe(rest.substr(0, bytes)));
      });
    }
    stream->request.body.erase(0, taken);
  }

  // The client sends no more messages.
  void finish_messages(Stream* stream) {
    bool is_over = false;
    converse(stream, [&](MessageStream& messages) -> std::string {
      if (!stream->request.body.empty())
        throw Error(SIDECALL_PROTOCOL, "request: the body ends within a message");
      is_over = messages.finish();
      return {};
    });
    if (is_over) end(stream, grpc_error(kGrpcOk, ""));
  }

  // Ends a stream of messages with the status of a response, after what waits to be sent.
  void end(Stream* stream, Response last) {
    stream->is_answered = true;
    stream->since = Clock::now();
    stream->response.trailers = std::move(last.trailers);
    nghttp2_session_resume_data(session_.get(), stream->id);
  }

  // Answers before the whole request is there.
  void refuse(Stream* stream, int32_t status, const char* problem) {
    const Failure failure{status, problem, ""};
    stream->response = router_->is_grpc() ? grpc_failure(failure, true) : http_error(failure);
    constexpr int kTooLarge = 413;
    if (!router_->is_grpc() && status == SIDECALL_OUT_OF_RANGE) stream->response.status = kTooLarge;
    server_.metrics.count(Route::kOther, outcome_of(stream->response), {});
    answer(stream);
  }

  static int on_close(nghttp2_session*, int32_t id, uint32_t, void* session) {
    Http2& self = of(session);
    const auto found = self.streams_.find(id);
    if (found == self.streams_.end()) return 0;
    Stream* const stream = found->second.get();
    if (stream->is_running && !stream->is_answered) self.router_->abandon(stream);
    self.connection_->memory().remove(stream->held);
    self.streams_.erase(found);
    self.since_ = Clock::now();
    return 0;
  }

  // The server's side of a stream is over.
  void end_early(int32_t id) {
    const Stream* const stream = find(id);
    // The rest of a request that was refused is of no interest.
    if (stream != nullptr && !stream->is_complete) reset(id, NGHTTP2_NO_ERROR);
  }

  // A client can make a server reset streams, for example with frames on half closed streams
  // (CVE-2025-8671); nghttp2 counts only those that the client resets.
  static int on_sent(nghttp2_session*, const nghttp2_frame* frame, void* session) {
    Http2& self = of(session);
    const bool is_message = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (is_message && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
      self.end_early(frame->hd.stream_id);
    if (frame->hd.type != NGHTTP2_RST_STREAM || frame->rst_stream.error_code == NGHTTP2_NO_ERROR)
      return 0;
    const Clock::time_point now = Clock::now();
    const auto seconds = std::chrono::duration<double>(now - self.resets_counted_).count();
    self.resets_ = std::max(self.resets_ - seconds * kResetsPerSecond, 0.0) + 1;
    self.resets_counted_ = now;
    if (self.resets_ <= kResetBurst) return 0;
    self.is_broken_ = true;
    nghttp2_session_terminate_session(self.session_.get(), NGHTTP2_ENHANCE_YOUR_CALM);
    return 0;
  }

  static nghttp2_ssize on_read(nghttp2_session* session, int32_t id, uint8_t* to, size_t most,
                               uint32_t* flags, nghttp2_data_source* source, void*) {
    Stream& stream = *static_cast<Stream*>(source->ptr);
    const std::string& body = stream.response.body;
    const size_t count = std::min(most, body.size() - stream.sent);
    std::memcpy(to, body.data() + stream.sent, count);
    stream.sent += count;
    stream.since = Clock::now();
    if (stream.sent < body.size()) return static_cast<nghttp2_ssize>(count);
    if (stream.messages != nullptr && !stream.is_answered)
      return count == 0 ? nghttp2_ssize{NGHTTP2_ERR_DEFERRED} : static_cast<nghttp2_ssize>(count);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    const Fields& trailers = stream.response.trailers;
    if (trailers.empty()) return static_cast<nghttp2_ssize>(count);
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    std::array<nghttp2_nv, 8> fields{};
    size_t used = 0;
    for (const auto& [name, value] : trailers) {
      if (used == fields.size()) break;
      fields[used++] = {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                        reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
                        value.size(), NGHTTP2_NV_FLAG_NONE};
    }
    if (nghttp2_submit_trailer(session, id, fields.data(), used) != 0)
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return static_cast<nghttp2_ssize>(count);
  }

  Router* const router_;
  ServerContext& server_;
  Connection* const connection_;
  std::map<int32_t, std::unique_ptr<Stream>> streams_;
  // After the streams, which its callbacks use.
  std::unique_ptr<nghttp2_session, FreeSession> session_;
  bool is_over_ = false;
  bool is_broken_ = false;
  bool is_draining_ = false;
  bool is_ending_ = false;  // the last notice is sent
  double resets_ = 0;
  Clock::time_point resets_counted_;
  Clock::time_point since_;  // of the last request
};

void Stream::give_up() noexcept { session_->fail(); }

void Stream::respond(Response given) {
  response = std::move(given);
  session_->answer(this);
}

}  // namespace

std::unique_ptr<Session> make_http2_session(Router* router, ServerContext* server,
                                            Connection* connection) {
  return std::make_unique<Http2>(router, server, connection);
}

}  // namespace sidecall::net
