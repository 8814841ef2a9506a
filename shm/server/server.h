// Serves one model over the channel: the interface that a handler implements, the requests and
// responses that it gets, and the server. Used by serving/, which puts a model or a C callback
// behind Handler, and by tests/shm. PROTOCOL.md describes the client's view.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "shm/common/direct.h"
#include "shm/common/error.h"
#include "shm/common/fork.h"
#include "shm/common/socket.h"
#include "shm/common/table.h"

namespace sidecall::shm {

// What is served. A Server does not change it.
struct Service {
  std::string name, version;  // of the model, only for the status
  std::string signature;      // the signature part of the manifest, see PROTOCOL.md
  std::string contract;       // the contract part; "" if there is none
  std::array<uint8_t, 32> signature_digest{};
  std::string model_id;  // 64 hexadecimal digits, or ""
  bool is_verified = false;
  std::vector<TensorSpec> inputs, outputs;

  // For each input: whether the handler can take memory that the client may change while the
  // handler runs. An input with the value false, or without a value, is copied before the handler
  // gets it. In the copy of a bool tensor every byte is 0 or 1. Strings are always copied.
  std::vector<bool> in_place;
};

// ---- The log ----

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Takes one event: a name ("connection.opened", "connection.violation", "server.ended") and its
// facts as a JSON object. Called by any thread of the server, possibly by several at once. It must
// not block or throw. Returns false if it dropped the event. The channel itself prints nothing.
using LogFunction =
    std::function<bool(LogLevel level, const char* event, const std::string& facts)>;

// ---- What a handler gets of one request ----

// A checked input: its dtype is that of the signature, and its dims fit the signature. The handler
// checks whether the inputs fit each other.
struct InputView {
  int32_t dtype = 0;
  uint32_t rank = 0;
  const int64_t* dims = nullptr;
  int64_t elements = 0;
  // 64-byte aligned, in C order. For a string tensor this is the text, checked to be UTF-8 without
  // NUL.
  const void* data = nullptr;
  uint64_t bytes = 0;
  // For a string tensor: elements + 1 offsets that start at 0, never decrease, and end at `bytes`.
  // Otherwise nullptr.
  const int64_t* offsets = nullptr;
};

// One request. Valid during Session::handle. The memory of a view may be that of the client
// (Service::in_place); its pages are read-only here.
class Request {
 public:
  virtual ~Request() = default;
  virtual size_t num_inputs() const noexcept = 0;
  virtual const InputView& input(size_t index) const noexcept = 0;

  // Whether the dims and addresses of all inputs other than strings are the same as in the last
  // request that this session answered with success. The handler can then keep what it has bound.
  // Addresses and contents of strings always change.
  virtual bool is_same_layout() const noexcept = 0;

  // When the client gives up, in nanoseconds of CLOCK_MONOTONIC; -1 for never.
  virtual int64_t deadline_ns() const noexcept = 0;

  // Why the client no longer waits for the answer: TIMEOUT, CANCELLED, PEER_DIED, or UNREACHABLE (a
  // drain ran out of time); 0 while it waits. May be called from any thread during handle().
  virtual int32_t stop_status() const noexcept = 0;
  bool is_wanted() const noexcept { return stop_status() == 0; }

  // Adds an event to the server's log for the user who sent this request. The limits for the
  // server's own events apply (event_log.h).
  virtual void log(LogLevel level, const char* event, const std::string& facts) const = 0;
};

// The answer. Before handle() returns, every output must have been placed, or fail() called.
class Response {
 public:
  virtual ~Response() = default;

  // Returns memory for output `index` of this request: 64-byte aligned, sized for dtype and dims,
  // contents unspecified. Call it once per output and request. The same sequence of (index, dims)
  // gives the same addresses in all requests of a session, as long as everything fits the response
  // slot. Outputs that do not fit are kept in overflow buffers and sent as a one-shot result. Not
  // for strings. Throws INTERNAL (a shape that the signature does not allow, an output placed
  // twice), OUT_OF_MEMORY.
  virtual void* place(size_t index, const int64_t* dims, uint32_t rank) = 0;

  // Copies a string tensor into the answer. Its bytes may be any bytes. `offsets` has elements + 1
  // values that start at 0, never decrease, and end at most at bytes.size(). Throws the same errors
  // as place().
  virtual void place_strings(size_t index, const int64_t* dims, uint32_t rank,
                             const int64_t* offsets, std::string_view bytes) = 0;

  // Says that the session now keeps `bytes` of memory for output `index`, besides the memory that
  // place() returns. The number of outputs, as `index`, stands for memory that belongs to no
  // output. These bytes count as held for this client until the session is destroyed. Throws
  // OUT_OF_MEMORY if the client may not hold that much; the session is then closed after this
  // request.
  virtual void hold(size_t index, uint64_t bytes) = 0;

  // Closes the session after this request, because it may keep memory that was not reported with
  // hold().
  virtual void drop_session() noexcept = 0;

  // Answers with this error instead. Outputs placed before are discarded.
  virtual void fail(const Error& error) = 0;

  // Sets the model run time that is reported to the client. Without this call, the time from taking
  // the request to its answer is reported.
  virtual void set_run_ns(uint64_t nanoseconds) noexcept = 0;
};

// The handler's state for one slot of one connection, which it can keep from request to request
// (for example a binding). handle() is always called by the same thread, one request at a time. The
// destructor is called by another thread, which no request waits for, except after drop_session().
class Session {
 public:
  virtual ~Session() = default;

