// Drives libcurl; see loop.h.
#include "loop.h"

#include <curl/curl.h>
#include <sidecall/sidecall.h>

#include <algorithm>
#include <condition_variable>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/process/fork_generation.h"
#include "base/process/per_process.h"
#include "base/process/signals_blocked.h"
#include "base/process/spin_policy.h"
#include "connection_options.h"
#include "curl_transfer.h"
#include "net/client/replicas.h"
#include "net/common/error.h"

namespace sidecall::net {
namespace {

constexpr size_t kMaxIdleHandles = 64;
constexpr long kMaxConnections = 256;  // that are kept open without a request
constexpr int kIdlePollMs = 60000;
constexpr int kMaxRefusals = 5;  // of one request, by servers that refuse streams
// A request tries all servers a second time if the first round took at least this long: on a busy
// machine, or over a slow network, the first server may be back by then.
constexpr std::chrono::milliseconds kLongRound{10};
constexpr std::chrono::seconds kLongestRound{1};  // no second round after a longer first one
constexpr size_t kMaxProblemBytes = 600;
// libcurl ends a connection in the background after a transfer that did not end well.
constexpr std::chrono::seconds kTidyTime{3};

class Loop {
 public:
  explicit Loop(uint64_t created_in) : generation(created_in) { idle_.reserve(kMaxIdleHandles); }

  // `drives_next`: this thread calls wait() next.
  void add(std::shared_ptr<Exchange> exchange, bool is_cancel, bool drives_next) {
    const std::lock_guard lock(mutex_);
    start_once();
    orders_.push_back({std::move(exchange), is_cancel});
    if (is_driven_) curl_multi_wakeup(multi_);
    else if (!drives_next) work_arrived_.notify_one();
  }

  // Lets the driver look at its exchange, which was woken.
  void wake() noexcept {
    const std::lock_guard lock(mutex_);
    if (multi_ != nullptr) curl_multi_wakeup(multi_);
  }

  // The caller drives the loop only while its exchange is the only one: work for others could delay
  // it beyond its deadline. It stops one millisecond before the deadline, and then waits with a
  // more exact clock.
  bool wait(Exchange* exchange, Clock::time_point until) {
    if (exchange->is_over_or_woken()) return exchange->wait(until);
    if (!begin_driving(exchange, until)) {
      require_driver();
      return exchange->wait(until);
    }
    {
      const Driving driving(this);
      bool must_sleep = false;  // because polling found nothing
      do {
        const int64_t wait_ms = std::min<int64_t>(execute(), left_ms(until) - 1);
        if (exchange->is_over_or_woken() || wait_ms <= 0) break;
        if (must_sleep || !spin_policy_.begin(0)) {
          sleep(wait_ms);
          must_sleep = false;
        } else {
          must_sleep = !poll(exchange, Clock::now() + std::chrono::milliseconds(wait_ms));
        }
      } while (!exchange->is_over_or_woken() && goes_on_driving(exchange));
    }
    return exchange->wait(until);
  }

  const uint64_t generation;

 private:
  struct Order {
    std::shared_ptr<Exchange> exchange;
    bool is_cancel;
  };
  using Transfers = std::unordered_map<CURL*, std::unique_ptr<CurlTransfer>>;

  // Returns nullptr if there is no memory or no descriptor. The check is necessary, because
  // curl_multi_init() succeeds although it has no descriptor for wake-ups.
  static CURLM* make_multi() {
    CURLM* const multi = start_libcurl() ? curl_multi_init() : nullptr;
    if (multi == nullptr) return nullptr;
    if (curl_multi_wakeup(multi) != CURLM_OK) {
      curl_multi_cleanup(multi);
      return nullptr;
    }
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, kMaxConnections);
    return multi;
  }

