// Collects latencies in bounded memory, in buckets whose width is about a hundredth of their value;
// used for the quantiles and bars of `sidecall bench`.
#pragma once

#include <cstdint>
#include <vector>

namespace sidecall::cli {

class Histogram {
 public:
  Histogram();

  void add(int64_t ns);

  int64_t count() const { return count_; }
  int64_t min() const { return count_ > 0 ? min_ : 0; }
  int64_t max() const { return max_; }
  double mean() const { return count_ > 0 ? sum_ / static_cast<double>(count_) : 0; }

  // The smallest time such that at least this share of the calls took that time or less.
  double quantile(double share) const;

  // The bars of the histogram: ten for each decade, from the first to the last one that has calls.
  struct Bar {
    double from_ns;
    double to_ns;
    int64_t calls;
  };
  std::vector<Bar> bars() const;

 private:
  std::vector<int64_t> buckets_;
  int64_t count_ = 0;
  int64_t min_ = INT64_MAX;
  int64_t max_ = 0;
  double sum_ = 0;
};

}  // namespace sidecall::cli
