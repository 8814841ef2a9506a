// Serves one model over the channel: what a handler implements, what it is given, and the server. Used by bindings/c, which
// puts a model or a C callback behind Handler, and by tests/shm. PROTOCOL.md is the other side's view.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "shm/common/error.h"
#include "shm/common/fork.h"
#include "shm/common/socket.h"
#include "shm/common/table.h"

namespace sidecall::shm {

// What is served. Immutable once a Server has it.
struct Service {
  std::string name, version;  // of the model, for status only
  std::string signature;      // the signature part of the manifest, see PROTOCOL.md
  std::string contract;       // the contract part; "" without one
  std::array<uint8_t, 32> signature_digest{};
  std::string model_id;  // 64 hexadecimal digits, or ""
  bool is_verified = false;
  std::vector<TensorSpec> inputs, outputs;

  // By input: whether a handler may be given memory that the client can change under its hands. Those that are false, or beyond the
  // end of the list, are copied before the handler sees them, and the bytes of a bool are then 0 or 1. Strings always are.
  std::vector<bool> in_place;
};

// ---- The log ----

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Takes one event: a word ("connection.opened", "connection.violation", "server.drained") and its
// facts as a JSON object. Called by any thread of the server, several at once, so it must not
// block, nor throw. False when it dropped the event. The channel prints nothing itself.
using LogFunction =
    std::function<bool(LogLevel level, const char* event, const std::string& facts)>;

// ---- What a handler sees of one request ----

// An input as checked: dtype is the signature's, and dims fit it. Whether inputs fit each other is for the handler.
struct InputView {
  int32_t dtype = 0;
  uint32_t rank = 0;
  const int64_t* dims = nullptr;
  int64_t elements = 0;
  const void* data =
      nullptr;  // 64-aligned, C order; of a string tensor its text, checked to be UTF-8 without NUL
  uint64_t bytes = 0;
  const int64_t* offsets =
      nullptr;  // of a string tensor elements + 1, from 0, never falling, the last is `bytes`; otherwise nullptr
};

// Lives during Session::handle. Memory that views show may be in place (Service::in_place) but lies in read-only pages.
class Request {
 public:
  virtual ~Request() = default;
  virtual size_t num_inputs() const noexcept = 0;
  virtual const InputView& input(size_t index) const noexcept = 0;

  // Dims and addresses of all inputs without strings are those of the last request that this session answered with success, so what
  // it has bound can stay bound. Addresses and contents of strings always change.
  virtual bool is_same_layout() const noexcept = 0;

  // When the client gives up, in nanoseconds of CLOCK_MONOTONIC; -1 where it never does.
  virtual int64_t deadline_ns() const noexcept = 0;

  // Why the client no longer waits for the answer: TIMEOUT, CANCELLED, PEER_DIED, or UNREACHABLE (a drain ran out of time); 0 while
  // it waits. May be asked from any thread during handle().
  virtual int32_t stop_status() const noexcept = 0;
  bool is_wanted() const noexcept { return stop_status() == 0; }

  // Adds an event to the server's log on behalf of the user whose request this is, limited as the
  // server's own events are (event_log.h).
  virtual void log(LogLevel level, const char* event, const std::string& facts) const = 0;
};

// The answer. Every output must be placed before handle() returns, or fail() be called.
class Response {
 public:
  virtual ~Response() = default;

  // Memory for output `index` of this request: 64-aligned, sized for dtype and dims, contents unspecified; once per output and
  // request. The same sequence of (index, dims) gives the same addresses, request after request of a session, as long as all
  // fits the response slot; what does not fit is kept aside and sent as a one-shot result. Not for strings. Throws INTERNAL (a
  // shape that the signature does not allow, an output placed twice), OUT_OF_MEMORY.
  virtual void* place(size_t index, const int64_t* dims, uint32_t rank) = 0;

