// Executes HTTP requests on one thread; see loop.h.
#include "loop.h"

#include <curl/curl.h>
#include <sidecall/sidecall.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/per_process.h"
#include "base/signals_blocked.h"
#include "net/common/error.h"
#include "replicas.h"

namespace sidecall::net {
namespace {

constexpr size_t kMaxAnswerBytes = size_t{1} << 30;
constexpr size_t kMaxHeaderBytes = size_t{256} << 10;
constexpr size_t kMaxIdleHandles = 64;
constexpr long kMaxConnections = 256;  // that are kept open without a request
constexpr int kIdlePollMs = 60000;
constexpr int64_t kLongestTimeoutMs = 99999999;  // that servers are told: gRPC allows eight digits
constexpr long kLongestConnectMs = 1L << 30;
constexpr int64_t kConnectMs = 2000;  // if there are other servers
constexpr int kMaxRefusals = 5;       // of one request, by servers that refuse streams
constexpr size_t kMaxProblemBytes = 600;

struct FreeHeaders {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct FreeHandle {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
using Headers = std::unique_ptr<curl_slist, FreeHeaders>;
using Handle = std::unique_ptr<CURL, FreeHandle>;

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

// The file with the certificates of the authorities that this system trusts. Its place differs
// between distributions.
const std::string& system_ca() {
  // Never destroyed, because the thread may use it until the process ends.
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

// Programs that the host starts must not get the connection.
curl_socket_t open_socket(void*, curlsocktype, curl_sockaddr* address) {
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

// Replaces the secret in what a server sent, because its errors are shown.
void blank(const std::string& secret, std::string* text) {
  constexpr std::string_view kShown = "(token)";
  if (secret.empty()) return;
  for (size_t at = 0; (at = text->find(secret, at)) != std::string::npos; at += kShown.size())
    text->replace(at, secret.size(), kShown);
}

// One transfer that is under way. Used by the thread of the loop only.
struct Running {
  std::shared_ptr<Exchange> exchange;
  ReplicaPtr replica;
  curl_slist pin{};           // the IP address of the server
  bool has_function = false;  // gives the body, so that libcurl cannot send it again
  Handle handle;
  Headers headers;
  Reply reply;
  size_t header_bytes = 0;
  size_t sent_bytes = 0;  // of the body, if a function gives it
  bool is_too_large = false;
  char problem[CURL_ERROR_SIZE] = "";
};

size_t on_body(const char* data, size_t size, size_t count, void* context) {
  auto* const running = static_cast<Running*>(context);
  const size_t bytes = size * count;
  if (bytes > kMaxAnswerBytes - running->reply.body.size()) {
    running->is_too_large = true;
    return 0;
  }
  try {
    running->reply.body.append(data, bytes);
  } catch (const std::exception&) {
    return 0;
  }
  return bytes;
}

size_t on_header(const char* data, size_t size, size_t count, void* context) {
  auto* const running = static_cast<Running*>(context);
  const std::string_view line(data, size * count);
  running->header_bytes += line.size();
  if (running->header_bytes > kMaxHeaderBytes) {
    running->is_too_large = true;
    return 0;
  }
  try {
    // Each answer begins with a status line; only the headers of the last answer matter, because
    // the ones before are interim answers (100 Continue).
    if (line.substr(0, 5) == "HTTP/") running->reply.headers.clear();
    const size_t colon = line.find(':', 1);
    if (colon != std::string_view::npos)
      running->reply.headers.emplace_back(lower(trim(line.substr(0, colon))),
                                          trim(line.substr(colon + 1)));
  } catch (const std::exception&) {
    return 0;
  }
  return line.size();
}

// Gives libcurl the body of a request that must not be sent twice. If a connection that was used
// before has ended, libcurl would send the request again over another one. It needs to rewind the
// body for that, and cannot rewind one that comes from a function.
size_t on_send(char* to, size_t size, size_t count, void* context) {
  auto* const running = static_cast<Running*>(context);
  const std::string& body = running->exchange->body;
  const size_t bytes = std::min(size * count, body.size() - running->sent_bytes);
  body.copy(to, bytes, running->sent_bytes);
  running->sent_bytes += bytes;
  return bytes;
}

// What curl.patch makes of a stream that the server refused: the server did nothing for it.
constexpr CURLcode kStreamRefused = CURLE_REMOTE_ACCESS_DENIED;

// `has_ended`: an operation on the connection failed, which libcurl does not tell from an answer
// that breaks the rules of HTTP.
Transfer transfer_of(CURLcode code, bool is_too_large, bool has_ended) {
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
      return is_too_large ? Transfer::kInvalid : Transfer::kNoMemory;
    default:  // what the server sent is not HTTP
      return Transfer::kInvalid;
  }
}

class Loop {
 public:
  explicit Loop(uint64_t created_in) : generation(created_in) { idle_.reserve(kMaxIdleHandles); }

  void add(std::shared_ptr<Exchange> exchange, bool is_cancel) {
    {
      const std::lock_guard lock(mutex_);
      start_once();
      orders_.push_back({std::move(exchange), is_cancel});
    }
    curl_multi_wakeup(multi_);
  }

  const uint64_t generation;

 private:
  struct Order {
    std::shared_ptr<Exchange> exchange;
    bool is_cancel;
  };
  using Transfers = std::unordered_map<CURL*, std::unique_ptr<Running>>;

  void start_once() {
    if (multi_ != nullptr) return;
    static const CURLcode initialized = curl_global_init(CURL_GLOBAL_ALL);
    CURLM* const multi = initialized == CURLE_OK ? curl_multi_init() : nullptr;
    if (multi == nullptr) throw Error(SIDECALL_OUT_OF_MEMORY, "cannot start the network thread");
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, kMaxConnections);
    multi_ = multi;
    try {
      const SignalsBlocked blocked;
      std::thread([this] { run(); }).detach();
    } catch (const std::exception&) {
      multi_ = nullptr;
      curl_multi_cleanup(multi);
      throw Error(SIDECALL_OUT_OF_MEMORY, "cannot start the network thread");
    }
  }

  [[noreturn]] void run() {
    for (;;) {
      take_orders();
      const int wait_ms = end_late();
      int num_running = 0;
      curl_multi_perform(multi_, &num_running);
      int num_left = 0;
      while (const CURLMsg* message = curl_multi_info_read(multi_, &num_left)) {
        if (message->msg == CURLMSG_DONE) finish_safely(message->easy_handle, message->data.result);
      }
      curl_multi_poll(multi_, nullptr, 0, wait_ms, nullptr);
    }
  }

  void take_orders() {
    std::vector<Order> orders;
    {
      const std::lock_guard lock(mutex_);
      orders.swap(orders_);
    }
    for (Order& order : orders) {
      if (order.is_cancel) {
        drop(order.exchange.get());
      } else {
        begin(std::move(order.exchange));
      }
    }
  }

  // Ends exchanges whose deadline has passed, and returns how long the thread may wait.
  int end_late() {
    const Clock::time_point now = Clock::now();
    int wait_ms = kIdlePollMs;
    for (auto each = running_.begin(); each != running_.end();) {
      const auto at = each++;
      const std::shared_ptr<Exchange> exchange = at->second->exchange;
      if (exchange->deadline <= now) {
        remove(at, Attempt::kUnknown);
        end(exchange.get(), Transfer::kTimedOut, "");
        continue;
      }
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(exchange->deadline - now);
      wait_ms = static_cast<int>(std::min<int64_t>(wait_ms, left.count()));
    }
    return wait_ms;
  }

  static void end(Exchange* exchange, Transfer transfer, const std::string& problem) {
    Reply reply;
    reply.transfer = transfer;
    reply.problem = problem;
    exchange->end(std::move(reply));
  }

  void begin(std::shared_ptr<Exchange> exchange) {
    if (exchange->is_woken()) return;  // it was cancelled
    ReplicaPtr replica = exchange->only;
    if (replica == nullptr) replica = exchange->replicas->pick(exchange->tried);
    if (replica == nullptr) {
      const bool is_other = exchange->replicas->has_other_model();
      return end(exchange.get(), is_other ? Transfer::kOtherModel : Transfer::kUnreachable,
                 exchange->problems);
    }
    begin(std::move(exchange), std::move(replica));
  }

  void begin(std::shared_ptr<Exchange> exchange, ReplicaPtr replica) {
    Replicas* const replicas = exchange->only == nullptr ? exchange->replicas.get() : nullptr;
    const auto give_up = [&](Transfer transfer, const char* problem) {
      if (replicas != nullptr) replicas->end(replica, Attempt::kUnknown);
      end(exchange.get(), transfer, problem);
    };
    try {
      ++exchange->num_attempts;
      auto running = std::make_unique<Running>();
      running->exchange = exchange;
      running->replica = replica;
      if (!idle_.empty()) {
        running->handle = std::move(idle_.back());
        idle_.pop_back();
        curl_easy_reset(running->handle.get());
      } else {
        running->handle.reset(curl_easy_init());
      }
      CURL* const handle = running->handle.get();
      if (handle == nullptr) throw std::bad_alloc();
      const CURLcode prepared = prepare(running.get());
      if (prepared != CURLE_OK)
        return give_up(transfer_of(prepared, false, false), curl_easy_strerror(prepared));
      const auto [at, is_new] = running_.emplace(handle, std::move(running));
      if (curl_multi_add_handle(multi_, handle) != CURLM_OK) {
        running_.erase(at);
        throw std::bad_alloc();
      }
    } catch (const std::exception&) {
      give_up(Transfer::kNoMemory, "out of memory");
    }
  }

  static CURLcode prepare(Running* running) {
    const Exchange& exchange = *running->exchange;
    const Address& address = *exchange.address;
    CURL* const handle = running->handle.get();
    CURLcode result = CURLE_OK;
    const auto set = [&](CURLoption option, auto value) {
      if (result == CURLE_OK) result = curl_easy_setopt(handle, option, value);
    };
    const std::string url = running->replica->url + exchange.path;
    set(CURLOPT_URL, url.c_str());
    if (!running->replica->connect_to.empty()) {
      // The URL keeps the name of the host, which the server and its certificate know.
      running->pin.data = running->replica->connect_to.data();
      set(CURLOPT_CONNECT_TO, &running->pin);
    }
    // Connections that were kept may all have ended.
    if (exchange.num_attempts > 1 && address.protocol == Protocol::kHttp)
      set(CURLOPT_FRESH_CONNECT, 1L);
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_QUICK_EXIT, 1L);
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_PATH_AS_IS, 1L);
    // The loop itself keeps deadlines; libcurl would give up a connection after five minutes. But a
    // host that does not answer must not take the time of the others.
    const size_t num_servers = exchange.only == nullptr ? exchange.replicas->num_verified() : 1;
    const bool has_others = exchange.tried.size() + 1 < num_servers;
    set(CURLOPT_CONNECTTIMEOUT_MS, has_others ? static_cast<long>(std::clamp<int64_t>(
                                                    left_ms(exchange.deadline) / 2, 1, kConnectMs))
                                              : kLongestConnectMs);
    set(CURLOPT_TCP_KEEPALIVE, 1L);
    set(CURLOPT_TCP_KEEPIDLE, 30L);
    set(CURLOPT_TCP_KEEPINTVL, 10L);
    set(CURLOPT_OPENSOCKETFUNCTION, &open_socket);
    set(CURLOPT_ERRORBUFFER, running->problem);
    set(CURLOPT_WRITEFUNCTION, &on_body);
    set(CURLOPT_WRITEDATA, running);
    set(CURLOPT_HEADERFUNCTION, &on_header);
    set(CURLOPT_HEADERDATA, running);
    set(CURLOPT_USERAGENT, "sidecall/" SIDECALL_NET_VERSION);
    if (!address.socket.empty()) set(CURLOPT_UNIX_SOCKET_PATH, address.socket.c_str());
    if (address.protocol == Protocol::kGrpc) {
      set(CURLOPT_HTTP_VERSION, address.is_secure ? long{CURL_HTTP_VERSION_2TLS}
                                                  : long{CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE});
      set(CURLOPT_PIPEWAIT, 1L);
    } else {
      set(CURLOPT_HTTP_VERSION,
          address.is_secure ? long{CURL_HTTP_VERSION_2TLS} : long{CURL_HTTP_VERSION_1_1});
    }
    if (address.is_secure) {
      set(CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
      const std::string& ca = address.ca.empty() ? system_ca() : address.ca;
      if (!ca.empty()) set(CURLOPT_CAINFO, ca.c_str());
      if (!address.cert.empty()) set(CURLOPT_SSLCERT, address.cert.c_str());
      if (!address.key.empty()) set(CURLOPT_SSLKEY, address.key.c_str());
    }
    if (exchange.is_post) {
      set(CURLOPT_POST, 1L);
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(exchange.body.size()));
      // With several servers, send_again() decides about every repeat.
      running->has_function = num_servers > 1 || !exchange.may_repeat;
      if (!running->has_function) {
        set(CURLOPT_POSTFIELDS, exchange.body.data());
      } else {
        set(CURLOPT_READFUNCTION, &on_send);
        set(CURLOPT_READDATA, running);
      }
    }
    const auto add_header = [&](const std::string& line) {
      curl_slist* const longer = curl_slist_append(running->headers.get(), line.c_str());
      if (longer == nullptr) throw std::bad_alloc();
      static_cast<void>(running->headers.release());
      running->headers.reset(longer);
    };
    // libcurl would wait for "100 Continue" before it sends a large request.
    add_header("Expect:");
    for (const std::string& header : exchange.headers) add_header(header);
    if (exchange.timeout_header != nullptr)
      add_header(std::string(exchange.timeout_header) + ": " +
                 std::to_string(std::min(left_ms(exchange.deadline), kLongestTimeoutMs)) +
                 exchange.timeout_unit);
    if (!exchange.token.empty()) add_header("Authorization: Bearer " + exchange.token);
    set(CURLOPT_HTTPHEADER, running->headers.get());
    return result;
  }

