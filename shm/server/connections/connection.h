// One client as the server sees it: socket, memory, ring, slots. Used by one engine thread; created
// and freed by the control thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "memory_budget.h"
#include "shm/common/layout.h"
#include "shm/common/segment.h"
#include "shm/common/socket.h"
#include "shm/server/accepting/admission.h"
#include "shm/server/reporting/event_log.h"
#include "shm/server/reporting/status.h"
#include "shm/server/server.h"
#include "shm/server/slots/slot.h"
#include "shm/server/threads/clock.h"

namespace sidecall::shm {

// Tells the control thread what an engine thread is running, so that it can ask handlers to stop.
// It works as a lock that the engine thread almost never waits for: the control thread holds it
// only for some instructions, every few milliseconds.
class RunWatch {
 public:
  // Called by the engine thread before and after a handler runs. Partner: hold().
  void enter(ServerSlot* slot, Session* session, int64_t began_ns) noexcept;
  void leave() noexcept;

  // Called by the control thread. Returns true if a handler runs; leave() then waits for release().
  bool hold() noexcept;
  void release() noexcept { state_.store(kRunning, std::memory_order_release); }

  // Only between hold() and release().
  void interrupt(int32_t status) noexcept;  // may be repeated; only the first status is used
  int32_t stop_status() const noexcept { return slot_->stop_status(); }
  int64_t began_ns() const noexcept { return began_ns_; }  // when the request was taken

  bool is_running() const noexcept { return state_.load(std::memory_order_relaxed) != kIdle; }

 private:
  enum : uint32_t { kIdle, kRunning, kHeld };
  std::atomic<uint32_t> state_{kIdle};
  ServerSlot* slot_ = nullptr;
  Session* session_ = nullptr;
  int64_t began_ns_ = 0;
  bool is_interrupted_ = false;
};

// Checks the fields of a request entry, without looking at the rest of the request. Throws
// PROTOCOL.
void check_request(const RequestFields& fields, uint32_t slots);

// What a connection uses of its server.
struct ServerContext {
  const Service* service;
  Handler* handler;
  const ServerOptions* options;
  EventLog* log;
  MemoryBudget* memory;
};

// Larger memory is created and freed on a TaskThread, so that other connections do not wait for it.
constexpr uint64_t kLargeMemory = UINT64_C(1) << 20;

// Why a connection ended.
enum class Ending { kGone, kViolation, kFailed, kDrained };

class ServerConnection {
 public:
  // Creates the memory. `fd` is the socket that is later passed to welcome(). `memory` is the
  // reservation of everything that Drafts::memory_of() counts. Throws OUT_OF_MEMORY.
  ServerConnection(uint64_t id, int fd, const PeerCredentials& peer, const Grant& grant,
                   const ServerContext& context, Reservation memory);

  // ---- The control thread, before the connection is given to an engine thread ----

  // Sends WELCOME with the memory files and `process` (a pidfd of our own process, or -1), and
  // closes the files. Returns false if the client is gone.
  bool welcome(Socket socket, Welcome message, int process);

  uint64_t id() const noexcept { return id_; }
  int fd() const noexcept { return socket_.fd(); }
  int pidfd() const noexcept { return pidfd_.get(); }
  const PeerCredentials& peer() const noexcept { return peer_; }
  uint64_t bytes() const noexcept { return request_.memory.bytes() + response_.memory.bytes(); }
  // Any thread. has_one_shots(): the client may not have received the files of some answers yet.
  // reclaim_one_shots() gives the memory of these files back to the budget if the client has
  // received all of them.
  bool has_one_shots() const noexcept { return one_shots_.bytes() > 0; }
  void reclaim_one_shots() noexcept;

  // ---- Any thread, while the connection lives ----

