// A histogram with HdrHistogram's buckets for 1 ns to 60 s at three significant digits, in the
// layout of its C and Java libraries. Used by measure.cpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace bench {

class Histogram {
 public:
  void record(int64_t ns) {
    max_ = std::max(max_, ns);
    ++counts_[index_of(std::clamp<int64_t>(ns, 1, kLargest))];
    ++total_;
  }

  void add(const Histogram& other) {
    for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    total_ += other.total_;
    max_ = std::max(max_, other.max_);
  }

  int64_t total() const { return total_; }
  int64_t max() const { return max_; }  // the exact value, not that of its bucket

  // The largest value of the bucket that holds the percentile; 0 if nothing was recorded.
  int64_t percentile(double percent) const {
    const int64_t wanted = std::max<int64_t>(
        1, static_cast<int64_t>(percent / 100 * static_cast<double>(total_) + 0.5));
    int64_t seen = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= wanted) return std::min(top_of(i), max_);
    }
    return 0;
  }

 private:
  // The first bucket has 2 048 counters for 1 ns each, which gives three digits. Each further
  // bucket has 1 024 counters, each twice as wide as those of the bucket before it.
  static constexpr int kHalfBits = 10;
  static constexpr int64_t kHalf = 1 << kHalfBits;
  static constexpr int64_t kMask = 2 * kHalf - 1;
  static constexpr int64_t kLargest = 60'000'000'000;
  static constexpr int kBuckets = 26;  // 2 048 << 25 is the first power of two beyond 60 s
  static_assert((2 * kHalf << (kBuckets - 1)) > kLargest, "the last bucket holds 60 s");

  static size_t index_of(int64_t value) {
    const int bucket = 63 - __builtin_clzll(static_cast<uint64_t>(value | kMask)) - kHalfBits;
    return static_cast<size_t>(bucket * kHalf + (value >> bucket));
  }

  static int64_t top_of(size_t index) {
    const int64_t place = static_cast<int64_t>(index);
    const int bucket = static_cast<int>(std::max<int64_t>(0, (place >> kHalfBits) - 1));
    return ((place - bucket * kHalf + 1) << bucket) - 1;
  }

  std::vector<int64_t> counts_ = std::vector<int64_t>((kBuckets + 1) * kHalf);
  int64_t total_ = 0;
  int64_t max_ = 0;
};

}  // namespace bench
