// Encodes rows for trees; see row_encoding.h.
#include "row_encoding.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <type_traits>

#include "core/error.h"

namespace sidecall::native {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The float f for which x <= threshold if and only if float(x) <= f, for every double x. NaN if
// there is none. Rounding is monotonic, so f exists if and only if the next double after the
// threshold rounds to a larger float than the threshold does.
float narrow_threshold(double threshold) {
  const auto rounded = static_cast<float>(threshold);
  if (std::isnan(threshold) || threshold == kInfinity) return rounded;
  const auto next = static_cast<float>(std::nextafter(threshold, kInfinity));
  return next > rounded ? rounded : std::numeric_limits<float>::quiet_NaN();
}

bool can_narrow(const Ensemble& ensemble) {
  return std::all_of(ensemble.splits.begin(), ensemble.splits.end(), [](const Split& split) {
    return std::isnan(split.threshold) || !std::isnan(narrow_threshold(split.threshold));
  });
}

}  // namespace

template <typename Number>
RowEncoding<Number>::RowEncoding(Ensemble* ensemble) : num_features_(ensemble->num_features) {
  if constexpr (std::is_same_v<Number, double>) {
    if (!can_narrow(*ensemble)) {
      rank(ensemble);
      return;
    }
    for (Split& split : ensemble->splits) split.threshold = narrow_threshold(split.threshold);
  }
}

// The rank of x is the number of thresholds below x. Let t be the threshold with rank k: x <= t if
// and only if the rank of x is at most k.
template <typename Number>
void RowEncoding<Number>::rank(Ensemble* ensemble) {
  has_ranks_ = true;
  std::map<int32_t, std::vector<Number>> thresholds;
  for (const Split& split : ensemble->splits) {
    auto& of_feature = thresholds[split.feature];
    if (!std::isnan(split.threshold)) of_feature.push_back(static_cast<Number>(split.threshold));
  }
  std::map<int32_t, size_t> place;
  for (auto& [feature, sorted] : thresholds) {
    std::sort(sorted.begin(), sorted.end());
    sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
    constexpr size_t kMaxRanks = size_t{1} << 24;  // a float holds integers up to here exactly
    if (sorted.size() >= kMaxRanks)
      throw Error(SIDECALL_UNSUPPORTED,
                  "expected fewer than 2^24 thresholds of a column, got more");
    int32_t steps = 0;
    while ((size_t{1} << steps) - 1 < sorted.size()) ++steps;
    place[feature] = columns_.size();
    columns_.push_back({feature, steps, sorted});
    columns_.back().thresholds.resize((size_t{1} << steps) - 1,
                                      std::numeric_limits<Number>::infinity());
  }
  for (Split& split : ensemble->splits) {
    if (std::isnan(split.threshold)) continue;
    const auto& sorted = columns_[place[split.feature]].thresholds;
    const auto found = std::lower_bound(sorted.begin(), sorted.end(), split.threshold);
    split.threshold = static_cast<double>(found - sorted.begin());
  }
}

template <typename Number>
void RowEncoding<Number>::encode(const Number* rows, int64_t num_rows, int64_t num_columns,
                                 int64_t row_stride, int64_t feature_stride, float* out) const {
  if (!has_ranks_) {
    for (int64_t row = 0; row < num_rows; ++row) {
      const Number* from = rows + row * num_columns;
      float* to = out + row * row_stride;
      for (int64_t feature = 0; feature < num_features_; ++feature)
        to[feature * feature_stride] = static_cast<float>(from[feature]);
    }
    return;
  }
  for (const Column& column : columns_) {
    const Number* thresholds = column.thresholds.data();
    float* to = out + column.feature * feature_stride;
    for (int64_t row = 0; row < num_rows; ++row) {
      const Number x = rows[row * num_columns + column.feature];
      size_t below = 0;
      for (int32_t step = column.steps; step-- > 0;) {
        const size_t half = size_t{1} << step;
        below += thresholds[below + half - 1] < x ? half : 0;
      }
      const auto rank = static_cast<float>(below);
      to[row * row_stride] = x != x ? std::numeric_limits<float>::quiet_NaN() : rank;
    }
  }
}

template class RowEncoding<float>;
template class RowEncoding<double>;

}  // namespace sidecall::native
