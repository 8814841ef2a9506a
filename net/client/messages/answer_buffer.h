// The body of an answer: stores bytes as they arrive, and counts the memory that the answers of all
// servers take in this process.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

namespace sidecall::net {

// The memory of all answers of one model. It is limited to a share of the memory for the answers of
// all models (answer_buffer.cpp), so that the servers of one model cannot use up that of the
// others.
struct AnswerShare {
  std::atomic<uint64_t> bytes{0};
};

// docs/network.md and net/PROTOCOL.md quote these limits.
inline constexpr uint64_t kAllAnswerBytes = UINT64_C(2) << 30;
inline constexpr uint64_t kShareBytes = UINT64_C(1) << 30;
// A smaller answer does not count, so that models can be opened and errors arrive at any time.
inline constexpr uint64_t kUncountedBytes = UINT64_C(64) << 10;

class AnswerBuffer {
 public:
  AnswerBuffer() = default;
  // `most`: how many bytes this answer may have.
  AnswerBuffer(std::shared_ptr<AnswerShare> share, uint64_t most);
  AnswerBuffer(AnswerBuffer&& other) noexcept { swap(other); }
  AnswerBuffer& operator=(AnswerBuffer&& other) noexcept {
    AnswerBuffer taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~AnswerBuffer();

  enum class Added {
    kDone,
    kTooLarge,  // more than this answer may have
    kNoRoom,    // more than all answers may have together
    kNoMemory,
  };
  Added add(const char* data, size_t bytes) noexcept;

  std::string_view view() const noexcept { return {memory_.get(), size_}; }
  char* data() noexcept { return memory_.get(); }
  uint64_t most() const noexcept { return most_; }

 private:
  struct Free {
    void operator()(char* memory) const noexcept { std::free(memory); }
  };
  void swap(AnswerBuffer& other) noexcept;
  Added grow(uint64_t least) noexcept;

  std::shared_ptr<AnswerShare> share_;
  std::unique_ptr<char, Free> memory_;
  size_t size_ = 0;
  uint64_t capacity_ = 0;
  uint64_t counted_ = 0;  // the part of capacity_ that the limits count
  uint64_t most_ = 0;
};

}  // namespace sidecall::net
