// Limits the memory that clients make a server hold: the slots of connections, private copies of
// inputs, answers that exceed their slots, and the state that the engine keeps for each slot.
// Several worker processes behind one address share one limit. The file in which they count also
// tells their supervisor what their threads do (activity.h).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <utility>

#include "activity.h"
#include "shm/common/error.h"
#include "shm/common/segment.h"
#include "shm/common/socket.h"

namespace sidecall::shm {

// The bytes that one process holds, in all and for each user. Users whose ids are equal modulo
// kShares share one number. The counts lie in a memory file that all workers map, or in private
// memory.
struct MemoryCounts {
  static constexpr size_t kShares = 255;
  std::atomic<uint64_t> all;
  std::array<std::atomic<uint64_t>, kShares> of_user;
};
static_assert(sizeof(MemoryCounts) == 2048 && std::atomic<uint64_t>::is_always_lock_free,
              "a memory file holds an array of these");

// How many worker processes can share a limit.
constexpr uint32_t kMaxMemoryRows = 256;

// The contents of the memory file: a row and an activity for each worker. Only the first `num_rows`
// were ever used.
struct MemoryTable {
  std::atomic<uint32_t> num_rows;
  unsigned char unused[sizeof(MemoryCounts) - sizeof(std::atomic<uint32_t>)];
  std::array<MemoryCounts, kMaxMemoryRows> rows;
  std::array<Activity, kMaxMemoryRows> activities;
};
static_assert(sizeof(MemoryTable) ==
                  (kMaxMemoryRows + 1) * sizeof(MemoryCounts) + kMaxMemoryRows * sizeof(Activity),
              "PROTOCOL.md");

// All functions may be called from any thread, except join().
class MemoryBudget {
 public:
  // No user may hold more than `user_limit` of the `limit` bytes.
  MemoryBudget(uint64_t limit, uint64_t user_limit);

  // Counts in row `row` of a memory file from now on, together with the processes that count in the
  // other rows, and keeps `life` open (see MemoryRows::Row). Call it before the first take().
  // Throws PROTOCOL (the file has another form), OUT_OF_MEMORY.
  void join(const Fd& file, Fd life, uint32_t row);

  // Adds to the bytes held for a user. Throws OUT_OF_MEMORY, and then nothing has changed.
  void take(uint32_t user, uint64_t bytes);
  void give_back(uint32_t user, uint64_t bytes) noexcept;

  uint64_t held_here() const noexcept;  // by this process
  uint64_t held() const noexcept;       // by all processes
  bool is_shared() const noexcept { return table_ != nullptr; }
  // The activity of the threads of this process. Its supervisor sees it after join().
  Activity& activity() noexcept { return *activity_.load(std::memory_order_acquire); }
  const Activity& activity() const noexcept { return *activity_.load(std::memory_order_acquire); }

 private:
  // Throws if `bytes` more would exceed a limit.
  void check(size_t share, uint64_t bytes) const;

  const uint64_t limit_, user_limit_;
  MemoryCounts own_{};  // the only row, unless the process has joined others
  std::atomic<MemoryCounts*> here_{&own_};
  Activity own_activity_{};
  std::atomic<Activity*> activity_{&own_activity_};
  const MemoryTable* table_ = nullptr;  // not nullptr once the process has joined others
  Mapping mapping_;
  Fd life_;
};

// The rows of several processes, as their supervisor sees them. Used by one thread at a time.
class MemoryRows {
 public:
  MemoryRows();  // throws OUT_OF_MEMORY

  // What a worker gets: its row, and the end of a pipe that it keeps open for as long as it lives.
  struct Row {
    uint32_t number;
    Fd life;
    int ended_fd;  // hangs up when the worker has ended, even by a signal; call clear_ended() then
  };
  // Throws OUT_OF_MEMORY, also if all rows are in use.
  Row assign();
  // Clears and frees the rows of workers that have ended.
  void clear_ended() noexcept;
  int file() const noexcept { return file_.get(); }
  const Activity& activity(uint32_t row) const noexcept;

 private:
  Fd file_;
  Mapping mapping_;
  std::array<Fd, kMaxMemoryRows> lives_;  // our ends of the pipes; closed where a row is free
};

// The bytes that one holder of memory has taken from a budget. Gives them back when it is
// destroyed. Used by one thread at a time, except bytes().
class Reservation {
 public:
  Reservation() = default;
  Reservation(MemoryBudget* budget, uint32_t user) noexcept : budget_(budget), user_(user) {}
  Reservation(Reservation&& other) noexcept { *this = std::move(other); }
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation() { shrink_to(0); }

  // Takes bytes from the budget until this holds `bytes`. Does nothing if it already holds as many
  // or more. Throws OUT_OF_MEMORY.
  void grow_to(uint64_t bytes);
  void grow_by(uint64_t bytes) { grow_to(this->bytes() + bytes); }
  void shrink_to(uint64_t bytes) noexcept;
  // Takes over what `other` holds, for the same user of the same budget.
  void absorb(Reservation other) noexcept;
  uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }

 private:
  MemoryBudget* budget_ = nullptr;
  uint32_t user_ = 0;
  std::atomic<uint64_t> bytes_{0};
};

}  // namespace sidecall::shm
