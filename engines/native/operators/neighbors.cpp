// The function of a model that finds the nearest rows. In the file, it has a body for ONNX Runtime
// (python/sidecall/convert/graph/nearest_function.py). This engine recognises the function by the
// SHA-256 of its body, and repeats the heap of scikit-learn by itself.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "best_indices.h"
#include "tables.h"

namespace sidecall::native {
namespace {

// The body that sidecall.export writes. tests/native/test_neighbors.py runs it.
constexpr std::string_view kKnownFunction =
    "2bb769559224797327133a1ccc1af6b4d9cd9a5fd64abbcb2bc1a524a5386b95";

// The nearest of the rows that were pushed, as scikit-learn keeps them: a binary tree with the
// largest distance at its root.
class Heap {
 public:
  explicit Heap(int64_t k)
      : distances_(static_cast<size_t>(k)), rows_(distances_.size()), sorting_(k, k, true) {}

  void clear() {
    std::fill(distances_.begin(), distances_.end(), std::numeric_limits<double>::infinity());
    std::fill(rows_.begin(), rows_.end(), int64_t{0});
  }

  void push(double distance, int64_t row) {
    if (!(distance < distances_[0])) return;
    size_t at = 0;
    for (size_t child = 1; child < distances_.size(); child = 2 * at + 1) {
      if (child + 1 < distances_.size() && distances_[child] < distances_[child + 1]) ++child;
      if (!(distance < distances_[child])) break;
      distances_[at] = distances_[child];
      rows_[at] = rows_[child];
      at = child;
    }
    distances_[at] = distance;
    rows_[at] = row;
  }

  // Writes the rows, the nearest first.
  void copy_rows(int64_t* to) {
    const int64_t* positions = sorting_.select(Ranking<double, Less>(distances_.data()));
    for (size_t i = 0; i < rows_.size(); ++i) to[i] = rows_[static_cast<size_t>(positions[i])];
  }

 private:
  std::vector<double> distances_;
  std::vector<int64_t> rows_;
  BestIndices sorting_;
};

// Sorts rows by their ranks; rows of one rank by their index.
class Visits {
 public:
  explicit Visits(int64_t rows) : order_(static_cast<size_t>(rows)), sorting_(rows, rows, true) {}

  const int64_t* sort(const float* ranks) {
    if (is_permutation(ranks)) return order_.data();
    return sorting_.select(Ranking<float, Less>(ranks));
  }

 private:
  // Whether the ranks are a permutation of 0, 1, 2, ..., as the ranks of a tree are. Then each row
  // is written to the place that its rank says.
  bool is_permutation(const float* ranks) {
    constexpr float kLimit = 1 << 24;  // from here on, float does not have all integers
    constexpr int64_t kNone = -1;
    std::fill(order_.begin(), order_.end(), kNone);
    for (size_t row = 0; row < order_.size(); ++row) {
      if (!(ranks[row] >= 0 && ranks[row] < kLimit)) return false;
      const auto at = static_cast<size_t>(ranks[row]);
      if (at >= order_.size() || static_cast<float>(at) != ranks[row] || order_[at] != kNone)
        return false;
      order_[at] = static_cast<int64_t>(row);
    }
    return true;
  }

  std::vector<int64_t> order_;
  BestIndices sorting_;
};

class NearestRows final : public Operator {
 public:
  explicit NearestRows(const Compile& compile) : node_(compile.node), k_(node_.integer("k", 0)) {
    if (node_.inputs.size() != 2)
      refuse_node(
          node_, SIDECALL_FILE_INVALID,
          "expected distances and ranks, got " + std::to_string(node_.inputs.size()) + " inputs");
    if (k_ < 1)
      refuse_node(node_, SIDECALL_FILE_INVALID, "k: expected 1 or more, got " + std::to_string(k_));
    const Constant* ranks = compile.constant(1);
    if (ranks == nullptr || ranks->dtype != SIDECALL_DTYPE_FLOAT32 || ranks->dims.size() != 2 ||
        ranks->dims[0] != 1 || ranks->count == 0)
      return;
    Visits visits(ranks->count);
    const int64_t* order = visits.sort(static_cast<const float*>(ranks->place.data));
    order_.assign(order, order + ranks->count);
  }

