// The internals of a Channel: its connection, the state of the call in progress, and which thread
// may access which words. Used by channel*.cpp and client.cpp.
#pragma once

#include <atomic>
#include <climits>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "client.h"
#include "handshake.h"
#include "shm/common/fork.h"
#include "shm/common/layout.h"

namespace sidecall::shm {

struct Client::Shared {
  std::unique_ptr<Endpoint> endpoint;
  ClientOptions options;
  Served served;
  uint8_t digest[32] = {};
  std::vector<TensorSpec> outputs;
  ForkMark fork;

  std::mutex lock;  // guards the members below; not used in a forked child
  std::string model_id;
  std::vector<std::unique_ptr<Channel>> idle;
  // How many borrowed channels lead to each serving process, by Welcome::instance.
  std::unordered_map<uint64_t, int> borrowed;
  int num_borrowed = 0;  // the sum of them

  // Returns nullptr if no idle channel fits, or if a new connection should be made instead, because
  // another process has fewer runs than the processes that the idle channels lead to.
  std::unique_ptr<Channel> take_idle(uint64_t request_bytes, uint64_t response_bytes);
};

[[noreturn]] void throw_forked();

// The file of a one-shot result, kept from its message on the socket until the response.
struct OneShotFile {
  Fd file;  // empty if this process had no descriptor left for it
  uint64_t sequence = 0;
  uint64_t bytes = 0;
};

struct Channel::State {
  State(std::shared_ptr<Client::Shared> client, uint64_t request_bytes, uint64_t response_bytes);
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  // ---- channel_connect.cpp ----

  // Makes the first connection, and waits for it. Throws the same errors as Client::borrow.
  void connect(Deadline deadline, const std::atomic<bool>* stop);

  // Gives the channel memory for requests, so that it can be used before it is connected: publish()
  // then connects. Throws OUT_OF_MEMORY.
  void prepare();

  // Whether Client::Shared::borrowed counts this channel. The caller holds its lock.
  void count_as_borrowed(bool is_borrowed) noexcept;

  // reconnect() begins a new connection, whose memory replaces the old memory; go_on_connecting()
  // continues it. Neither waits. Both return true once the channel is connected. On failure the old
  // memory stays mapped and can still be accessed. They throw the same errors as Channel::publish.
  bool reconnect();
  bool go_on_connecting();
  void adopt(Connection fresh);
  void adopt_request(Mapping fresh);
  void adopt_response(Mapping fresh);
  void drop() noexcept;  // closes the connection; the memory stays mapped

  // ---- channel.cpp ----

  void publish(bool same_layout, int64_t timeout, Awaited awaited);
  void send();  // publishes the request, or begins to connect if that is needed first
  // Publishes the request entry, and sends a wake-up message if the server sleeps. Returns false if
  // the server has hung up.
  bool publish_request();
  // Whether the sequence word of the awaited response has changed.
  bool has_response(std::memory_order order) const noexcept;
  // Call it when has_response() is true. Accepts the answer, or drops the late answer to a call
  // that was given up.
  Outcome accept();
  Outcome give_up(Outcome why);
  // Call it when the server is gone. Returns kPending if it sends the request again.
  Outcome on_death();
  // Reads the messages that are there, without waiting.
  void read_socket(bool* is_gone, int max_messages = INT_MAX);
  void handle(Received* received, const char* buffer, bool* is_gone);
  // Computed from the clock at first use: a short call ends before it needs the deadline.
  Deadline deadline();
  void end_call() noexcept;  // ends the call because of an exception

  // ---- channel_wait.cpp ----

  Outcome wait();
  bool is_free(bool will_sleep);
  bool await_free(Deadline end, const std::atomic<bool>& stop);
  bool spin();  // returns true if the sequence word has changed
  // Sleeps until there is an outcome. Returns kPending after the server died and the request was
  // sent again.
  Outcome sleep();
  void wait_for_connection();            // one step of connecting
  bool wait_for_socket(bool* is_first);  // true if the server is gone or will not answer any more
  bool is_lost();      // whether the server's process is ending and has already taken the request
  int cancel_event();  // created on first use
  void clear_event() noexcept;
  void cancel() noexcept;

  // ---- channel_queue.cpp ----

