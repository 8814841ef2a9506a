// Counts and keeps the bytes of answers; see answer_buffer.h.
#include "answer_buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/process/per_process.h"

namespace sidecall::net {
namespace {

constexpr uint64_t kFirstBytes = 4096;

// The memory of all answers of this process. A forked child begins at 0, because it never frees the
// answers of its parent.
struct AllAnswers {
  explicit AllAnswers(uint64_t created_in) : generation(created_in) {}
  const uint64_t generation;
  std::atomic<uint64_t> bytes{0};
};

bool is_within(uint64_t present, uint64_t bytes, uint64_t most) noexcept {
  return bytes <= most && present <= most - bytes;
}

// Adds to a count unless it would then exceed `most`. An answer for which there is no room must not
// count for a moment, because others would then find no room either.
bool add_within(std::atomic<uint64_t>* count, uint64_t bytes, uint64_t most) noexcept {
  uint64_t present = count->load(std::memory_order_relaxed);
  do {
    if (!is_within(present, bytes, most)) return false;
  } while (!count->compare_exchange_weak(present, present + bytes, std::memory_order_relaxed));
  return true;
}

}  // namespace

AnswerBuffer::AnswerBuffer(std::shared_ptr<AnswerShare> share, uint64_t most)
    : share_(std::move(share)), most_(std::min(most, kShareBytes)) {}

AnswerBuffer::~AnswerBuffer() {
  if (counted_ == 0) return;
  share_->bytes.fetch_sub(counted_, std::memory_order_relaxed);
  per_process<AllAnswers>().bytes.fetch_sub(counted_, std::memory_order_relaxed);
}

void AnswerBuffer::swap(AnswerBuffer& other) noexcept {
  share_.swap(other.share_);
  memory_.swap(other.memory_);
  std::swap(size_, other.size_);
  std::swap(capacity_, other.capacity_);
  std::swap(counted_, other.counted_);
  std::swap(most_, other.most_);
}

AnswerBuffer::Added AnswerBuffer::add(const char* data, size_t bytes) noexcept {
  if (bytes > most_ - size_) return Added::kTooLarge;
  if (size_ + bytes > capacity_) {
    const Added grown = grow(size_ + bytes);
    if (grown != Added::kDone) return grown;
  }
  if (bytes > 0) std::memcpy(memory_.get() + size_, data, bytes);
  size_ += bytes;
  return Added::kDone;
}

// The C library moves the pages of a large block instead of copying them, so both the old block and
// the new one are in memory only while they are small.
AnswerBuffer::Added AnswerBuffer::grow(uint64_t least) noexcept {
  const uint64_t capacity = std::min(std::max({least, 2 * capacity_, kFirstBytes}), most_);
  const uint64_t more = capacity > kUncountedBytes ? capacity - counted_ : 0;
  std::atomic<uint64_t>& all = per_process<AllAnswers>().bytes;
  // Looks at both counts before it adds to the first one.
  if (!is_within(all.load(std::memory_order_relaxed), more, kAllAnswerBytes) ||
      !add_within(&share_->bytes, more, kShareBytes))
    return Added::kNoRoom;
  const bool has_room = add_within(&all, more, kAllAnswerBytes);
  void* const memory = has_room ? std::realloc(memory_.get(), capacity) : nullptr;
  if (memory == nullptr) {
    share_->bytes.fetch_sub(more, std::memory_order_relaxed);
    if (has_room) all.fetch_sub(more, std::memory_order_relaxed);
    return has_room ? Added::kNoMemory : Added::kNoRoom;
  }
  static_cast<void>(memory_.release());
  memory_.reset(static_cast<char*>(memory));
  capacity_ = capacity;
  counted_ += more;
  return Added::kDone;
}

}  // namespace sidecall::net
