// The inside of a Channel: its connection, what it remembers of the call under way, and who may read which words. Used by channel*.cpp and client.cpp.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
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

  std::mutex lock;  // of what follows; not touched in a forked child
  std::string model_id;
  std::vector<std::unique_ptr<Channel>> idle;

  std::unique_ptr<Channel> take_idle(uint64_t request_bytes,
                                     uint64_t response_bytes);  // nullptr where none fits
};

[[noreturn]] void throw_forked();

// A one-shot result's file between its message and its response.
struct OneShotFile {
  Fd file;  // empty where this process had no descriptor left for it
  uint64_t sequence = 0;
  uint64_t bytes = 0;
};

struct Channel::State {
  State(std::shared_ptr<Client::Shared> client, uint64_t request_bytes, uint64_t response_bytes);

  // ---- channel_connect.cpp ----

  // Makes the first connection, waiting. Throws as Client::borrow.
  void connect(Deadline deadline, const std::atomic<bool>* stop);

  // Begins a new connection whose memory takes the place of the old, and goes on with it; neither waits. True when it is there. On failure the old
  // memory stays, harmless. Throw as Channel::publish.
  bool reconnect();
  bool go_on_connecting();
  void adopt(Connection fresh);
  void adopt_request(Mapping fresh);
  void adopt_response(Mapping fresh);
  void drop() noexcept;  // hangs up; the memory stays

  // ---- channel.cpp ----

  void publish(bool same_layout, int64_t timeout, Awaited awaited);
  void send();  // publishes, or begins to connect where that is needed first
  bool
  publish_request();  // one descriptor, and a ring where the server sleeps; false where it has hung up
  bool has_news(std::memory_order order)
      const noexcept;  // the word of the response that is awaited has changed
  Outcome accept();    // it has: the answer, or the late answer to a call that was given up
  Outcome give_up(Outcome why);
  Outcome on_death();               // the server is gone: kPending where the request was sent again
  void read_socket(bool* is_gone);  // all that is there, without waiting
  void handle(Received* received, const char* buffer, bool* is_gone);
  Deadline deadline();       // the clock is read on first use, which short calls never have
  void end_call() noexcept;  // by an exception

  // ---- channel_wait.cpp ----

  Outcome poll();
  Outcome wait(Deadline end);
  bool is_free(bool will_sleep);
  bool await_free(Deadline end, const std::atomic<bool>& stop);
  bool spin();      // true when there is news
  Outcome sleep();  // until there is an outcome, or kPending after a request was sent again
  void wait_for_connection();  // one step
  bool wait_for_socket(
      bool* is_first);  // true when the server is gone, or will not answer any more
  bool is_lost();       // it is ending, and has the request

  // ---- channel_fd.cpp ----

  int fd();
  void watch(int descriptor);  // by the one that fd() gave out
  void set_timer(Deadline at) noexcept;
  void arm();  // after publishing: fd() becomes readable when poll() has news
  void disarm() noexcept;
  int cancel_event();  // made on first use
  void clear_event() noexcept;
  void cancel() noexcept;

  // ---- channel_answer.cpp ----

  Answer take();
  void note_layouts();  // what `fields` means for tables. Throws PROTOCOL
  void read_answer(Answer* answer);
  [[noreturn]] void throw_failure() const;
  void read_faults(Error* error) const;
  void fetch_inputs() noexcept;
  void map_one_shot();

  std::shared_ptr<Client::Shared> shared;
  const uint64_t request_bytes, response_bytes;  // as wanted
  ForkMark fork;

  // The connection, or the attempt at one. `request` and `response` outlive it.
  std::optional<Handshake> handshake;
  Socket socket;
  Fd pidfd;
  std::optional<pid_t> pid;  // of the pidfd; found out on first use
  Mapping request, response;
  std::vector<Mapping> retired;  // responses of other sizes, now zeroes
  uint64_t granted = 0;          // bytes of the response slot

  // Private copies of our own words, and what was read of the server's.
  uint64_t sequence = 0;  // of the last request
  uint64_t sleeping = 0;
  uint64_t rung = 0;
  uint32_t peer_cpu = 0;
  int rings_read = 0;  // since the last request

  // The call under way.
  bool is_pending = false;   // published, and no response seen
  bool is_given_up = false;  // its late response is to be dropped
  bool is_deferred =
      false;  // not published yet, because of one that was given up; only where fd() is awaited
  bool is_armed = false;                 // fd() is awaited
  bool is_event_raised = false;          // by arm()
  Deadline look_at = Deadline::never();  // where the owner polls: at the server's process
  bool wants_same_layout = false;
  int resends = 0;
  int polls = 0;
  int64_t timeout_ns = -1;
  std::optional<Deadline> until;
  Deadline look_until = Deadline::never();  // of the wait() that is under way
  Outcome outcome = Outcome::kTimedOut;
  Pace pace;

  // What the server may assume of our table, and what it may assume that we know of its table.
  bool layout_sent = false;
  bool may_be_same = false;
  bool is_table_known = false;  // `tensors` is the table in the response slot
  std::vector<Tensor> tensors;
  ResponseFields fields{};
  OneShotFile one_shot_file;
  Mapping one_shot;
  std::vector<Tensor> one_shot_tensors;

  // Partners: cancel(), in any thread, stores `is_cancelled` and then looks for the event; its maker stores the event and then looks for
  // `is_cancelled`. A store-load pair on both sides, so both are seq_cst.
  std::atomic<bool> is_cancelled{false};
  std::atomic<int> cancel_number{-1};
  Fd event, timer, epoll;

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

// Acquire: partner of the server's store of this sequence, which comes after the fields and the slot. Going to sleep it must be seq_cst, see sleep().
inline bool Channel::State::has_news(std::memory_order order) const noexcept {
  return response_entry()->sequence.load(order) != sequence - 1;
}

}  // namespace sidecall::shm