  uint64_t taken() const noexcept { return response_head().mark.load(std::memory_order_relaxed); }
  uint64_t count_queued() const noexcept;  // requests that are published and not yet taken
  void hang_up() noexcept;                 // the client sees the hang-up at once; the memory stays
  // Tells the client that its request, which is being executed, exceeds the limit. Only while
  // RunWatch is held.
  void mark_overrun() noexcept;
  // Only after the connection was retired. If true, freeing the connection may take long, because
  // the handler's sessions are closed with it.
  bool has_sessions() const noexcept;
  // Only after the connection was retired: everything that is reserved for it.
  uint64_t held_bytes() const noexcept;

  // ---- Its engine thread ----

  // Whether the sequence of the next request's entry has changed. If so, call serve().
  bool has_request() const noexcept {
    return awaited_->sequence.load(std::memory_order_acquire) != unchanged_;
  }

  // Takes one request and answers it. Returns false if the client is gone. Throws PROTOCOL for a
  // violation.
  bool serve(RunWatch* watch, EngineCounters* counters, QuickClock* clock);

  // Announces that the server sleeps. Returns false if a request has arrived meanwhile.
  bool park() noexcept;

  // Reads the messages that made the socket readable.
  enum class SocketEvent { kWakeUp, kEnd, kViolation };
  SocketEvent listen() noexcept;

  bool is_direct = false;  // from this process: see Server::drain_others()

  int64_t last_ns = 0;     // when its last request was answered, or when it was activated
  uint32_t peer_cpu = 0;   // from its last request
  bool is_active = false;  // active: the engine thread polls it and has not announced sleep to it

  // ---- Members for the lists of its owners: with them, handing it over needs no memory ----

  // Guarded by orders_mutex_ of the engine thread.
  ServerConnection* next_ordered = nullptr;
  bool is_listed = false, is_retired = false, is_add_ordered = false, is_drop_ordered = false;

  // Set by the engine thread before it retires the connection.
  void set_end(Ending why, const char* text) noexcept;
  Ending ending = Ending::kGone;
  char end_text[256] = "";  // a longer text is cut
  ServerConnection* next_retired = nullptr;

 private:
  struct Taken {
    uint64_t sequence;
    RequestFields fields;
    int64_t seen_ns;
  };

  const Head& request_head() const noexcept {
    return *reinterpret_cast<const Head*>(request_.memory.data());
  }
  Head& response_head() const noexcept { return *reinterpret_cast<Head*>(response_.memory.data()); }
  const RequestEntry& request_entry(uint64_t sequence) const noexcept;
  ResponseEntry& response_entry(uint64_t sequence) const noexcept;

  Taken take(QuickClock* clock);
  void run(ServerSlot* state, RunWatch* watch, int64_t seen_ns, uint64_t timeout_ns);
  void handle(ServerSlot* state, RunWatch* watch, int64_t seen_ns);
  bool open_session(ServerSlot* state);
  bool send_one_shot(uint64_t sequence, uint64_t bytes, OneShot answer);
  void check_slot_is_free(uint64_t answered, uint32_t slot) const;
  bool publish(uint64_t sequence, const ResponseFields& fields) noexcept;
  ServerSlot& slot(uint32_t index);

  Reservation memory_;  // declared before the segments, so that it is destroyed after them
  const uint64_t id_;
  const ServerContext& context_;
  Socket socket_;
  const PeerCredentials peer_;
  Fd pidfd_;
  Segment request_, response_;
  const uint32_t slots_;
  const uint64_t request_bytes_, response_bytes_;  // of one slot
  const bool always_ring_;

  uint64_t next_ = 1;
  const RequestEntry* awaited_;
  uint64_t unchanged_ = 0;   // the awaited entry's sequence before request `next_` comes
  uint64_t sleeping_ = 0;    // our sleeping word, as last written
  uint64_t rung_ = 0;        // the client's sleeping word when we last sent it a ring
  uint32_t idle_rings_ = 0;  // rings received since the last request
  std::mutex one_shots_mutex_;
  Reservation one_shots_;  // for answers that were sent and perhaps not received yet
  std::vector<std::unique_ptr<ServerSlot>> slot_states_;
};

}  // namespace sidecall::shm
