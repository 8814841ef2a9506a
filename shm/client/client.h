// The client side: what a server serves, a pool of connections to it, and calls over them. Used by
// engines/shm for the addresses shm: and exec:.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "endpoint.h"
#include "shm/common/error.h"
#include "shm/common/fork.h"
#include "shm/common/layout.h"
#include "shm/common/segment.h"
#include "shm/common/socket.h"
#include "shm/common/table.h"
#include "shm/common/waiting.h"

namespace sidecall::shm {

// What the server announced when the model was opened. The members are copies. Only their form was
// checked; the contents of the texts are not trusted.
struct Served {
  bool has_contract = false;
  bool is_verified = false;  // the golden rows passed when the server started
  // The signature part of the manifest: JSON, a newline, and further JSON if there is a contract.
  std::string signature;
  std::string contract;  // "" if there is none
  std::string model_id;  // 64 hexadecimal digits, or ""
  uint64_t max_request_bytes = 0;
  uint64_t max_response_bytes = 0;
  uint32_t process = 0;    // the server's process id as the server sees it
  int64_t timeout_ns = 0;  // of calls without a timeout
};

struct ClientOptions {
  // How long to wait for a server that is still starting: at open, and when the server restarts.
  int64_t wait_ns = 0;
  // How long a server that exists may take to answer a handshake.
  int64_t timeout_ns = INT64_C(30) * 1000 * 1000 * 1000;
  size_t max_idle = 64;  // connections kept for the next borrower
};

class Channel;

// An opened model. Any thread may borrow a channel. The state that borrowed channels share lives
// until the last of them is closed.
class Client {
 public:
  // Throws UNREACHABLE, TIMEOUT, DENIED, BUSY, PROTOCOL, OUT_OF_MEMORY.
  Client(std::unique_ptr<Endpoint> endpoint, const ClientOptions& options);
  ~Client();

  const Served& served() const noexcept;

  // Sets the signature that answers are checked against. Call it once, before the first borrow.
  void set_outputs(std::vector<TensorSpec> outputs);

  // The id of the model behind the latest connection. A server that restarts may serve another
  // model with the same signature.
  std::string model_id() const;

  // Returns a channel whose slots hold at least the given numbers of bytes: an idle channel, or a
  // new connection. The contents of its memory are undefined.
  // Throws the same errors as the constructor, and CONTRACT_CHANGED, FORKED, OUT_OF_RANGE (beyond
  // the server's limits), CANCELLED (soon after `stop` was set).
  std::unique_ptr<Channel> borrow(uint64_t request_bytes, uint64_t response_bytes,
                                  Deadline deadline, const std::atomic<bool>* stop = nullptr);

  // Returns an idle channel without waiting: of those that fit, one that leads to the process with
  // the fewest borrowed channels. Returns nullptr if none fits, or if another process has fewer.
  std::unique_ptr<Channel> borrow_idle(uint64_t request_bytes, uint64_t response_bytes);

  // Returns a channel that is not connected yet, without waiting. The first publish connects it,
  // without waiting too. Throws FORKED, OUT_OF_RANGE, OUT_OF_MEMORY.
  std::unique_ptr<Channel> make_unconnected(uint64_t request_bytes, uint64_t response_bytes);

  // Keeps the channel for the next borrower. Closes it instead if too many channels are idle, or
  // if a call that timed out still occupies it.
  void give_back(std::unique_ptr<Channel> channel) noexcept;

  struct Shared;  // shared by the client and its channels

