// Counts the bytes of clients, alone or in a file that several processes map; see memory_budget.h.
#include "memory_budget.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

namespace sidecall::shm {

namespace {

constexpr uint64_t kFileBytes = sizeof(MemoryTable);

MemoryTable* table_of(const Mapping& mapping) noexcept {
  return reinterpret_cast<MemoryTable*>(mapping.data());
}

// The sum of one number over the rows of a table. If a worker's program closes the pipe by mistake,
// the supervisor clears the worker's row. The worker then subtracts bytes that the row no longer
// holds, so the number can become negative. A negative number counts as 0.
template <typename Number>
uint64_t sum(const MemoryTable& table, Number number) noexcept {
  const uint32_t count = std::min(table.num_rows.load(std::memory_order_acquire), kMaxMemoryRows);
  uint64_t total = 0;
  for (uint32_t row = 0; row < count; ++row) {
    const uint64_t bytes = number(table.rows[row]).load(std::memory_order_seq_cst);
    total += bytes < UINT64_C(1) << 62 ? bytes : 0;
  }
  return total;
}

}  // namespace

// ---- The budget of one process ----

MemoryBudget::MemoryBudget(uint64_t limit, uint64_t user_limit)
    : limit_(limit), user_limit_(std::min(limit, user_limit)) {}

void MemoryBudget::join(const Fd& file, Fd life, uint32_t row) {
  struct stat found{};
  if (row >= kMaxMemoryRows || fstat(file.get(), &found) != 0 ||
      found.st_size != static_cast<off_t>(kFileBytes))
    violation("expected the memory file of a supervisor, got another descriptor");
  mapping_ = Mapping::of(file.get(), kFileBytes, true);
  life_ = std::move(life);
  table_ = table_of(mapping_);
  here_.store(&table_of(mapping_)->rows[row], std::memory_order_release);
  activity_.store(&table_of(mapping_)->activities[row], std::memory_order_release);
}

// Checks before it adds, so that a request that cannot fit disturbs no other one. Then it adds and
// checks again, because other threads and processes may have added meanwhile: of two that take the
// last bytes at the same time, both may be refused, but never do both succeed.
void MemoryBudget::take(uint32_t user, uint64_t bytes) {
  if (bytes == 0) return;
  const size_t share = user % MemoryCounts::kShares;
  check(share, bytes);
  MemoryCounts* const here = here_.load(std::memory_order_acquire);
  here->all.fetch_add(bytes, std::memory_order_seq_cst);
  here->of_user[share].fetch_add(bytes, std::memory_order_seq_cst);
  try {
    check(share, 0);
  } catch (...) {
    give_back(user, bytes);
    throw;
  }
}

void MemoryBudget::give_back(uint32_t user, uint64_t bytes) noexcept {
  MemoryCounts* const here = here_.load(std::memory_order_acquire);
  here->of_user[user % MemoryCounts::kShares].fetch_sub(bytes, std::memory_order_seq_cst);
  here->all.fetch_sub(bytes, std::memory_order_seq_cst);
}

void MemoryBudget::check(size_t share, uint64_t bytes) const {
  uint64_t all = own_.all.load(std::memory_order_seq_cst);
  uint64_t of_user = own_.of_user[share].load(std::memory_order_seq_cst);
  if (table_ != nullptr) {
    all = sum(*table_, [](const MemoryCounts& row) -> auto& { return row.all; });
    of_user =
        sum(*table_, [share](const MemoryCounts& row) -> auto& { return row.of_user[share]; });
  }
  // Check the user's share first: then a client learns that its own user holds too much.
  if (user_limit_ < limit_ && (of_user > user_limit_ || bytes > user_limit_ - of_user)) {
    throw Error(SIDECALL_OUT_OF_MEMORY, "max_memory_per_user_bytes: expected at most " +
                                            std::to_string(user_limit_) +
                                            " bytes for the clients of one user, got more");
  }
  if (all > limit_ || bytes > limit_ - all) {
    throw Error(SIDECALL_OUT_OF_MEMORY, "max_memory_bytes: expected at most " +
                                            std::to_string(limit_) +
                                            " bytes for all clients together, got more");
  }
}

uint64_t MemoryBudget::held_here() const noexcept {
  return here_.load(std::memory_order_acquire)->all.load(std::memory_order_relaxed);
}

uint64_t MemoryBudget::held() const noexcept {
  return table_ == nullptr ? held_here()
                           : sum(*table_, [](const MemoryCounts& row) -> auto& { return row.all; });
}

// ---- The rows of all workers ----

MemoryRows::MemoryRows() {
  Segment segment = make_file(kFileBytes);
  if (fcntl(segment.file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    system_failure(SIDECALL_OUT_OF_MEMORY, "cannot seal a memory file", errno);
  file_ = std::move(segment.file);
  mapping_ = std::move(segment.memory);
}

MemoryRows::Row MemoryRows::assign() {
  clear_ended();
  const auto free =
      std::find_if(lives_.begin(), lives_.end(), [](const Fd& life) { return !life; });
  if (free == lives_.end())
    throw Error(
        SIDECALL_OUT_OF_MEMORY,
        "workers: expected at most " + std::to_string(kMaxMemoryRows) + " processes, got one more");
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    system_failure(SIDECALL_OUT_OF_MEMORY, "cannot create a pipe", errno);
  free->reset(ends[0]);
  const auto row = static_cast<uint32_t>(free - lives_.begin());
  MemoryTable* const table = table_of(mapping_);
  table->num_rows.store(std::max(table->num_rows.load(std::memory_order_relaxed), row + 1),
                        std::memory_order_release);
  return {row, Fd(ends[1]), ends[0]};
}

void MemoryRows::clear_ended() noexcept {
  for (uint32_t row = 0; row < kMaxMemoryRows; ++row) {
    pollfd end{lives_[row].get(), 0, 0};
    if (!lives_[row] || poll(&end, 1, 0) <= 0) continue;
    MemoryCounts& counts = table_of(mapping_)->rows[row];
    counts.all.store(0, std::memory_order_relaxed);
    for (auto& bytes : counts.of_user) bytes.store(0, std::memory_order_relaxed);
    table_of(mapping_)->activities[row].clear();
    lives_[row].reset();
  }
}

const Activity& MemoryRows::activity(uint32_t row) const noexcept {
  return table_of(mapping_)->activities[row];
}

// ---- Reservations ----

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this == &other) return *this;
  shrink_to(0);
  budget_ = other.budget_;
  user_ = other.user_;
  bytes_.store(other.bytes_.exchange(0, std::memory_order_relaxed), std::memory_order_relaxed);
  return *this;
}

void Reservation::grow_to(uint64_t bytes) {
  const uint64_t present = this->bytes();
  if (bytes <= present) return;
  budget_->take(user_, bytes - present);
  bytes_.store(bytes, std::memory_order_relaxed);
}

void Reservation::shrink_to(uint64_t bytes) noexcept {
  const uint64_t present = this->bytes();
  if (bytes >= present) return;
  bytes_.store(bytes, std::memory_order_relaxed);
  budget_->give_back(user_, present - bytes);
}

void Reservation::absorb(Reservation other) noexcept {
  const uint64_t bytes = other.bytes_.exchange(0, std::memory_order_relaxed);
  bytes_.store(this->bytes() + bytes, std::memory_order_relaxed);
}

}  // namespace sidecall::shm
