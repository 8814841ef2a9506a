// How long the runs of a model take in this process, by the size of their inputs.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace sidecall {

// Any thread may use it. The numbers are only hints, so an update that is lost does not matter.
class RunTimes {
 public:
  // `size`: elements of all inputs. Sizes between two powers of two share an estimate.
  void note(int64_t size, int64_t ns) noexcept {
    Estimate& estimate = estimates_[index_of(size)];
    const int64_t before = estimate.load(std::memory_order_relaxed);
    int64_t after = 0;
    if (before == INT64_MAX) after = ns;
    else if (ns <= before) after = before - (before - ns) / 8;
    // A very long run raises the estimate at once; other outliers are mostly noise.
    else after = ns >= kLongNs ? ns : std::min(ns, before * 4);
    estimate.store(std::max<int64_t>(after, 1), std::memory_order_relaxed);
  }

  // The same for a run that failed. If it was ended early, it would have taken longer. If it failed
  // at once, its time says nothing.
  void note_failed(int64_t size, int64_t ns) noexcept {
    if (ns > expected(size)) note(size, ns);
  }

  // INT64_MAX if no run of about this size was noted.
  int64_t expected(int64_t size) const noexcept {
    return estimates_[index_of(size)].load(std::memory_order_relaxed);
  }

 private:
  static constexpr int64_t kLongNs = 2'000'000;
  static constexpr size_t kNumSizes = 32;

  static size_t index_of(int64_t size) noexcept {
    size_t index = 0;
    for (; size > 1 && index < kNumSizes - 1; size /= 2) ++index;
    return index;
  }
  struct Estimate : std::atomic<int64_t> {
    Estimate() : std::atomic<int64_t>(INT64_MAX) {}
  };
  std::array<Estimate, kNumSizes> estimates_;
};

}  // namespace sidecall
