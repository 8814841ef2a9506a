// Encodes rows for trees; see row_encoding.h.
#include "row_encoding.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "base/text/number.h"
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
  const double above =
      threshold == -kInfinity ? std::numeric_limits<double>::lowest() : next_above(threshold);
  const auto next = static_cast<float>(above);
  return next > rounded ? rounded : std::numeric_limits<float>::quiet_NaN();
}

// Whether the split reads a number of the row, and not a membership.
bool is_plain(const Ensemble& ensemble, const Split& split) {
  return split.feature < ensemble.num_features;
}

// Replaces the thresholds by floats. Returns false, and changes nothing, if one has no such float.
bool narrow_thresholds(Ensemble* ensemble) {
  std::vector<float> narrowed;
  narrowed.reserve(ensemble->splits.size());
  for (const Split& split : ensemble->splits) {
    narrowed.push_back(is_plain(*ensemble, split) ? narrow_threshold(split.threshold)
                                                  : static_cast<float>(split.threshold));
    if (std::isnan(narrowed.back()) && !std::isnan(split.threshold)) return false;
  }
  for (size_t i = 0; i < narrowed.size(); ++i) ensemble->splits[i].threshold = narrowed[i];
  return true;
}

// The number of nodes in a level of the search tree in which each child stands for `span` ranks.
// Ranks are at most `size`, so a search reaches no further node.
size_t num_nodes(size_t size, size_t span) { return size / span / kFanout + 1; }

size_t num_keys(const RankTable& table) {
  return (table.level_begins[table.num_levels - 1] + num_nodes(table.size, 1)) * kFanout;
}

}  // namespace

template <typename Number>
RowEncoding<Number>::RowEncoding(Ensemble* ensemble, Vectors vectors)
    : rank_(kernels_of(vectors).rank), rank_column_(kernels_of(vectors).rank_column) {
  select_features(ensemble);
  if constexpr (std::is_same_v<Number, double>) {
    if (!narrow_thresholds(ensemble)) rank(ensemble);
  }
  add_lookups(ensemble);
}

// Numbers the features that are read from 0 if that leaves out more than half of the columns.
template <typename Number>
void RowEncoding<Number>::select_features(Ensemble* ensemble) {
  width_ = num_plain_ = static_cast<size_t>(ensemble->num_features);
  if (width_ <= 2 * static_cast<size_t>(kShortRow)) return;  // there is little to gain
  std::vector<int32_t> used;
  used.reserve(ensemble->splits.size());
  for (const Split& split : ensemble->splits) {
    if (is_plain(*ensemble, split)) used.push_back(split.feature);
  }
  std::sort(used.begin(), used.end());
  used.erase(std::unique(used.begin(), used.end()), used.end());
  if (used.size() > width_ / 2) return;
  const auto removed = ensemble->num_features - static_cast<int32_t>(used.size());
  for (Split& split : ensemble->splits) {
    const auto found = std::lower_bound(used.begin(), used.end(), split.feature);
    if (is_plain(*ensemble, split)) split.feature = static_cast<int32_t>(found - used.begin());
    else split.feature -= removed;
  }
  width_ = num_plain_ = used.size();
  ensemble->num_features = static_cast<int32_t>(width_);
  features_ = std::move(used);
}

// The rank of x is the number of thresholds below x. Let t be the threshold with rank k: x <= t if
// and only if the rank of x is at most k.
template <typename Number>
void RowEncoding<Number>::rank(Ensemble* ensemble) {
  has_ranks_ = true;
  struct Threshold {
    double value;
    Split* split;
  };
  std::vector<std::vector<Threshold>> thresholds(width_);  // by encoded number
  for (Split& split : ensemble->splits) {
    if (is_plain(*ensemble, split) && !std::isnan(split.threshold))
      thresholds[static_cast<size_t>(split.feature)].push_back({split.threshold, &split});
  }
  std::vector<double> sorted;  // without repetitions
  for (std::vector<Threshold>& of_number : thresholds) {
    std::sort(of_number.begin(), of_number.end(),
              [](const Threshold& a, const Threshold& b) { return a.value < b.value; });
    sorted.clear();
    for (const Threshold& each : of_number) {
      if (sorted.empty() || sorted.back() < each.value) sorted.push_back(each.value);
      each.split->threshold = static_cast<double>(sorted.size() - 1);
    }
    // A float holds integers up to kMaxRanks exactly.
    if (sorted.size() >= kMaxRanks)
      throw Error(SIDECALL_UNSUPPORTED,
                  "expected fewer than 2^24 thresholds of a column, got more");
    tables_.push_back(add_table(sorted));
  }
  const float* keys = keys_.data();
  const double* all = thresholds_.data();
  for (RankTable& table : tables_) {
    table.keys = keys;
    table.thresholds = all;
    keys += num_keys(table);
    all += table.size + 1;
  }
}

template <typename Number>
void RowEncoding<Number>::add_lookups(Ensemble* ensemble) {
  std::unordered_map<int32_t, size_t> places;  // in lookups_, by column
  for (size_t number = 0; number < ensemble->memberships.size(); ++number) {
    const Membership& membership = ensemble->memberships[number];
    const auto place = places.emplace(membership.feature, lookups_.size()).first->second;
    if (place == lookups_.size())
      lookups_.push_back({static_cast<size_t>(membership.feature), {}, {}});
    for (const double value : membership.values) lookups_[place].members.push_back({value, number});
    if (membership.nan_is_member) lookups_[place].nan_members.push_back(number);
  }
  for (Lookup& lookup : lookups_) {
    std::sort(lookup.members.begin(), lookup.members.end(),
              [](const Member& a, const Member& b) { return a.value < b.value; });
  }
  width_ += ensemble->memberships.size();
  ensemble->num_features = static_cast<int32_t>(width_);
}