  void finish_safely(CURL* handle, CURLcode code) noexcept {
    const auto found = running_.find(handle);
    if (found == running_.end()) return;
    const std::shared_ptr<Exchange> exchange = found->second->exchange;
    try {
      finish(found, code);
    } catch (const std::exception&) {
      drop(exchange.get());
      end(exchange.get(), Transfer::kNoMemory, "");
    }
  }

  void finish(Transfers::iterator found, CURLcode code) {
    CURL* const handle = found->first;
    Running& running = *found->second;
    long os_error = 0;
    curl_easy_getinfo(handle, CURLINFO_OS_ERRNO, &os_error);
    // For the end of a connection of HTTP/2, libcurl has the error of a broken rule too, but only
    // then does nghttp2 say which rule.
    constexpr std::string_view kBrokenRule = "nghttp2";
    const std::string_view problem = running.problem;
    const bool has_ended =
        os_error != 0 || running.exchange->address->is_secure ||
        (code == CURLE_HTTP2 && problem.substr(0, kBrokenRule.size()) != kBrokenRule);
    running.reply.transfer = transfer_of(code, running.is_too_large, has_ended);
    if (code != CURLE_OK)
      running.reply.problem = running.is_too_large         ? "the answer is larger than 1 GiB"
                              : running.problem[0] != '\0' ? running.problem
                                                           : curl_easy_strerror(code);
    long status = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    running.reply.status = static_cast<int>(status);
    // Whether the server has certainly not begun to execute the request.
    const Transfer transfer = running.reply.transfer;
    const bool was_refused = code == kStreamRefused && running.header_bytes == 0;
    const bool was_unsent =
        was_refused ||
        (running.sent_bytes == 0 && (transfer == Transfer::kUnreachable ||
                                     (transfer == Transfer::kBroken && running.has_function)));
    const std::shared_ptr<Exchange> exchange = running.exchange;
    const ReplicaPtr replica = running.replica;
    Reply reply = std::move(running.reply);
    if (status >= 400) blank(exchange->token, &reply.body);
    for (auto& [name, value] : reply.headers) blank(exchange->token, &value);
    const bool has_failed = is_failure(*exchange, reply);
    const Attempt attempt = has_failed         ? Attempt::kFailed
                            : code == CURLE_OK ? Attempt::kAnswered
                                               : Attempt::kUnknown;
    // A connection that was kept since an earlier request may belong to a server that was replaced.
    long num_connects = 0;
    curl_easy_getinfo(handle, CURLINFO_NUM_CONNECTS, &num_connects);
    const bool was_kept =
        transfer == Transfer::kBroken && num_connects == 0 && running.header_bytes == 0;
    remove(found, attempt, code == CURLE_OK);
    const Failed failed = {replica, was_unsent, was_refused, was_kept};
    if (has_failed && send_again(exchange, failed, &reply)) return;
    exchange->answered_by = replica;
    exchange->end(std::move(reply));
  }

