// The server's state of one slot of a connection: the checked copy of its table, copies of inputs,
// and the answer in progress. Used by ServerConnection; handlers see it as Request and Response.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "shm/common/layout.h"
#include "shm/common/segment.h"
#include "shm/common/table.h"
#include "shm/server/connections/memory_budget.h"
#include "shm/server/reporting/event_log.h"
#include "shm/server/server.h"

namespace sidecall::shm {

// An overflow buffer: private memory, aligned to cache lines.
class OverflowBuffer {
 public:
  void* resize(uint64_t bytes);  // keeps the present memory if it is large enough
  void* data() const noexcept { return memory_.get(); }
  void reset() noexcept { memory_.reset(), capacity_ = 0; }

 private:
  struct Free {
    void operator()(void* memory) const noexcept {
      ::operator delete(memory, std::align_val_t{kLine});
    }
  };
  std::unique_ptr<void, Free> memory_;
  uint64_t capacity_ = 0;
};

// The memory of a slot.
struct SlotMemory {
  const unsigned char* request;  // the client may write here at any time
  uint64_t request_bytes;
  unsigned char* response;
  uint64_t response_bytes;
  const Word* cancelled;
};

// The log for events of a slot's handler, and the user they are attributed to.
struct SlotLog {
  EventLog* log;
  uint32_t user;
};

// A file with an answer that does not fit the slot, and what was reserved for it.
struct OneShot {
  Reservation memory;  // given back after the file is closed
  Fd file;
};

class ServerSlot final : public Request, public Response {
 public:
  ServerSlot(const Service& service, uint64_t max_one_shot, const SlotMemory& memory,
             const SlotLog& log, MemoryBudget* budget);

  // ---- The engine thread calls these in this order ----

  // Copies and checks the table, or keeps the former copy if `same_layout`. Throws PROTOCOL.
  void begin(uint64_t sequence, bool same_layout, int64_t deadline_ns);

  // Copies the inputs that must not change while the handler reads them: strings, and inputs that
  // are not read in place. Returns the number of copied bytes. Throws PROTOCOL (strings),
  // OUT_OF_MEMORY.
  uint64_t copy_inputs();

  // Reserves memory for the session. Throws OUT_OF_MEMORY.
  void reserve_session(uint64_t bytes) { session_memory_.grow_to(bytes); }
  // Closes the session if it may keep more memory than is reserved.
  void close_dropped_session() noexcept;

  // Runs the handler. An exception that it throws becomes the answer.
  void handle(Session* session);

  // Completes the answer except for its sequence. If ONE_SHOT is set, the caller must send the file
  // before it publishes the sequence.
  void finish(ResponseFields* fields);
  OneShot take_one_shot() noexcept { return std::move(one_shot_); }

  std::unique_ptr<Session>& session() noexcept { return session_; }
  uint64_t held_bytes() const noexcept {
    return inputs_memory_.bytes() + session_memory_.bytes() + results_memory_.bytes();
  }
  uint64_t run_ns() const noexcept { return run_ns_; }
  bool is_cancelled() const noexcept {
    return memory_.cancelled->load(std::memory_order_acquire) >= sequence_;
  }

  // ---- The control thread, while the handler runs ----
  void stop(int32_t status) noexcept { stopped_.store(status, std::memory_order_release); }

  // ---- Request ----
  size_t num_inputs() const noexcept override { return inputs_.size(); }
  const InputView& input(size_t index) const noexcept override { return inputs_[index]; }
  bool is_same_layout() const noexcept override { return is_same_layout_; }
  int64_t deadline_ns() const noexcept override { return deadline_ns_; }
  int32_t stop_status() const noexcept override;
  void log(LogLevel level, const char* event, const std::string& facts) const override {
    log_.log->add(level, event, facts, log_.user);
  }

  // ---- Response ----
  void* place(size_t index, const int64_t* dims, uint32_t rank) override;
  void place_strings(size_t index, const int64_t* dims, uint32_t rank, const int64_t* offsets,
                     std::string_view bytes) override;
  void hold(size_t index, uint64_t bytes) override;
  void drop_session() noexcept override { is_dropped_ = true; }
  void fail(const Error& error) override { failure_ = error; }
  void set_run_ns(uint64_t nanoseconds) noexcept override { run_ns_ = nanoseconds; }

 private:
  struct Private {  // the private copy of one input
    OverflowBuffer data;
    std::vector<int64_t> offsets;
    std::string text;
    uint64_t most_bytes = 0, most_elements = 0;  // of any request so far
    // Of a string tensor: how much memory each of the engine's strings has allocated, and the sum.
    // A string keeps its memory, and when it grows it takes at least twice as much as before.
    std::vector<int64_t> capacities;
    uint64_t capacity = 0;
  };

  bool is_in_place(size_t input) const noexcept {
    return input < service_.in_place.size() && service_.in_place[input];
  }
  void note_capacities(size_t input);
  void reserve_inputs();
  uint64_t copied_bytes(size_t input) const noexcept;
  void show_inputs();
  void* reserve(size_t index, const int64_t* dims, uint32_t rank, bool is_string,
                uint64_t text_bytes);
  Tensor shape(size_t index, const int64_t* dims, uint32_t rank, bool is_string,
               uint64_t text_bytes) const;
  void finish_in_slot(ResponseFields* fields) noexcept;
  void finish_one_shot(ResponseFields* fields);
  void write_faults(ResponseFields* fields) noexcept;
  void finish_failed(ResponseFields* fields) noexcept;

  const Service& service_;
  const uint64_t max_one_shot_;
  const SlotMemory memory_;
  const SlotLog log_;

  // Memory that is counted in the server's budget. These members are declared before those that own
  // the memory. They are therefore destroyed later, and the memory is freed before the budget gets
  // the bytes back.
  Reservation inputs_memory_, session_memory_, results_memory_, overflow_memory_;
  std::unique_ptr<Session> session_;

  // State of the request.
  uint64_t sequence_ = 0;
  int64_t deadline_ns_ = -1;
  std::atomic<int32_t> stopped_{0};
  std::vector<Tensor> tensors_;  // the table in the request slot; valid if has_table_
  std::vector<InputView> inputs_;
  std::vector<Private> private_;
  bool has_table_ = false;
  bool is_resized_ = false;    // the engine must make new strings for an input of this request
  bool is_new_layout_ = true;  // the layout has changed since the session's last success
  bool is_same_layout_ = false;

  // State of the answer.
  std::vector<Tensor> outputs_;  // the table in the response slot; valid if has_answer_table_
  std::vector<char> is_placed_;
  std::vector<OverflowBuffer> overflow_;  // by output; an empty list while all outputs fit the slot
  std::vector<uint64_t> held_;            // by index: the most that hold() was called with
  bool is_dropped_ = false;               // the session is to be closed
  uint64_t next_offset_ = 0;
  uint64_t overflow_bytes_ = 0;
  bool has_answer_table_ = false;
  bool is_changed_ = false;
  bool is_one_shot_ = false;
  OneShot one_shot_;
  std::optional<Error> failure_;
  uint64_t run_ns_ = 0;
};

}  // namespace sidecall::shm
