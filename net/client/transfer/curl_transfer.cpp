// Sets up one request of libcurl and reads its end; see curl_transfer.h.
#include "curl_transfer.h"

#include <algorithm>
#include <cctype>
#include <string_view>
#include <utility>

#include "connection_options.h"

namespace sidecall::net {
namespace {

constexpr size_t kMaxHeaderBytes = size_t{256} << 10;
constexpr size_t kMaxHeaders = 1000;             // a header that is kept takes more than its bytes
constexpr int64_t kLongestTimeoutMs = 99999999;  // that servers are told: gRPC allows eight digits
constexpr const char* kTooManyHeaders = "its headers have more than 256 KiB or 1000 lines";
constexpr long kLongestConnectMs = 1L << 30;
constexpr int64_t kConnectMs = 2000;  // if there are other servers

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n";
  const size_t begin = std::min(text.find_first_not_of(kSpaces), text.size());
  return text.substr(begin, text.find_last_not_of(kSpaces) + 1 - begin);
}

// Overwrites the secret in what a server sent, because its errors are shown.
void blank(std::string_view secret, std::string_view text, char* data) {
  if (secret.empty()) return;
  for (size_t at = 0; (at = text.find(secret, at)) != std::string_view::npos; at += secret.size())
    std::fill_n(data + at, secret.size(), '*');
}

// What curl.patch makes of a stream that the server refused: the server did nothing for it.
constexpr CURLcode kStreamRefused = CURLE_REMOTE_ACCESS_DENIED;

// `refused`: why this client did not accept bytes of the answer. `has_ended`: an operation on the
// connection failed. libcurl has the same codes for this and for answers that are not valid HTTP.
Transfer transfer_of(CURLcode code, Transfer refused, bool has_ended) {
  switch (code) {
    case CURLE_OK:
      return Transfer::kAnswered;
    case CURLE_OPERATION_TIMEDOUT:  // of the connection: the loop itself keeps deadlines
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
      return Transfer::kUnreachable;
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2_STREAM:
    case kStreamRefused:
      return Transfer::kBroken;
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
      return has_ended ? Transfer::kBroken : Transfer::kInvalid;
    case CURLE_OUT_OF_MEMORY:
      return Transfer::kNoMemory;
    case CURLE_WRITE_ERROR:
      return refused;
    default:  // what the server sent is not HTTP
      return Transfer::kInvalid;
  }
}

std::string too_large(const Exchange& exchange) {
  return "expected an answer of at most " + std::to_string(exchange.max_answer_bytes) +
         " bytes, got more";
}

// Whether an answer says that the server itself is of no use at the moment.
bool is_failure(const Exchange& exchange, const Reply& reply) {
  if (reply.transfer != Transfer::kAnswered)
    return reply.transfer == Transfer::kUnreachable || reply.transfer == Transfer::kBroken ||
           reply.transfer == Transfer::kTimedOut;
  constexpr std::string_view kUnavailable = "14";
  return reply.status == 502 || reply.status == 503 ||
         (exchange.address->protocol == Protocol::kGrpc &&
          reply.header("grpc-status") == kUnavailable);
}

}  // namespace

Transfer transfer_of(CURLcode code) { return transfer_of(code, Transfer::kNoMemory, false); }

CurlTransfer::CurlTransfer(std::shared_ptr<Exchange> exchange, ReplicaPtr replica,
                           PreparedHandle handle)
    : exchange_(std::move(exchange)),
      replica_(std::move(replica)),
      prepared_for_(std::move(handle)) {
  reply_.body = AnswerBuffer(exchange_->share, exchange_->max_answer_bytes);
}

// ---- What libcurl calls ----

size_t CurlTransfer::on_body(const char* data, size_t size, size_t count, void* context) {
  auto* const self = static_cast<CurlTransfer*>(context);
  const size_t bytes = size * count;
  switch (self->reply_.body.add(data, bytes)) {
    case AnswerBuffer::Added::kDone:
      return bytes;
    case AnswerBuffer::Added::kTooLarge:
      return self->refuse(Transfer::kTooLarge);
    case AnswerBuffer::Added::kNoRoom:
      return self->refuse(Transfer::kNoRoom);
    case AnswerBuffer::Added::kNoMemory:
      break;
  }
  return self->refuse(Transfer::kNoMemory);
}