  // Whether an answer says that the server itself is of no use at the moment.
  static bool is_failure(const Exchange& exchange, const Reply& reply) {
    if (reply.transfer != Transfer::kAnswered)
      return reply.transfer == Transfer::kUnreachable || reply.transfer == Transfer::kBroken ||
             reply.transfer == Transfer::kTimedOut;
    constexpr std::string_view kUnavailable = "14";
    return reply.status == 502 || reply.status == 503 ||
           (exchange.address->protocol == Protocol::kGrpc &&
            reply.header("grpc-status") == kUnavailable);
  }

  // An attempt that failed.
  struct Failed {
    const ReplicaPtr& replica;
    bool was_unsent;   // the server has certainly not begun to execute the request
    bool was_refused;  // the server refused the stream
    bool was_kept;     // a connection that was kept had ended
  };

  // Sends a request that failed to another server, or over a new connection to this one, if that is
  // allowed and there is one. Otherwise makes `reply` the outcome.
  bool send_again(const std::shared_ptr<Exchange>& exchange, const Failed& failed, Reply* reply) {
    const auto& [replica, was_unsent, was_refused, was_kept] = failed;
    const bool is_bound = exchange->only != nullptr;
    if (exchange->num_attempts == 1 && !is_bound) exchange->tried.reserve(4);
    const auto& ended = exchange->ended;
    const bool may_try_anew =
        was_kept && std::find(ended.begin(), ended.end(), replica) == ended.end();
    if (may_try_anew) exchange->ended.push_back(replica);
    else if (!is_bound) exchange->tried.push_back(replica);
    const bool has_time = exchange->deadline > Clock::now();
    ReplicaPtr next;
    if (is_bound && may_try_anew && has_time) next = exchange->only;
    if (!is_bound && has_time) next = exchange->replicas->pick(exchange->tried);
    // A server that refused a stream may take it over a new connection.
    if (next == nullptr && was_refused && has_time && exchange->num_attempts < kMaxRefusals) {
      if (!is_bound) exchange->tried.clear();
      next = is_bound ? exchange->only : exchange->replicas->pick(exchange->tried);
    }
    const bool is_allowed = was_unsent || (exchange->may_repeat && next != nullptr &&
                                           exchange->replicas->take_repeat());
    if (!was_unsent && reply->transfer == Transfer::kBroken) exchange->may_have_run = true;
    if (next != nullptr && is_allowed) {
      add_problem(exchange.get(), *replica, *reply);
      begin(exchange, std::move(next));
      return true;
    }
    if (next != nullptr && !is_bound) exchange->replicas->end(next, Attempt::kUnknown);
    if (exchange->num_attempts > 1 && reply->transfer != Transfer::kAnswered) {
      add_problem(exchange.get(), *replica, *reply);
      reply->problem = exchange->problems;
      if (exchange->may_have_run) reply->transfer = Transfer::kBroken;
    }
    return false;
  }