  std::unique_ptr<Step> prepare(Inputs in, Outputs out) const override {
    const Tensor& distances = required(node_, in, 0);
    const Tensor& ranks = required(node_, in, 1);
    if (distances.dtype != SIDECALL_DTYPE_FLOAT64) refuse_type(node_, distances);
    if (ranks.dtype != SIDECALL_DTYPE_FLOAT32) refuse_type(node_, ranks);
    if (distances.rank() != 2 || ranks.rank() != 2 || ranks.dims[1] != distances.dims[1] ||
        (ranks.dims[0] != 1 && ranks.dims[0] != distances.dims[0]))
      refuse_node(node_, SIDECALL_ENGINE, "expected a rank for each distance");
    const int64_t rows = distances.dims[1];
    if (k_ >= rows)
      refuse_node(
          node_, SIDECALL_ENGINE,
          "k is " + std::to_string(k_) + ", but there are only " + std::to_string(rows) + " rows");
    Tensor* near = optional_output(out, 0);
    Tensor* places = optional_output(out, 1);
    const Dims dims = {distances.dims[0], k_};
    if (near != nullptr) near->shape(SIDECALL_DTYPE_FLOAT64, dims);
    if (places != nullptr) places->shape(SIDECALL_DTYPE_INT64, dims);
    if (distances.count == 0) return nullptr;
    return make_step([this, &distances, &ranks, rows, near, places,
                      scratch = Scratch(rows, k_)](const Interrupt& interrupt) mutable {
      const auto* row = distances.as<double>();
      for (int64_t i = 0; i < distances.dims[0]; ++i, row += rows) {
        interrupt.poll();
        const int64_t* found = scratch.nearest.select(Ranking<double, Less>(row));
        if (near != nullptr) {
          double* to = near->as<double>() + i * k_;
          for (int64_t j = 0; j < k_; ++j) to[j] = row[found[j]];
        }
        if (places == nullptr) continue;
        int64_t* to = places->as<int64_t>() + i * k_;
        if (row[found[k_ - 1]] == row[found[k_]]) {
          const float* own_ranks = ranks.as<float>() + (ranks.dims[0] == 1 ? 0 : i * rows);
          keep(row, rows, own_ranks, &scratch, to);
        } else {
          for (int64_t j = 0; j < k_; ++j) to[j] = std::isinf(row[found[j]]) ? 0 : found[j];
        }
      }
    });
  }

 private:
  // Memory for one query.
  struct Scratch {
    Scratch(int64_t rows, int64_t k) : nearest(rows, k + 1, true), visits(rows), heap(k) {}
    BestIndices nearest;
    Visits visits;
    Heap heap;
  };

  // The rows that are kept if the distance of the last one is not unique.
  void keep(const double* distances, int64_t rows, const float* ranks, Scratch* scratch,
            int64_t* to) const {
    const int64_t* order = order_.empty() ? scratch->visits.sort(ranks) : order_.data();
    scratch->heap.clear();
    for (int64_t i = 0; i < rows; ++i) scratch->heap.push(distances[order[i]], order[i]);
    scratch->heap.copy_rows(to);
  }

  const Node& node_;
  const int64_t k_;
  std::vector<int64_t> order_;  // of the visit, if it is the same for all queries
};

// Each query has its own distances. The ranks belong to the query too, or are the same for all
// queries.
RowKind by_query(const RowQuery& query) {
  const bool has_own_ranks = query.kind(1) == RowKind::kRows || query.kind(1) == RowKind::kFixed;
  return query.kind(0) == RowKind::kRows && has_own_ranks ? RowKind::kRows : RowKind::kOther;
}

std::unique_ptr<Operator> make_nearest(const Compile& compile) {
  return std::make_unique<NearestRows>(compile);
}

}  // namespace

const OperatorEntry* find_neighbor_function(const Node& node) {
  static constexpr OperatorEntry kEntry = {"",           "",       0,          kAnyVersion,
                                           make_nearest, by_query, kAnyNumber, 2};
  return node.function == kKnownFunction ? &kEntry : nullptr;
}

}  // namespace sidecall::native