 private:
  std::shared_ptr<Shared> shared_;
};

// Returns the JSON of the server's counters, which is checked to be UTF-8 and a JSON object of at
// most 64 levels.
std::string fetch_status(Endpoint& endpoint, Deadline retry_until, Deadline deadline);

enum class Outcome { kPending, kAnswered, kTimedOut, kCancelled };

// How the caller will wait for the answer to a request.
enum class Awaited {
  kAtOnce,   // by a call of wait() that follows at once
  kInQueue,  // by poll(), when has_news() says so; the timeout starts now
};

// A successful answer. `tensors` and `slot` are valid until the next publish. The server may still
// change the memory of `slot`, but not `tensors`.
struct Answer {
  const std::vector<Tensor>* tensors = nullptr;  // one per output
  // The base of the tensors' offsets: the response slot, or the mapping of a one-shot file.
  const unsigned char* slot = nullptr;
  bool is_one_shot = false;
  uint64_t run_ns = 0;  // run time of the model as reported by the server
};

// One connection with one slot. It belongs to one call, and is used by one thread at a time; only
// cancel() may be called from any thread.
//
//   write elements and table into request()
//   publish()
//   wait(); in a queue, poll() until it does not return kPending
//   take()
//
// If the server answered with a failure, take() throws it. publish, wait and poll throw all other
// failures. After a failure the channel stays usable, and connects again when necessary. Then
// request() keeps its address and contents, and response() keeps its address if the new server
// grants the same size.
class Channel {
 public:
  ~Channel();

  unsigned char* request() noexcept;
  uint64_t request_bytes() const noexcept;
  const unsigned char* response() const noexcept;
  uint64_t response_bytes() const noexcept;

  // Sends the contents of request(), without waiting. `same_layout` says that the table is the same
  // as at the previous publish; the channel nevertheless lets the server read the table when the
  // protocol requires that. A negative timeout_ns means no timeout.
  // If the late answer to a call that was given up is still to come, or the server is gone, poll()
  // and wait() send the request later, within the timeout: after that answer, or over a new
  // connection. How long they wait for the new connection is set by ClientOptions.
  // Throws UNREACHABLE, TIMEOUT (of a handshake), DENIED, BUSY, CONTRACT_CHANGED, PROTOCOL,
  // OUT_OF_MEMORY, OUT_OF_RANGE, FORKED.
  void publish(bool same_layout, int64_t timeout_ns, Awaited awaited = Awaited::kAtOnce);

  // Checks for the answer, and does not block. kTimedOut and kCancelled mean that the call was
  // given up: the server has been told, and its late answer will be dropped.
  // Throws PEER_DIED if the server took the request and died. If it died without taking the
  // request, the request is sent to the next server (a few times at most, then PEER_DIED too), and
  // poll() can also throw the errors of publish().
  Outcome poll();

  // Polls for a while, then sleeps, until the outcome is not kPending. Throws the same errors as
  // poll.
  Outcome wait();

  // Whether the server no longer reads request(): true unless a call was given up and its late
  // answer is still to come. Only if this is true may another table be written into request(). Does
  // not block.
  bool is_free();

  // Waits until is_free() is true. Returns false if the deadline passes first, or if another thread
  // sets `stop` and then calls cancel().
  bool await_free(Deadline deadline, const std::atomic<bool>& stop);

  // Returns the answer. Call it once, after kAnswered. Throws the Error that the server answered
  // with.
  Answer take();

  // May be called from any thread: the call in progress ends with kCancelled, without waiting for
  // the server. Does nothing if no call is in progress.
  void cancel() noexcept;

  // Closes the connection if the server still works on a call that was given up. The memory stays,
  // and the next publish connects again.
  void drop_occupied() noexcept;

  // Whether the connection that the published call needs is still being made.
  bool is_connecting() const noexcept;

  // Of a request that was published with kInQueue: whether poll() has something to report or to do.
  // Reads memory; `looks_at_connecting` and `looks_at_all` say that the descriptor of a connection
  // that is being made, or of any connection, has become ready. `now`: of CLOCK_MONOTONIC, in
  // nanoseconds.
  bool has_news(bool looks_at_all, bool looks_at_connecting, int64_t now) noexcept;

  // From now on the server makes `epoll` readable when it has answered. Returns when
  // poll() has to be called at the latest; the past if that is now. `number` distinguishes the sets
  // of this process, because descriptors are used again. Throws OUT_OF_MEMORY.
  Deadline prepare_sleep(int epoll, uint64_t number);

  // Checks without waiting whether the server is still there. Only for a channel that was idle.
  bool is_alive() const noexcept;

  // Whether a request was published with kInQueue less than 5 ms ago. A server that has
  // ended since then is noticed by the next call, which connects again.
  bool is_in_use() const noexcept;

 private:
  friend class Client;
  struct State;
  explicit Channel(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sidecall::shm