  static void add_problem(Exchange* exchange, const Replica& replica, const Reply& reply) {
    std::string* const problems = &exchange->problems;
    if (problems->size() > kMaxProblemBytes) return;
    if (!problems->empty()) *problems += "; ";
    *problems += replica.label + ": ";
    *problems += reply.transfer == Transfer::kAnswered
                     ? "the server is not available (status " + std::to_string(reply.status) + ")"
                     : reply.problem;
  }

  void drop(const Exchange* exchange) {
    const auto found = std::find_if(running_.begin(), running_.end(), [&](const auto& each) {
      return each.second->exchange.get() == exchange;
    });
    if (found != running_.end()) remove(found, Attempt::kUnknown);
  }

  // `is_clean`: the transfer ended well. Any other handle is not used again, because it may
  // remember that its body must be sent from the beginning; curl_easy_reset() does not change that.
  void remove(Transfers::iterator at, Attempt attempt, bool is_clean = false) {
    // After a deadline without a byte of an answer the host may be gone. The connection is then
    // closed once no other request uses it, so that the next one gets a new connection.
    const Running& running = *at->second;
    const Exchange& exchange = *running.exchange;
    if (exchange.deadline <= Clock::now() && running.header_bytes == 0) {
      curl_easy_setopt(at->first, CURLOPT_FORBID_REUSE, 1L);
      attempt = Attempt::kFailed;
    }
    if (exchange.only == nullptr) exchange.replicas->end(running.replica, attempt);
    curl_multi_remove_handle(multi_, at->first);
    if (is_clean && idle_.size() < kMaxIdleHandles) idle_.push_back(std::move(at->second->handle));
    running_.erase(at);
  }

  std::mutex mutex_;  // guards orders_ and the start
  std::vector<Order> orders_;
  CURLM* multi_ = nullptr;  // set before the thread starts
  // The rest belongs to the thread of the loop.
  Transfers running_;
  std::vector<Handle> idle_;
};

}  // namespace

void submit(std::shared_ptr<Exchange> exchange) {
  per_process<Loop>().add(std::move(exchange), false);
}

void cancel(std::shared_ptr<Exchange> exchange) noexcept {
  try {
    per_process<Loop>().add(std::move(exchange), true);
  } catch (const std::exception&) {
    // The transfer ends at its deadline.
  }
}

}  // namespace sidecall::net