size_t CurlTransfer::on_header(const char* data, size_t size, size_t count, void* context) {
  auto* const self = static_cast<CurlTransfer*>(context);
  const std::string_view line(data, size * count);
  self->header_bytes_ += line.size();
  if (self->header_bytes_ > kMaxHeaderBytes || self->reply_.headers.size() >= kMaxHeaders)
    return self->refuse(Transfer::kInvalid);
  try {
    // Each answer begins with a status line; only the headers of the last answer matter, because
    // the ones before are interim answers (100 Continue).
    if (line.substr(0, 5) == "HTTP/") self->reply_.headers.clear();
    const size_t colon = line.find(':', 1);
    if (colon != std::string_view::npos)
      self->reply_.headers.emplace_back(lower(trim(line.substr(0, colon))),
                                        trim(line.substr(colon + 1)));
  } catch (const std::exception&) {
    return self->refuse(Transfer::kNoMemory);
  }
  return line.size();
}

// Returns a value that makes libcurl end the transfer with an error.
size_t CurlTransfer::refuse(Transfer why) noexcept {
  refused_ = why;
  return CURL_WRITEFUNC_ERROR;
}

// Gives libcurl the body of a request that must not be sent twice. If a connection that was used
// before has ended, libcurl would send the request again over another one. It needs to rewind the
// body for that, and cannot rewind one that comes from a function.
size_t CurlTransfer::on_send(char* to, size_t size, size_t count, void* context) {
  auto* const self = static_cast<CurlTransfer*>(context);
  const std::string& body = self->exchange_->body;
  const size_t bytes = std::min(size * count, body.size() - self->sent_bytes_);
  body.copy(to, bytes, self->sent_bytes_);
  self->sent_bytes_ += bytes;
  return bytes;
}

// ---- The request ----

CURLcode CurlTransfer::prepare() {
  PreparedHandle& known = prepared_for_;
  const bool is_prepared = known.address == exchange_->address && known.replica == replica_ &&
                           known.path == exchange_->path;
  if (!is_prepared) {
    curl_easy_reset(handle());
    known.address = exchange_->address;
    known.replica = replica_;
    known.path = exchange_->path;
    set_constants();
  }
  set(CURLOPT_ERRORBUFFER, problem_);
  set(CURLOPT_WRITEDATA, this);
  set(CURLOPT_HEADERDATA, this);
  set_connect_options();
  set_body();
  set_headers();
  return prepared_;
}

// What all requests for this path of this server have in common.
void CurlTransfer::set_constants() {
  prepared_ = set_connection(handle(), *exchange_->address, *replica_, exchange_->path, &pin_);
  set(CURLOPT_WRITEFUNCTION, &on_body);
  set(CURLOPT_HEADERFUNCTION, &on_header);
  set(CURLOPT_READFUNCTION, &on_send);
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_QUICK_EXIT, 1L);
  set(CURLOPT_USERAGENT, "sidecall/" SIDECALL_NET_VERSION);
  if (exchange_->address->protocol == Protocol::kGrpc) set(CURLOPT_PIPEWAIT, 1L);
}

void CurlTransfer::set_connect_options() {
  // The list must live as long as the transfer.
  if (!replica_->connect_to.empty()) {
    pin_.data = replica_->connect_to.data();
    set(CURLOPT_CONNECT_TO, &pin_);
  }
  // Connections that were kept may all have ended.
  const bool is_http = exchange_->address->protocol == Protocol::kHttp;
  set(CURLOPT_FRESH_CONNECT, is_http && exchange_->num_attempts > 1 ? 1L : 0L);
  // The loop itself keeps deadlines; libcurl would give up a connection after five minutes. But a
  // host that does not answer must not take the time of the others.
  const size_t num_servers = exchange_->only == nullptr ? exchange_->replicas->num_verified() : 1;
  const bool has_others = exchange_->tried.size() + 1 < num_servers;
  set(CURLOPT_CONNECTTIMEOUT_MS, has_others ? static_cast<long>(std::clamp<int64_t>(
                                                  left_ms(exchange_->deadline) / 2, 1, kConnectMs))
                                            : kLongestConnectMs);
}

