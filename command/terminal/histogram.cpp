// A histogram with 64 buckets for each power of two; see histogram.hpp.
#include "histogram.hpp"

#include <algorithm>
#include <cmath>

namespace sidecall::cli {
namespace {

constexpr int kBits = 6;      // bits of the index of a bucket within its power of two
constexpr int kMaxBits = 42;  // values below 2^42 ns, more than an hour

size_t bucket_of(int64_t ns) {
  const auto value =
      static_cast<uint64_t>(std::min(std::max<int64_t>(ns, 0), (INT64_C(1) << kMaxBits) - 1));
  int shift = 0;
  while ((value >> shift) >= (UINT64_C(2) << kBits)) ++shift;
  return (static_cast<size_t>(shift) << kBits) + static_cast<size_t>(value >> shift);
}

// The value in the middle of a bucket.
double value_of(size_t bucket) {
  const size_t shift = bucket < (size_t{2} << kBits) ? 0 : (bucket >> kBits) - 1;
  const auto first = static_cast<double>(bucket - (shift << kBits));
  return std::ldexp(first + (shift == 0 ? 0.0 : 0.5), static_cast<int>(shift));
}

// The bounds of the bars: 1, 1.25, 1.6, 2, ... (the R10 series of preferred numbers), ten for each
// decade.
double step(int index) {
  static constexpr double kSteps[] = {1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.3, 8};
  return kSteps[index % 10] * std::pow(10.0, index / 10);
}

}  // namespace

Histogram::Histogram() : buckets_(bucket_of(INT64_MAX) + 1, 0) {}

void Histogram::add(int64_t ns) {
  ++buckets_[bucket_of(ns)];
  ++count_;
  min_ = std::min(min_, ns);
  max_ = std::max(max_, ns);
  sum_ += static_cast<double>(ns);
}

double Histogram::quantile(double share) const {
  const auto wanted = static_cast<int64_t>(std::ceil(share * static_cast<double>(count_)));
  int64_t seen = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= wanted && seen > 0)
      return std::min(std::max(value_of(i), static_cast<double>(min())), static_cast<double>(max_));
  }
  return 0;
}

std::vector<Histogram::Bar> Histogram::bars() const {
  std::vector<Bar> bars;
  int at = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    if (buckets_[i] == 0) continue;
    const double value = value_of(i);
    while (step(at + 1) <= value) {
      ++at;
      if (!bars.empty()) bars.push_back({step(at), step(at + 1), 0});
    }
    if (bars.empty()) bars.push_back({at == 0 ? 0 : step(at), step(at + 1), 0});
    bars.back().calls += buckets_[i];
  }
  return bars;
}

}  // namespace sidecall::cli