template <typename Number>
void RowEncoding<Number>::look_up(const Number* row, size_t stride, float* out) const {
  for (const Lookup& lookup : lookups_) {
    const auto x = static_cast<double>(row[lookup.column]);
    if (std::isnan(x)) {
      for (const size_t number : lookup.nan_members) out[number * stride] = 0;
      continue;
    }
    auto at =
        std::lower_bound(lookup.members.begin(), lookup.members.end(), x,
                         [](const Member& member, double value) { return member.value < value; });
    for (; at != lookup.members.end() && at->value == x; ++at) out[at->number * stride] = 0;
  }
}

// Appends to thresholds_ and keys_. The pointers into them are set when all tables are there.
template <typename Number>
RankTable RowEncoding<Number>::add_table(const std::vector<double>& sorted) {
  thresholds_.insert(thresholds_.end(), sorted.begin(), sorted.end());
  thresholds_.push_back(kInfinity);
  RankTable table = {};
  table.size = static_cast<uint32_t>(sorted.size());
  size_t span = 1;
  while (sorted.size() >= span * kFanout) span *= kFanout;
  size_t nodes = 0;
  for (; span > 0; span /= kFanout) {
    table.level_begins[table.num_levels++] = static_cast<uint32_t>(nodes);
    const size_t of_level = num_nodes(sorted.size(), span);
    nodes += of_level;
    for (size_t node = 0; node < of_level; ++node) {
      for (size_t j = 1; j <= kFanout; ++j) {
        const size_t rank = (node * kFanout + j) * span;  // the first of the next child
        const bool exists = j < kFanout && rank <= sorted.size();
        keys_.push_back(static_cast<float>(exists ? sorted[rank - 1] : kInfinity));
      }
    }
  }
  return table;
}

template <typename Number>
bool RowEncoding<Number>::encode_row(const Number* row, float* out) const {
  if (!lookups_.empty()) {
    std::fill(out + num_plain_, out + width_, 1.0F);
    look_up(row, 1, out + num_plain_);
  }
  if constexpr (std::is_same_v<Number, double>) {
    if (has_ranks_) return rank_row(row, out);
  }
  // Not a bool, so that the loop has no branches and is vectorised.
  int32_t nans = 0;
  if (features_.empty()) {
    for (size_t i = 0; i < num_plain_; ++i) {
      const auto x = static_cast<float>(row[i]);
      nans |= static_cast<int32_t>(x != x);
      if (!is_identity()) out[i] = x;
    }
    return nans != 0;
  }
  for (size_t i = 0; i < num_plain_; ++i) {
    out[i] = static_cast<float>(row[features_[i]]);
    nans |= static_cast<int32_t>(out[i] != out[i]);
  }
  return nans != 0;
}

template <typename Number>
bool RowEncoding<Number>::rank_row(const double* row, float* out) const {
  constexpr size_t kStep = 64;
  double x[kStep];
  int32_t ranks[kStep];
  bool has_nan = false;
  for (size_t begin = 0; begin < num_plain_; begin += kStep) {
    const size_t count = std::min(kStep, num_plain_ - begin);
    for (size_t i = 0; i < count; ++i) x[i] = row[column_of(begin + i)];
    rank_(tables_.data() + begin, 1, x, count, ranks);
    if (encode_ranks(x, ranks, count, out + begin)) has_nan = true;
  }
  return has_nan;
}

template <typename Number>
bool RowEncoding<Number>::encode_block(const Number* rows, int64_t count, int64_t num_columns,
                                       float* out) const {
  if (!lookups_.empty()) {
    float* const results = out + num_plain_ * kBlockRows;
    std::fill(results, out + width_ * kBlockRows, 1.0F);
    for (int64_t row = 0; row < count; ++row)
      look_up(rows + row * num_columns, kBlockRows, results + row);
  }
  if constexpr (std::is_same_v<Number, double>) {
    if (has_ranks_) return rank_block(rows, count, num_columns, out);
  }
  int32_t nans = 0;
  for (int64_t row = 0; row < count; ++row) {
    const Number* from = rows + row * num_columns;
    float* to = out + row;
    for (size_t i = 0; i < num_plain_; ++i, to += kBlockRows) {
      *to = static_cast<float>(from[column_of(i)]);
      nans |= static_cast<int32_t>(*to != *to);
    }
  }
  return nans != 0;
}

template <typename Number>
bool RowEncoding<Number>::rank_block(const double* rows, int64_t count, int64_t num_columns,
                                     float* out) const {
  bool has_nan = false;
  for (size_t i = 0; i < num_plain_; ++i) {
    float* const to = out + i * kBlockRows;
    if (rank_column_(tables_[i], rows + column_of(i), num_columns, count, to)) has_nan = true;
  }
  return has_nan;
}

template class RowEncoding<float>;
template class RowEncoding<double>;

}  // namespace sidecall::native