  void start_once() {
    if (multi_ != nullptr) return;
    CURLM* const multi = make_multi();
    if (multi == nullptr) throw Error(SIDECALL_OUT_OF_MEMORY, "cannot start the network thread");
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

  // ---- Who drives ----

  // Makes this thread the driver, unless another thread is.
  bool begin_driving(const Exchange* exchange, Clock::time_point until) {
    if (left_ms(until) <= 1) return false;
    const std::lock_guard lock(mutex_);
    if (is_driven_ || multi_ == nullptr || !is_alone(exchange)) return false;
    return is_driven_ = true;
  }

  // Makes the thread of the library drive if there is no driver. If two callers submit at the same
  // moment, neither of them is alone, so neither drives.
  void require_driver() {
    const std::lock_guard lock(mutex_);
    if (!is_driven_ && has_work()) work_arrived_.notify_one();
  }

  // Whether this exchange is the only work of the loop. Only the driver may call this function, or
  // any thread while there is no driver. mutex_ must be locked.
  bool is_alone(const Exchange* exchange) const {
    const bool are_orders_own =
        std::all_of(orders_.begin(), orders_.end(),
                    [&](const Order& order) { return order.exchange.get() == exchange; });
    const bool is_running_own =
        std::all_of(running_.begin(), running_.end(),
                    [&](const auto& each) { return each.second->exchange().get() == exchange; });
    return are_orders_own && is_running_own;
  }

  // Whether a caller may still drive. A signal handler may have forked meanwhile: the child must
  // not go on with the connections of its parent.
  bool goes_on_driving(const Exchange* exchange) {
    if (generation != fork_generation()) return false;
    const std::lock_guard lock(mutex_);
    return is_alone(exchange);
  }

  // The caller drives while this object lives. Afterwards the thread of the library does what is
  // left.
  class Driving {
   public:
    explicit Driving(Loop* loop) : loop_(loop) {}
    ~Driving() {
      const std::lock_guard lock(loop_->mutex_);
      loop_->is_driven_ = false;
      if (loop_->has_work()) loop_->work_arrived_.notify_one();
    }
    Driving(const Driving&) = delete;
    Driving& operator=(const Driving&) = delete;

   private:
    Loop* const loop_;
  };

  // The thread of the library drives while there is work and no caller drives.
  [[noreturn]] void run() {
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        work_arrived_.wait(lock, [this] { return !is_driven_ && has_work(); });
        is_driven_ = true;
      }
      for (;;) {
        const int wait_ms = execute();
        {
          const std::lock_guard lock(mutex_);
          is_driven_ = has_work();
          if (!is_driven_) break;
        }
        sleep(wait_ms);
      }
    }
  }

  // Only the driver may call this function, or any thread while there is no driver. mutex_ must be
  // locked.
  bool has_work() const {
    return !orders_.empty() || !running_.empty() || Clock::now() < tidy_until_;
  }

  // ---- What the driver does ----

