// Opens what a server serves, keeps the pool of idle channels, and fetches the server's counters.
#include "client.h"

#include <poll.h>

#include <algorithm>
#include <climits>
#include <cstring>

#include "base/text/utf8.h"
#include "channel.h"
#include "shm/common/fault.h"
#include "shm/common/status_json.h"

namespace sidecall::shm {
namespace {

constexpr uint64_t kMaxCallBytes = UINT64_C(1) << 40;

// Rounds up to one of few sizes, so that an idle channel fits the next borrower. Never rounds
// beyond the server's limit if `bytes` is within it.
uint64_t round_up(uint64_t bytes, uint64_t limit) {
  if (bytes > kMaxCallBytes)
    throw Error(SIDECALL_OUT_OF_RANGE,
                "call: expected tensors of at most 2^40 bytes, got " + std::to_string(bytes));
  uint64_t size = kPage;
  while (size < bytes) size *= 2;
  return std::max({bytes, kPage, std::min(size, limit)});
}

// A channel that is far too large is not used here: it stays idle for calls that need its size.
bool fits(uint64_t has, uint64_t wants) { return has >= wants && has / 8 <= wants; }

void read_manifest(const Connection& connection, Served* served) {
  const std::string text =
      read_sealed_file(connection.manifest.get(), connection.welcome.manifest_bytes,
                       kMaxManifest + 2 * sizeof(uint64_t));
  uint64_t parts[2];
  if (text.size() < sizeof parts) violation("its manifest is too short");
  std::memcpy(parts, text.data(), sizeof parts);
  const uint64_t rest = text.size() - sizeof parts;
  if (parts[0] > rest || parts[1] != rest - parts[0])
    violation("the parts of its manifest do not match its size");
  served->signature = text.substr(sizeof parts, parts[0]);
  served->contract = text.substr(sizeof parts + parts[0]);
  served->has_contract = (connection.welcome.flags & kHasContract) != 0;
  if (served->has_contract == served->contract.empty() || !is_utf8_without_nul(served->signature) ||
      !is_utf8_without_nul(served->contract))
    violation("its manifest is malformed");
}

// Servers that do not send a timeout wait for 30 s.
int64_t timeout_of(const Welcome& welcome) {
  constexpr uint64_t kDefault = UINT64_C(30) * 1000 * 1000 * 1000;
  const uint64_t timeout_ns = welcome.timeout_ns == 0 ? kDefault : welcome.timeout_ns;
  return static_cast<int64_t>(std::min<uint64_t>(timeout_ns, INT64_MAX));
}

}  // namespace

Client::Client(std::unique_ptr<Endpoint> endpoint, const ClientOptions& options)
    : shared_(std::make_shared<Shared>()) {
  shared_->endpoint = std::move(endpoint);
  shared_->options = options;
  const Connection connection =
      run_handshake(*shared_->endpoint, ConnectionRequest(), Deadline::after(options.wait_ns),
                    Deadline::never(), options.timeout_ns);
  const Welcome& welcome = connection.welcome;
  Served& served = shared_->served;
  read_manifest(connection, &served);
  served.is_verified = (welcome.flags & kVerified) != 0;
  served.max_request_bytes = welcome.max_request_bytes;
  served.max_response_bytes = welcome.max_response_bytes;
  served.process = welcome.process;
  served.timeout_ns = timeout_of(welcome);
  served.model_id = shared_->model_id = model_id_of(welcome);
  std::memcpy(shared_->digest, welcome.signature_digest, sizeof shared_->digest);
}

std::unique_ptr<Channel> Client::Shared::take_idle(uint64_t request_bytes,
                                                   uint64_t response_bytes) {
  const std::lock_guard guard(lock);
  // Of channels to equally busy processes the latest is taken: its memory is in the caches.
  auto best = idle.rend();
  int fewest = INT_MAX;
  for (auto it = idle.rbegin(); it != idle.rend(); ++it) {
    const Channel::State& state = *(*it)->state_;
    if (!fits(state.request_bytes, request_bytes) || !fits(state.response_bytes, response_bytes))
      continue;
    const auto count = borrowed.find(state.instance);
    const int number = count == borrowed.end() ? 0 : count->second;
    if (number >= fewest) continue;
    best = it;
    fewest = number;
    if (number == 0) break;
  }
  if (best == idle.rend()) return nullptr;
  // If even this process has more runs than the average, another has fewer, for example because it
  // has just started. A new connection usually leads there. It may not, so their number is limited.
  if (fewest > 0 && idle.size() + static_cast<size_t>(num_borrowed) < options.max_idle &&
      fewest > num_borrowed / std::max(1, endpoint->num_processes()))
    return nullptr;
  std::unique_ptr<Channel> taken = std::move(*best);
  idle.erase(std::next(best).base());
  taken->state_->count_as_borrowed(true);
  return taken;
}

Client::~Client() {
  if (!shared_) return;
  std::vector<std::unique_ptr<Channel>> idle;
  if (shared_->fork.is_forked()) {
    idle.swap(shared_->idle);  // no lock: its owner may be a thread that the child does not have
    return;
  }
  const std::lock_guard guard(shared_->lock);
  idle.swap(shared_->idle);
}

const Served& Client::served() const noexcept { return shared_->served; }

void Client::set_outputs(std::vector<TensorSpec> outputs) { shared_->outputs = std::move(outputs); }

std::string Client::model_id() const {
  if (shared_->fork.is_forked()) return shared_->served.model_id;
  const std::lock_guard guard(shared_->lock);
  return shared_->model_id;
}

std::unique_ptr<Channel> Client::borrow_idle(uint64_t request_bytes, uint64_t response_bytes) {
  if (shared_->fork.is_forked()) throw_forked();
  request_bytes = round_up(request_bytes, shared_->served.max_request_bytes);
  response_bytes = round_up(response_bytes, shared_->served.max_response_bytes);
  while (std::unique_ptr<Channel> idle = shared_->take_idle(request_bytes, response_bytes)) {
    if (idle->is_alive()) return idle;
  }
  return nullptr;
}

std::unique_ptr<Channel> Client::make_unconnected(uint64_t request_bytes, uint64_t response_bytes) {
  if (shared_->fork.is_forked()) throw_forked();
  const uint64_t limit = align_up(shared_->served.max_request_bytes, kPage);
  if (request_bytes > limit)  // the server would refuse the connection
    throw Error(SIDECALL_OUT_OF_RANGE,
                "'" + shared_->endpoint->label() + "': the server takes inputs of at most " +
                    std::to_string(limit) + " bytes, got " + std::to_string(request_bytes));
  auto state = std::make_unique<Channel::State>(
      shared_, round_up(request_bytes, shared_->served.max_request_bytes),
      round_up(response_bytes, shared_->served.max_response_bytes));
  state->prepare();
  return std::unique_ptr<Channel>(new Channel(std::move(state)));
}

std::unique_ptr<Channel> Client::borrow(uint64_t request_bytes, uint64_t response_bytes,
                                        Deadline deadline, const std::atomic<bool>* stop) {
  if (std::unique_ptr<Channel> idle = borrow_idle(request_bytes, response_bytes)) return idle;
  auto state = std::make_unique<Channel::State>(
      shared_, round_up(request_bytes, shared_->served.max_request_bytes),
      round_up(response_bytes, shared_->served.max_response_bytes));
  state->connect(deadline, stop);
  return std::unique_ptr<Channel>(new Channel(std::move(state)));
}

void Client::give_back(std::unique_ptr<Channel> channel) noexcept {
  if (!channel || shared_->fork.is_forked()) return;
  Channel::State& state = *channel->state_;
  if (state.is_pending || !state.socket) return;
  state.one_shot.reset();
  try {
    const std::lock_guard guard(shared_->lock);
    if (shared_->idle.size() >= shared_->options.max_idle) return;
    shared_->idle.push_back(std::move(channel));
    state.count_as_borrowed(false);
  } catch (...) {
    // There is no memory to keep the channel, so it is closed.
  }
}

std::string fetch_status(Endpoint& endpoint, Deadline retry_until, Deadline deadline) {
  ConnectionRequest request;
  request.kind = kStatus;
  const Connection connection = run_handshake(endpoint, request, retry_until, deadline);
  std::string text =
      read_sealed_file(connection.status.get(), connection.status_bytes, kMaxManifest);
  if (!is_utf8_without_nul(text)) violation("its status is not UTF-8");
  if (!is_status_json(text)) violation("its status is not a JSON object of at most 64 levels");
  return text;
}

// ---- Channel ----

Channel::Channel(std::unique_ptr<State> state) : state_(std::move(state)) {}
Channel::~Channel() = default;

unsigned char* Channel::request() noexcept { return state_->request_slot(); }
uint64_t Channel::request_bytes() const noexcept { return state_->request_bytes; }
const unsigned char* Channel::response() const noexcept { return state_->response_slot(); }
uint64_t Channel::response_bytes() const noexcept { return state_->granted; }

void Channel::publish(bool same_layout, int64_t timeout_ns, Awaited awaited) {
  state_->publish(same_layout, timeout_ns, awaited);
}
bool Channel::is_connecting() const noexcept { return state_->handshake.has_value(); }
bool Channel::has_news(bool looks_at_all, bool looks_at_connecting, int64_t now) noexcept {
  return state_->has_news(looks_at_all, looks_at_connecting, now);
}
Deadline Channel::prepare_sleep(int epoll, uint64_t number) {
  return state_->prepare_sleep(epoll, number);
}
Outcome Channel::poll() { return state_->poll(); }
Outcome Channel::wait() { return state_->wait(); }
bool Channel::is_free() { return state_->is_free(false); }
bool Channel::await_free(Deadline deadline, const std::atomic<bool>& stop) {
  return state_->await_free(deadline, stop);
}
Answer Channel::take() { return state_->take(); }
void Channel::cancel() noexcept { state_->cancel(); }
void Channel::drop_occupied() noexcept {
  if (state_->is_pending) state_->drop();
}
bool Channel::is_in_use() const noexcept {
  constexpr int64_t kRecent = 5 * 1000 * 1000;
  const State& state = *state_;
  return state.socket && state.until && state.timeout_ns >= 0 &&
         now_ns() - (state.until->at_ns() - state.timeout_ns) < kRecent;
}

bool Channel::is_alive() const noexcept {
  // The socket is checked only for a hang-up. poll skips the pidfd if there is none.
  pollfd polls[2] = {{state_->socket.fd(), 0, 0}, {state_->pidfd.get(), POLLIN, 0}};
  return state_->socket && ::poll(polls, 2, 0) == 0;
}

}  // namespace sidecall::shm
