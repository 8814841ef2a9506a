// Encodes rows and thresholds as float, so that the nodes of trees are small.
#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

#include "ensemble.h"
#include "kernels/kernels.h"

namespace sidecall::native {

// Encodes rows, and the thresholds of all splits, as floats. Every comparison of encoded numbers
// has the same result as that of the original ones. There are three encodings:
//
// - Float stays as it is.
// - Double is rounded to float if that changes no comparison: every threshold is the last double
//   that rounds to some float. Models that round their rows to float have such thresholds.
// - Any other double is replaced by its rank among the thresholds of its column.
//
// The results of all memberships follow as 0 and 1.
//
// If the trees read few of many columns, only these are encoded, so the memory does not depend on
// the numbers that a file gives to its columns.
template <typename Number>
class RowEncoding {
 public:
  // Replaces the features and thresholds of the ensemble by their encoded forms.
  RowEncoding(Ensemble* ensemble, Vectors vectors);
  RowEncoding(const RowEncoding&) = delete;
  RowEncoding& operator=(const RowEncoding&) = delete;

  // The numbers of an encoded row. Afterwards Ensemble::num_features has the same value.
  size_t width() const { return width_; }

  // Whether an encoded row is the row itself.
  bool is_identity() const {
    return std::is_same_v<Number, float> && features_.empty() && lookups_.empty();
  }

  // encode_row() and encode_block() return whether any encoded number is NaN.

  // Writes width() numbers to `out`; nothing if is_identity().
  bool encode_row(const Number* row, float* out) const;
  // Encodes at most kBlockRows rows column by column: out[width()][kBlockRows].
  bool encode_block(const Number* rows, int64_t count, int64_t num_columns, float* out) const;

 private:
  void select_features(Ensemble* ensemble);
  void rank(Ensemble* ensemble);
  RankTable add_table(const std::vector<double>& sorted);
  bool rank_row(const double* row, float* out) const;
  bool rank_block(const double* rows, int64_t count, int64_t num_columns, float* out) const;
  size_t column_of(size_t feature) const {
    return features_.empty() ? feature : static_cast<size_t>(features_[feature]);
  }
  void add_lookups(Ensemble* ensemble);
  // Writes 0 for each membership of which the row is a member, `stride` numbers apart. The others
  // must be 1 already.
  void look_up(const Number* row, size_t stride, float* out) const;

  size_t width_ = 0;
  size_t num_plain_ = 0;  // the encoded numbers that are not results of memberships
  // By encoded number: its column. Empty if all columns are encoded.
  std::vector<int32_t> features_;
  bool has_ranks_ = false;
  Rank rank_;
  RankColumn rank_column_;
  // With ranks:
  std::vector<RankTable> tables_;   // by encoded number
  std::vector<double> thresholds_;  // of all tables, which point into this
  std::vector<float> keys_;         // likewise

  // A value, and a membership that has it.
  struct Member {
    double value;
    size_t number;  // of the membership
  };
  // The memberships of one column.
  struct Lookup {
    size_t column;
    std::vector<Member> members;      // sorted by value
    std::vector<size_t> nan_members;  // the memberships of NaN
  };
  std::vector<Lookup> lookups_;
};

}  // namespace sidecall::native