  // If it throws Error, the answer is that error; for std::bad_alloc it is OUT_OF_MEMORY, for any
  // other exception INTERNAL.
  virtual void handle(const Request& request, Response& response) = 0;

  // The client no longer waits for the request in progress. handle() should end soon, with an Error
  // whose status is request.stop_status(). Called from another thread within milliseconds of the
  // cause, and repeated every few milliseconds until handle() has returned, so a handler may ignore
  // a single call. Must not block.
  virtual void interrupt() noexcept {}
};

class Handler {
 public:
  virtual ~Handler() = default;

  // Called by engine threads, possibly by several at once, when the first request of a slot
  // arrives. If it throws, that request fails.
  virtual std::unique_ptr<Session> open_session() = 0;

  // The memory that a session takes, not counting its strings and what Response::hold() reports.
  virtual uint64_t session_bytes() const noexcept { return 0; }
};

// ---- The server ----

struct ServerOptions {
  uint32_t threads = 1;  // number of threads that call the handler
  // How many microseconds these threads poll before they sleep. -1: adaptive polling. 0: they never
  // poll. SIDECALL_SPIN_US overrides this value.
  int32_t spin_us = -1;
  std::vector<uint32_t> allowed_uids;
  // Admits users who have this primary group, and gives the group access to the socket and its
  // folder. -1 for none.
  int64_t group = -1;
  uint32_t max_connections = 1024;
  uint32_t max_connections_per_user = 512;
  uint32_t max_half_open = 64;  // connections that have not sent HELLO
  uint32_t max_slots = 64;
  uint64_t max_request_bytes = UINT64_C(256) << 20;   // of one slot
  uint64_t max_response_bytes = UINT64_C(256) << 20;  // of one slot
  // How much clients can make the server hold: slots, private copies of inputs, answers that exceed
  // their slots, sessions.
  uint64_t max_memory = UINT64_C(4) << 30;
  // The same for one user. 0 means half of max_memory if other users are admitted, otherwise all of
  // it.
  uint64_t max_memory_per_user = 0;
  uint64_t max_one_shot = UINT64_C(2) << 30;  // the largest one-shot result
  int64_t hello_ns = INT64_C(2000000000);     // how long a connection may take to send HELLO
  int64_t timeout_ns = INT64_C(30000000000);  // the timeout of a request that has none
  // How long a run may take before the process that executes it is to be replaced (activity.h);
  // INT64_MAX for no limit.
  int64_t max_run_ns = INT64_MAX;
  // The server is not ready if requests wait and all threads have been busy with their present runs
  // for this long.
  int64_t unready_after_ns = INT64_C(5000000000);
  LogFunction log;  // may be empty
  // Returns further members of the JSON object that answers STATUS, each with a comma before it;
  // may be empty.
  std::function<std::string()> more_status;
};

// The answer to STATUS: the counts, a JSON object, and options.more_status.
std::string status_answer(std::string counts, const ServerOptions& options);

class Control;

// All functions may be called from any thread. A forked child must not use the server, but may
// destroy it.
class Server {
 public:
  // `handler` must outlive the server. Throws INVALID_ARGUMENT, OUT_OF_MEMORY.
  Server(Service service, Handler* handler, ServerOptions options);
  ~Server();  // close()
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Binds and listens. `address` is the part after "shm:", a NAME or a path. Throws BUSY (a living
  // server is there), DENIED, INVALID_ARGUMENT, UNREACHABLE (the folder cannot be used, or the
  // server has ended). Without `accepts`, connections wait until accept() is called.
  void listen(std::string_view address, bool accepts = true);

  // Accepts connections at all addresses and from the control socket. Throws UNREACHABLE (the
  // server has ended), OUT_OF_MEMORY.
  void accept();

  // Serves a connected SEQPACKET socket as if it had been accepted. Takes ownership of the
  // descriptor, also on failure. Throws INVALID_ARGUMENT.
  void attach(int fd);

  // Sets the control socket of SIDECALL_FD: connections arrive over it, and when it hangs up the
  // server drains within `drain_ns`. Takes ownership of the descriptor. Without `accepts`,
  // connections wait until accept() is called.
  void control(int fd, int64_t drain_ns, bool accepts = true);

  // Connections from this process, which stop when the server ends. They are served as if they had
  // been accepted.
  Direct direct();

  // Returns counters and state as one JSON object (docs/serving.md).
  std::string status() const;

  // Stops accepting, answers the requests that were taken, and closes the connections. Returns true
  // if that was done before the deadline. Otherwise running handlers are interrupted and their
  // connections closed. Later calls wait for the end of the same drain; the earliest deadline of
  // all calls counts.
  bool drain(Deadline deadline);

  // Begins this drain for the connections of other processes only, without waiting. Those that
  // direct() makes go on until drain().
  void drain_others() noexcept;

  // A descriptor that becomes readable once the server has ended, by drain(), close() or the
  // hang-up of the control socket. The server owns it.
  int ended_fd() const noexcept;

  // Drains without waiting for requests in progress: interrupts their handlers, and waits until
  // they have returned. Cannot fail.
  void close() noexcept;

 private:
  std::shared_ptr<Control> control_;  // a Direct may hold it for a moment
  ForkMark mark_;
};

}  // namespace sidecall::shm
