// The client's end: what a server serves, a pool of its connections, and calls over them. Used by the C ABI's route for shm: and exec:.
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

// What the server said at open. Copied and checked for form; the texts are whatever the server sent.
struct Served {
  bool has_contract = false;
  bool is_verified = false;  // its golden rows passed at start
  std::string
      signature;  // the signature part of the manifest: JSON, a newline, and more where there is a contract
  std::string contract;  // "" without one
  std::string model_id;  // 64 hexadecimal digits, or ""
  uint64_t max_request_bytes = 0;
  uint64_t max_response_bytes = 0;
  uint32_t process = 0;  // as it sees itself
};

struct ClientOptions {
  int64_t wait_ns =
      0;  // how long to wait for a server that is still starting: at open and when it restarts
  int64_t timeout_ns =
      INT64_C(30) * 1000 * 1000 * 1000;  // for a server that is there to answer a handshake
  size_t max_idle = 64;                  // connections kept for the next borrower
};

class Channel;

// An opened model. Any thread may borrow; what borrowed channels need lives as long as the last of them.
class Client {
 public:
  // Throws UNREACHABLE, TIMEOUT, DENIED, BUSY, PROTOCOL, OUT_OF_MEMORY.
  Client(std::unique_ptr<Endpoint> endpoint, const ClientOptions& options);
  ~Client();

  const Served& served() const noexcept;

  // What answers are checked against. Once, before the first borrow.
  void set_outputs(std::vector<TensorSpec> outputs);

  // The id of the model that the latest connection was served from: a server that restarts may bring another with the same signature.
  std::string model_id() const;

  // A channel whose slots hold at least so many bytes: an idle one, or a new connection. Its memory holds anything.
  // Throws as the constructor, and CONTRACT_CHANGED, FORKED, OUT_OF_RANGE (beyond the server's limits), CANCELLED (soon after `stop` was set).
  std::unique_ptr<Channel> borrow(uint64_t request_bytes, uint64_t response_bytes,
                                  Deadline deadline, const std::atomic<bool>* stop = nullptr);

  // An idle one, without waiting; nullptr where there is none.
  std::unique_ptr<Channel> borrow_idle(uint64_t request_bytes, uint64_t response_bytes);

  // Takes it back for the next borrower, or closes it: where too many are idle, or a call that timed out still occupies it.
  void give_back(std::unique_ptr<Channel> channel) noexcept;

  struct Shared;  // of the client and its channels

 private:
  std::shared_ptr<Shared> shared_;
};

// The JSON of the server's counters. Not checked beyond being UTF-8.
std::string fetch_status(Endpoint& endpoint, Deadline patience, Deadline deadline);

enum class Outcome { kPending, kAnswered, kTimedOut, kCancelled };

// How the answer to a request is awaited.
enum class Awaited {
  kAtOnce,  // by a wait() that follows
  kLater,   // by wait() or poll(), some time; the clock of the deadline starts now
  kByFd,    // by poll(), when fd() is readable
};

// A successful answer. Tensors and memory are valid until the next publish; the server may change the memory, not the tensors.
struct Answer {
  const std::vector<Tensor>* tensors = nullptr;  // one per output
  const unsigned char* slot =
      nullptr;  // offsets count from here: the response slot, or a one-shot file's mapping
  bool is_one_shot = false;
  uint64_t run_ns = 0;  // what the server says that the model took
};

// One connection with one slot. Belongs to one call, and to one thread at a time, except cancel().
//
//   write elements and table into request()  ->  publish()  ->  wait(), or poll() until it is not kPending  ->  take()
//
// All failures but those of the answer itself are thrown by publish, wait and poll; the channel stays usable and connects again when it must.
// request() and, where the new server grants the same size, response() keep their addresses and request() its contents.
class Channel {
 public:
  ~Channel();

  unsigned char* request() noexcept;
  uint64_t request_bytes() const noexcept;
  const unsigned char* response() const noexcept;
  uint64_t response_bytes() const noexcept;

  // Sends what is in request(), without waiting. `same_layout`: the table is what it was at the publish before; the channel knows when the server must
  // read it all the same. timeout_ns below 0 is none. Where the late answer to a call that was given up is still to come, or the server is gone, poll()
  // and wait() send the request later, within the timeout: after that answer, or over a new connection, for which they wait as the options say.
  // Throws UNREACHABLE, TIMEOUT (of a handshake), DENIED, BUSY, CONTRACT_CHANGED, PROTOCOL, OUT_OF_MEMORY, OUT_OF_RANGE, FORKED.
  void publish(bool same_layout, int64_t timeout_ns, Awaited awaited = Awaited::kAtOnce);

  // Looks, and does not block. kTimedOut and kCancelled give the call up: the server is told, and its late answer will be dropped.
  // Throws PEER_DIED, and as publish: a request that the dead server never took is sent to its successor.
  Outcome poll();

  // Polls for a while, then sleeps, until it is not kPending, or until `until`. Throws as poll.
  Outcome wait(Deadline until = Deadline::never());

  // Whether nobody reads request() any more: true unless a call was given up and its late answer is still to come. Only then may another table
  // be written there. Looks, and does not block. While it is false, fd(), if it was made, becomes readable when that may have changed.
  bool is_free();

  // Waits for that. False when the deadline passes first, or `stop` was set before a cancel().
  bool await_free(Deadline deadline, const std::atomic<bool>& stop);

  // Once, after kAnswered. Throws the Error that the server answered with.
  Answer take();

  // From any thread: the call under way ends with kCancelled, without waiting for the server. Nothing where none is.
  void cancel() noexcept;

  // Readable when poll() has news of what was published with kByFd; poll() makes it unreadable. Made on first use, before that publish.
  int fd();

  // While no call is under way: makes fd() unreadable, where the server rang late, or ended.
  void hush() noexcept;

  // Looks without waiting whether the server is still there; only for a channel that was idle.
  bool is_alive() const noexcept;

 private:
  friend class Client;
  struct State;
  explicit Channel(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sidecall::shm