void CurlTransfer::set_body() {
  if (!exchange_->is_post) return set(CURLOPT_HTTPGET, 1L);
  set(CURLOPT_POST, 1L);
  set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(exchange_->body.size()));
  // With several servers, the loop decides about every repeat.
  const bool has_others = exchange_->only == nullptr && exchange_->replicas->num_verified() > 1;
  has_function_ = has_others || !exchange_->may_repeat;
  set(CURLOPT_POSTFIELDS, has_function_ ? nullptr : exchange_->body.data());
  set(CURLOPT_READDATA, this);
}

void CurlTransfer::set_headers() {
  // libcurl would wait for "100 Continue" before it sends a large request.
  add_header("Expect:");
  for (const std::string& header : exchange_->headers) add_header(header);
  if (exchange_->timeout_header != nullptr)
    add_header(std::string(exchange_->timeout_header) + ": " +
               std::to_string(std::min(left_ms(exchange_->deadline), kLongestTimeoutMs)) +
               exchange_->timeout_unit);
  if (!exchange_->token.empty()) add_header("Authorization: Bearer " + exchange_->token);
  set(CURLOPT_HTTPHEADER, headers_.get());
}

void CurlTransfer::add_header(const std::string& line) {
  curl_slist* const longer = curl_slist_append(headers_.get(), line.c_str());
  if (longer == nullptr) throw std::bad_alloc();
  static_cast<void>(headers_.release());
  headers_.reset(longer);
}

// ---- The end ----

bool CurlTransfer::is_first_on_connection() const {
  long num_connects = 0;
  curl_easy_getinfo(handle(), CURLINFO_NUM_CONNECTS, &num_connects);
  return num_connects > 0;
}

AttemptEnd CurlTransfer::read_end(CURLcode code) {
  long os_error = 0;
  curl_easy_getinfo(handle(), CURLINFO_OS_ERRNO, &os_error);
  // For the end of a connection of HTTP/2, libcurl has the error of a broken rule too, but only
  // then does nghttp2 say which rule.
  constexpr std::string_view kBrokenRule = "nghttp2";
  const std::string_view problem = problem_;
  const bool has_ended =
      os_error != 0 || exchange_->address->is_secure ||
      (code == CURLE_HTTP2 && problem.substr(0, kBrokenRule.size()) != kBrokenRule);
  const Transfer transfer = transfer_of(code, refused_, has_ended);
  AttemptEnd end;
  end.was_refused = code == kStreamRefused && header_bytes_ == 0;
  end.was_unsent =
      end.was_refused || (sent_bytes_ == 0 && (transfer == Transfer::kUnreachable ||
                                               (transfer == Transfer::kBroken && has_function_)));
  // A connection that was kept since an earlier request may belong to a server that was replaced.
  end.was_kept = transfer == Transfer::kBroken && !is_first_on_connection() && !has_answer();
  Reply& reply = end.reply;
  reply = std::move(reply_);
  reply.transfer = transfer;
  if (code != CURLE_OK)
    reply.problem = refused_ == Transfer::kTooLarge  ? too_large(*exchange_)
                    : refused_ == Transfer::kInvalid ? kTooManyHeaders
                    : problem_[0] != '\0'            ? problem_
                                                     : curl_easy_strerror(code);
  if (transfer != Transfer::kAnswered) reply.body = AnswerBuffer();
  long status = 0;
  curl_easy_getinfo(handle(), CURLINFO_RESPONSE_CODE, &status);
  reply.status = static_cast<int>(status);
  if (status >= 400) blank(exchange_->token, reply.body.view(), reply.body.data());
  for (auto& [name, value] : reply.headers) blank(exchange_->token, value, value.data());
  end.attempt = is_failure(*exchange_, reply) ? Attempt::kFailed
                : code == CURLE_OK            ? Attempt::kAnswered
                                              : Attempt::kUnknown;
  return end;
}

}  // namespace sidecall::net