  // Does all that can be done without waiting, and returns how many milliseconds the driver may
  // wait.
  int execute() {
    if (needs_renewal_ && running_.empty()) renew();
    take_orders();
    end_late();
    int num_running = 0;
    curl_multi_perform(multi_, &num_running);
    int num_left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &num_left)) {
      if (message->msg == CURLMSG_DONE) finish_safely(message->easy_handle, message->data.result);
    }
    // libcurl itself goes on with connections that it closes.
    unsigned num_descriptors = 0;
    if (running_.empty() && curl_multi_waitfds(multi_, nullptr, 0, &num_descriptors) == CURLM_OK &&
        num_descriptors > 0)
      tidy_until_ = Clock::now() + kTidyTime;
    return next_wait_ms();
  }

  // Closes all connections. After some errors, libcurl keeps a connection of HTTP/2 on which the
  // next request would get no answer, for example one for which there was no memory.
  void renew() {
    CURLM* old = make_multi();
    if (old == nullptr) return;  // the next turn tries again
    {
      const std::lock_guard lock(mutex_);
      std::swap(multi_, old);
    }
    curl_multi_cleanup(old);
    needs_renewal_ = false;
  }

  int next_wait_ms() const {
    int64_t wait_ms = tidy_until_ > Clock::now() ? left_ms(tidy_until_) : kIdlePollMs;
    for (const auto& [key, transfer] : running_)
      wait_ms = std::min(wait_ms, left_ms(transfer->exchange()->deadline));
    return static_cast<int>(wait_ms);
  }

  // Waits for a connection or for curl_multi_wakeup().
  void sleep(int64_t wait_ms) {
    curl_multi_poll(multi_, nullptr, 0, static_cast<int>(wait_ms), nullptr);
  }

  // Looks at the connections for as long as the spin policy says, because the kernel takes longer
  // to wake a thread than most answers take. Returns whether one of them is ready. Otherwise the
  // caller looks at everything once more before it sleeps, because this function may have consumed
  // the message of curl_multi_wakeup().
  bool poll(Exchange* exchange, Clock::time_point until) {
    const int64_t until_ns = std::chrono::nanoseconds(until.time_since_epoch()).count();
    int num_ready = 0;
    int64_t now = 0;
    do {
      curl_multi_poll(multi_, nullptr, 0, 0, &num_ready);
    } while (num_ready == 0 && !exchange->is_over_or_woken() && goes_on_driving(exchange) &&
             spin_policy_.rest(&now) && now < until_ns);
    spin_policy_.note(num_ready > 0 ? 0 : INT64_MAX);
    return num_ready > 0;
  }

  void take_orders() {
    std::vector<Order> orders;
    {
      const std::lock_guard lock(mutex_);
      orders.swap(orders_);
    }
    for (const Order& order : orders) {
      if (order.is_cancel) {
        drop(order.exchange.get());
        continue;
      }
      try {
        begin(order.exchange);
      } catch (const std::exception&) {
        end(order.exchange.get(), Transfer::kNoMemory, "");
      }
    }
  }

  // Ends exchanges whose deadline has passed.
  void end_late() {
    const Clock::time_point now = Clock::now();
    for (auto each = running_.begin(); each != running_.end();) {
      const auto at = each++;
      const std::shared_ptr<Exchange> exchange = at->second->exchange();
      if (exchange->deadline > now) continue;
      remove(at, Attempt::kUnknown);
      end(exchange.get(), Transfer::kTimedOut, "");
    }
  }

  static void end(Exchange* exchange, Transfer transfer, const std::string& problem) {
    Reply reply;
    reply.transfer = transfer;
    reply.problem = problem;
    exchange->end(std::move(reply));
  }

  void begin(const std::shared_ptr<Exchange>& exchange) {
    if (exchange->is_woken()) return;  // it was cancelled
    ReplicaPtr replica = exchange->only;
    if (replica == nullptr) replica = exchange->replicas->pick(exchange->tried);
    if (replica == nullptr) {
      const bool is_other = exchange->replicas->has_other_model();
      return end(exchange.get(), is_other ? Transfer::kOtherModel : Transfer::kUnreachable,
                 exchange->problems);
    }
    begin(exchange, std::move(replica));
  }

  void begin(const std::shared_ptr<Exchange>& exchange, ReplicaPtr replica) {
    Replicas* replicas = exchange->only == nullptr ? exchange->replicas.get() : nullptr;
    const auto give_up = [&](Transfer transfer, const char* problem) {
      if (replicas != nullptr) std::exchange(replicas, nullptr)->end(replica, Attempt::kUnknown);
      end(exchange.get(), transfer, problem);
    };
    try {
      ++exchange->num_attempts;
      PreparedHandle handle = take_handle(*exchange, replica);
      CURL* const key = handle.handle.get();
      auto transfer = std::make_unique<CurlTransfer>(exchange, replica, std::move(handle));
      const CURLcode prepared = transfer->prepare();
      if (prepared != CURLE_OK) return give_up(transfer_of(prepared), curl_easy_strerror(prepared));
      const auto [at, is_new] = running_.emplace(key, std::move(transfer));
      if (curl_multi_add_handle(multi_, key) != CURLM_OK) {
        running_.erase(at);
        throw std::bad_alloc();
      }
    } catch (const std::exception&) {
      give_up(Transfer::kNoMemory, "");
    }
  }

  // A handle that was used for this server, or else another one.
  PreparedHandle take_handle(const Exchange& exchange, const ReplicaPtr& replica) {
    PreparedHandle taken;
    if (idle_.empty()) {
      taken.handle.reset(curl_easy_init());
      if (taken.handle == nullptr) throw std::bad_alloc();
      return taken;
    }
    const auto found = std::find_if(idle_.begin(), idle_.end(), [&](const PreparedHandle& each) {
      return each.replica == replica && each.address == exchange.address;
    });
    std::swap(found == idle_.end() ? idle_.back() : *found, idle_.back());
    taken = std::move(idle_.back());
    idle_.pop_back();
    return taken;
  }

  void finish_safely(CURL* handle, CURLcode code) noexcept {
    const auto found = running_.find(handle);
    if (found == running_.end()) return;
    const std::shared_ptr<Exchange> exchange = found->second->exchange();
    try {
      finish(found, code);
    } catch (const std::exception&) {
      needs_renewal_ = true;
      drop(exchange.get());
      end(exchange.get(), Transfer::kNoMemory, "");
    }
  }

  void finish(Transfers::iterator found, CURLcode code) {
    CurlTransfer& transfer = *found->second;
    AttemptEnd attempt = transfer.read_end(code);
    const std::shared_ptr<Exchange> exchange = transfer.exchange();
    const ReplicaPtr replica = transfer.replica();
    const Transfer how = attempt.reply.transfer;
    const bool is_error = how != Transfer::kAnswered && how != Transfer::kUnreachable;
    const bool is_grpc = exchange->address->protocol == Protocol::kGrpc;
    if (how == Transfer::kNoMemory || (is_grpc && is_error && !attempt.was_refused))
      needs_renewal_ = true;
    remove(found, attempt.attempt, code == CURLE_OK);
    if (attempt.attempt == Attempt::kFailed && send_again(exchange, replica, &attempt)) return;
    exchange->answered_by = replica;
    exchange->end(std::move(attempt.reply));
  }

  // Sends a request that failed to another server, or over a new connection to this one, if that is
  // allowed and there is one. Otherwise makes the reply of `failed` the outcome.
  bool send_again(const std::shared_ptr<Exchange>& exchange, const ReplicaPtr& replica,
                  AttemptEnd* failed) {
    Reply* const reply = &failed->reply;
    const bool is_bound = exchange->only != nullptr;
    if (exchange->num_attempts == 1 && !is_bound) exchange->tried.reserve(4);
    const auto& ended = exchange->ended;
    const bool may_try_anew =
        failed->was_kept && std::find(ended.begin(), ended.end(), replica) == ended.end();
    const Clock::time_point now = Clock::now();
    if (exchange->tried.empty()) exchange->first_failure = now;
    if (may_try_anew) exchange->ended.push_back(replica);
    else if (!is_bound) exchange->tried.push_back(replica);
    const bool has_time = exchange->deadline > now;
    ReplicaPtr next;
    if (is_bound && may_try_anew && has_time) next = exchange->only;
    if (!is_bound && has_time) next = exchange->replicas->pick(exchange->tried);
    // A server that refused a stream may take it over a new connection.
    if (next == nullptr && failed->was_refused && has_time &&
        exchange->num_attempts < kMaxRefusals) {
      if (!is_bound) exchange->tried.clear();
      next = is_bound ? exchange->only : exchange->replicas->pick(exchange->tried);
    }
    const Clock::duration round = now - exchange->first_failure;
    if (next == nullptr && failed->was_unsent && has_time && !is_bound &&
        !exchange->is_second_round && round >= kLongRound && round <= kLongestRound) {
      exchange->is_second_round = true;
      exchange->tried.clear();
      next = exchange->replicas->pick(exchange->tried);
    }
    const bool is_allowed = failed->was_unsent || (exchange->may_repeat && next != nullptr &&
                                                   exchange->replicas->take_repeat());
    if (!failed->was_unsent && reply->transfer == Transfer::kBroken) exchange->may_have_run = true;
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

  static void add_problem(Exchange* exchange, const Replica& replica, const Reply& reply) noexcept {
    std::string* const problems = &exchange->problems;
    if (problems->size() > kMaxProblemBytes) return;
    try {
      const std::string problem =
          reply.transfer == Transfer::kAnswered
              ? "the server is not available (status " + std::to_string(reply.status) + ")"
              : reply.problem;
      *problems += (problems->empty() ? "" : "; ") + replica.label + ": " + problem;
    } catch (const std::exception&) {
      // Without memory the error says less.
    }
  }

  void drop(const Exchange* exchange) {
    const auto found = std::find_if(running_.begin(), running_.end(), [&](const auto& each) {
      return each.second->exchange().get() == exchange;
    });
    if (found != running_.end()) remove(found, Attempt::kUnknown);
  }

  // `is_clean`: the transfer ended well. Any other handle is not used again, because it may
  // remember that its body must be sent from the beginning; curl_easy_reset() does not change that.
  void remove(Transfers::iterator at, Attempt attempt, bool is_clean = false) {
    // After a deadline without a byte of an answer the host may be gone. The connection is then
    // closed once no other request uses it, so that the next one gets a new connection.
    CurlTransfer& transfer = *at->second;
    const Exchange& exchange = *transfer.exchange();
    if (exchange.deadline <= Clock::now() && !transfer.has_answer()) {
      curl_easy_setopt(at->first, CURLOPT_FORBID_REUSE, 1L);
      attempt = Attempt::kFailed;
    }
    // libcurl lets other requests of HTTP/2 wait until the first one on a new connection has an
    // answer. If that request were removed, they would wait forever.
    if (!is_clean && transfer.is_first_on_connection() && !transfer.has_answer())
      curl_easy_setopt(at->first, CURLOPT_FORBID_REUSE, 1L);
    if (exchange.only == nullptr) exchange.replicas->end(transfer.replica(), attempt);
    curl_multi_remove_handle(multi_, at->first);
    if (!is_clean) tidy_until_ = Clock::now() + kTidyTime;
    else if (idle_.size() < kMaxIdleHandles) idle_.push_back(transfer.release_handle());
    running_.erase(at);
  }

  std::mutex mutex_;  // guards orders_, is_driven_ and the start
  std::condition_variable work_arrived_;
  std::vector<Order> orders_;
  bool is_driven_ = false;
  CURLM* multi_ = nullptr;  // set before a thread drives; the driver replaces it under the lock
  // The rest belongs to the driver. The lock of mutex_ hands it from one driver to the next.
  Transfers running_;
  std::vector<PreparedHandle> idle_;
  Clock::time_point tidy_until_;
  SpinPolicy spin_policy_;
  bool needs_renewal_ = false;  // see renew()
};

}  // namespace

void submit(std::shared_ptr<Exchange> exchange) {
  per_process<Loop>().add(std::move(exchange), false, false);
}

// TLS reads files and computes for milliseconds, so it stays on the thread of the library.
void submit_and_drive(std::shared_ptr<Exchange> exchange) {
  const bool drives_next = !exchange->address->is_secure;
  per_process<Loop>().add(std::move(exchange), false, drives_next);
}

bool wait(Exchange* exchange, Clock::time_point until) {
  if (exchange->address->is_secure) return exchange->wait(until);
  return per_process<Loop>().wait(exchange, until);
}

void cancel(std::shared_ptr<Exchange> exchange) noexcept {
  try {
    per_process<Loop>().add(std::move(exchange), true, false);
  } catch (const std::exception&) {
    // The transfer ends at its deadline; the thread that waits for it need not.
    per_process<Loop>().wake();
  }
}

}  // namespace sidecall::net