  Outcome poll();
  bool has_news(bool looks_at_all, bool looks_at_connecting, int64_t now) noexcept;
  Deadline prepare_sleep(int set, uint64_t number);
  void take_ring() noexcept;

  // ---- channel_answer.cpp ----

  Answer take();
  void note_layouts();  // applies the SAME_LAYOUT rules to `fields`. Throws PROTOCOL
  void read_answer(Answer* answer);
  [[noreturn]] void throw_failure() const;
  void read_faults(Error* error) const;
  void fetch_inputs() noexcept;
  void map_one_shot();

  std::shared_ptr<Client::Shared> shared;
  const uint64_t request_bytes, response_bytes;  // as the caller requested
  ForkMark fork;

  // The connection, or the attempt to make one. `request` and `response` outlive it.
  std::optional<Handshake> handshake;
  Socket socket;
  Fd pidfd;
  std::optional<pid_t> pid;  // the process that `pidfd` refers to; determined on first use
  Mapping request, response;
  // Earlier response mappings of other sizes. Their addresses stay mapped, to pages of zeros.
  std::vector<Mapping> retired;
  bool keeps_addresses = false;  // even under ThreadSanitizer; see Mapping
  uint64_t granted = 0;          // bytes of the response slot
  uint64_t instance = 0;         // of the process that serves the latest connection
  bool is_counted = false;

  // Private copies of our own words, and the values last read from the server's words.
  uint64_t sequence = 0;  // of the last request
  uint64_t sleeping = 0;
  uint64_t rung = 0;
  uint32_t peer_cpu = 0;
  int rings_read = 0;  // number of socket messages read since the last request

  // The call in progress.
  bool is_pending = false;   // published, and no response seen yet
  bool is_given_up = false;  // its late response will be dropped
  // Not published yet, because the late response to an earlier call that was given up must come
  // first.
  bool is_deferred = false;
  bool is_sleep_announced = false;  // by prepare_sleep(), for the call in progress
  // When poll() next looks at the server's process. Used only in a queue.
  Deadline look_at = Deadline::never();
  bool wants_same_layout = false;
  int resends = 0;
  int64_t timeout_ns = -1;
  std::optional<Deadline> until;
  Outcome outcome = Outcome::kTimedOut;
  SpinPolicy spin_policy;

  // Whether each side may use SAME_LAYOUT. layout_sent: the server has our table. may_be_same: we
  // have the server's table, so the server may leave the table out of its answer.
  bool layout_sent = false;
  bool may_be_same = false;
  bool is_table_known = false;  // `tensors` is the checked copy of the table in the response slot
  std::vector<Tensor> tensors;
  ResponseFields fields{};
  OneShotFile one_shot_file;
  Mapping one_shot;
  std::vector<Tensor> one_shot_tensors;

  // Partners: cancel(), in any thread, stores `is_cancelled` and then loads `cancel_number`. The
  // thread that creates the event stores `cancel_number` and then loads `is_cancelled`. Each side
  // stores and then loads, so both need seq_cst.
  std::atomic<bool> is_cancelled{false};
  std::atomic<int> cancel_number{-1};
  Fd event;
  Deadline next_step = Deadline::after(0);  // when has_news() looks at `handshake` at the latest
  uint64_t joined_set = 0;  // the set of prepare_sleep() that has the present socket

  Head* request_head() noexcept { return reinterpret_cast<Head*>(request.data()); }
  const Head* response_head() const noexcept {
    return reinterpret_cast<const Head*>(response.data());
  }
  RequestEntry* request_entry() noexcept {
    return reinterpret_cast<RequestEntry*>(request.data() + sizeof(Head));
  }
  const ResponseEntry* response_entry() const noexcept {
    return reinterpret_cast<const ResponseEntry*>(response.data() + sizeof(Head));
  }
  unsigned char* request_slot() noexcept { return request.data() + head_bytes(1); }
  const unsigned char* response_slot() const noexcept { return response.data() + head_bytes(1); }
};

// Acquire: partner of the server's store of this sequence, which comes after the fields and the
// slot. Before sleeping the load must be seq_cst, see sleep().
inline bool Channel::State::has_response(std::memory_order order) const noexcept {
  return response_entry()->sequence.load(order) != sequence - 1;
}

}  // namespace sidecall::shm