  // A string tensor, copied; any bytes. `offsets` has elements + 1 values from 0, never falling, the last at most bytes.size().
  // Throws as place().
  virtual void place_strings(size_t index, const int64_t* dims, uint32_t rank,
                             const int64_t* offsets, std::string_view bytes) = 0;

  // Answers with this error instead; what was placed is forgotten.
  virtual void fail(const Error& error) = 0;

  // What the client is told that the model took. Without it the time of handle() counts.
  virtual void set_run_ns(uint64_t nanoseconds) noexcept = 0;
};

// One slot of one connection. Keeps what it likes from request to request (a binding). handle() is always called by the same
// thread, one request at a time; the destructor by another, which nothing else waits for.
class Session {
 public:
  virtual ~Session() = default;

  // Throwing Error, std::bad_alloc or another std::exception answers with that error, OUT_OF_MEMORY or INTERNAL.
  virtual void handle(const Request& request, Response& response) = 0;

  // The client no longer waits for the request under way. handle() should end soon, by an Error with request.stop_status(). Called from
  // another thread, within milliseconds of the cause, and every few milliseconds until handle() has returned, so a handler may miss one.
  // Must not block.
  virtual void interrupt() noexcept {}
};

class Handler {
 public:
  virtual ~Handler() = default;

  // Called by engine threads, from several at once, when the first request of a slot has come. What it throws fails that request.
  virtual std::unique_ptr<Session> open_session() = 0;
};

// ---- The server ----

struct ServerOptions {
  uint32_t threads = 1;  // that call the handler
  int32_t spin_us =
      -1;  // how long they poll before they sleep: -1 adapts, 0 never; SIDECALL_SPIN_US wins
  std::vector<uint32_t> allowed_uids;
  int64_t group =
      -1;  // members whose primary group it is are admitted, and the socket's folder and file are opened to it
  uint32_t max_connections = 1024;
  uint32_t max_connections_per_user = 512;
  uint32_t max_half_open = 64;  // connections without HELLO
  uint32_t max_slots = 64;
  uint64_t max_request_bytes = UINT64_C(256) << 20;   // of one slot
  uint64_t max_response_bytes = UINT64_C(256) << 20;  // of one slot
  uint64_t max_memory = UINT64_C(4) << 30;            // of all connections
  uint64_t max_one_shot = UINT64_C(2) << 30;
  int64_t hello_ns = INT64_C(2000000000);  // how long a connection may take to say HELLO
  LogFunction log;                         // or none
};

class Control;

// All functions may be called from any thread. A forked child must not use it, but may destroy it.
class Server {
 public:
  // `handler` must outlive the server. Throws INVALID_ARGUMENT, OUT_OF_MEMORY.
  Server(Service service, Handler* handler, ServerOptions options);
  ~Server();  // close()
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Binds and listens; `address` is what follows "shm:", a NAME or a path. Throws BUSY (a living server is there), DENIED,
  // INVALID_ARGUMENT, UNREACHABLE (the folder cannot be used, or the server has ended).
  void listen(std::string_view address);

  // Serves a connected SEQPACKET socket as if it had been accepted; takes the descriptor over, also on failure. Throws INVALID_ARGUMENT.
  void attach(int fd);

  // The control socket of SIDECALL_FD: connections come over it, and its hang-up drains with `drain_ns` to spare. Takes the
  // descriptor over.
  void control(int fd, int64_t drain_ns);

  // Counters and state as one JSON object (docs/serving.md).
  std::string status() const;

  // Stops accepting, answers what was taken, closes. True when that was done before the deadline; what runs then is interrupted
  // and its connections are closed. Later calls wait for the same end.
  bool drain(Deadline deadline);

  // A descriptor that is readable once the server has ended, by drain(), close() or the control socket's hang-up. Belongs to the server.
  int ended_fd() const noexcept;

  // Drains without time to spare. Waits for handlers to return. Cannot fail.
  void close() noexcept;

 private:
  std::unique_ptr<Control> control_;
  ForkMark mark_;
};

}  // namespace sidecall::shm
