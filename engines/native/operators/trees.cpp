// The tree operators: TreeEnsemble, TreeEnsembleRegressor, TreeEnsembleClassifier.
#include <algorithm>
#include <cmath>
#include <exception>
#include <functional>
#include <limits>
#include <mutex>

#include "core/error.h"
#include "engines/native/post_transform.h"
#include "engines/native/trees/ensemble.h"
#include "engines/native/trees/forest.h"
#include "row_rules.h"
#include "rows.h"
#include "tables.h"

namespace sidecall::native {
namespace {

void require_columns(const Node& node, const Rows& rows, int32_t num_features) {
  if (rows.columns < num_features)
    refuse_node(node, SIDECALL_ENGINE,
                "the trees read " + std::to_string(num_features) + " columns, but the input has " +
                    std::to_string(rows.columns));
}

bool has_leaf_without_weight(const Ensemble& ensemble) {
  const auto& begins = ensemble.leaf_begins;
  return std::adjacent_find(begins.begin(), begins.end()) != begins.end();
}

// By target: whether every row has a weight for it, because some tree has one in each of its
// leaves. The work does not depend on the number of targets, which a small file can make large.
std::vector<bool> always_scored(const Ensemble& ensemble) {
  const auto num_targets = static_cast<size_t>(ensemble.num_targets);
  std::vector<bool> is_scored(num_targets);
  std::vector<size_t> leaves(num_targets);     // of this tree with a weight for the target
  std::vector<size_t> last_leaf(num_targets);  // of these leaves: 1 + its number over all trees
  const auto target_of = [](const Weight& weight) { return static_cast<size_t>(weight.target); };
  const OrderedTrees trees(ensemble);
  const Weight* weights = trees.weights().data();
  const std::vector<int32_t>& begins = trees.leaf_begins();
  for (size_t i = 0; i < trees.size(); ++i) {
    const Tree tree = trees[i];
    const size_t end = tree.first_leaf + tree.num_leaves();
    for (int32_t w = begins[tree.first_leaf]; w < begins[end]; ++w)
      leaves[target_of(weights[w])] = 0;
    for (size_t leaf = tree.first_leaf; leaf < end; ++leaf) {
      for (int32_t w = begins[leaf]; w < begins[leaf + 1]; ++w) {
        const size_t target = target_of(weights[w]);
        if (last_leaf[target] != leaf + 1) ++leaves[target];
        last_leaf[target] = leaf + 1;
      }
    }
    for (int32_t w = begins[tree.first_leaf]; w < begins[end]; ++w) {
      if (leaves[target_of(weights[w])] == tree.num_leaves())
        is_scored[target_of(weights[w])] = true;
    }
  }
  return is_scored;
}

bool scores_all_targets(const Ensemble& ensemble) {
  const std::vector<bool> is_scored = always_scored(ensemble);
  return std::find(is_scored.begin(), is_scored.end(), false) == is_scored.end();
}

// By target: whether any leaf has a weight for it.
std::vector<bool> ever_scored(const Ensemble& ensemble) {
  std::vector<bool> is_scored(static_cast<size_t>(ensemble.num_targets));
  for (const Weight& weight : ensemble.weights)
    is_scored[static_cast<size_t>(weight.target)] = true;
  return is_scored;
}

// Turns the sums of a row into its results: average, base values, post transform.
template <typename Number>
struct Finish {
  explicit Finish(const Ensemble& ensemble)
      : num_targets(ensemble.num_targets),
        transform(ensemble.transform),
        base_values(ensemble.base_values.begin(), ensemble.base_values.end()) {
    if (ensemble.aggregate == Aggregate::kAverage)
      divisor = static_cast<Number>(ensemble.roots.size());
    // With one target and no base value, ONNX Runtime adds 0, which turns -0 into 0.
    if (num_targets == 1 && base_values.empty()) base_values.push_back(0);
    if (base_values.size() != static_cast<size_t>(num_targets)) base_values.clear();
  }

  void operator()(Number* sums) const {
    if (divisor != Number{1}) {
      for (int32_t i = 0; i < num_targets; ++i) sums[i] /= divisor;
    }
    for (size_t i = 0; i < base_values.size(); ++i) sums[i] += base_values[i];
    apply(transform, sums, num_targets);
  }

  int32_t num_targets;
  PostTransform transform;
  Number divisor = 1;
  std::vector<Number> base_values;  // one for each target, or none
};

// ---- TreeEnsemble and TreeEnsembleRegressor ----

// Sums are computed as Number, the type of the input, and returned as Out: TreeEnsembleRegressor
// returns float even if its input is double.
template <typename Number, typename Out>
class Regressor final : public Operator {
 public:
  Regressor(const Node& node, Ensemble ensemble)
      : node_(node),
        num_features_(ensemble.num_features),
        start_(start_of(ensemble.aggregate)),
        finish_(ensemble),
        forest_(node, std::move(ensemble)) {}

  std::unique_ptr<Step> prepare(Inputs in, Outputs out) const override {
    const Tensor& x = required(node_, in, 0);
    if (x.dtype != dtype_of<Number>()) refuse_type(node_, x);
    const Rows rows = rows_of(node_, x);
    require_columns(node_, rows, num_features_);
    out[0]->shape(dtype_of<Out>(), {rows.count, finish_.num_targets});
    // Sums of another type than the output need memory of their own.
    const bool is_separate = !std::is_same_v<Number, Out>;
    std::vector<Number> separate(is_separate ? static_cast<size_t>(out[0]->count) : 0);
    return make_step(
        [this, rows, &x, y = out[0], sums = std::move(separate),
         scratch = forest_.make_scratch(rows.count)](const Interrupt& interrupt) mutable {
          const int64_t targets = finish_.num_targets;
          Number* totals = sums.data();
          if constexpr (std::is_same_v<Number, Out>) totals = y->template as<Number>();
          std::fill(totals, totals + rows.count * targets, start_);
          forest_.add(x.as<Number>(), rows.count, rows.columns, totals, &scratch, interrupt);
          for (int64_t row = 0; row < rows.count; ++row) finish_(totals + row * targets);
          if constexpr (!std::is_same_v<Number, Out>) {
            Out* to = y->template as<Out>();
            for (int64_t i = 0; i < rows.count * targets; ++i) to[i] = static_cast<Out>(totals[i]);
          }
        });
  }

 private:
  static Number start_of(Aggregate aggregate) {
    constexpr Number kInfinity = std::numeric_limits<Number>::infinity();
    if (aggregate == Aggregate::kMin) return kInfinity;
    return aggregate == Aggregate::kMax ? -kInfinity : Number{0};
  }

  const Node& node_;
  const int32_t num_features_;
  const Number start_;  // of the sums
  const Finish<Number> finish_;
  const Forest<Number> forest_;
};

// ---- TreeEnsembleClassifier ----

// Returns labels and scores. With two classes, all weights must belong to class 0 of the file.
// Their sum is the score of the second class, and the score of the first class follows from it.
template <typename Number>
class Classifier final : public Operator {
 public:
  Classifier(const Node& node, const std::vector<Text>& texts, Ensemble ensemble)
      : node_(node),
        num_features_(ensemble.num_features),
        num_classes_(ensemble.num_targets),
        all_positive_(std::none_of(ensemble.weights.begin(), ensemble.weights.end(),
                                   [](const Weight& weight) { return weight.value < 0; })),
        labels_(node.integers("classlabels_int64s")),
        texts_(texts),
        base_(ensemble.base_values.begin(), ensemble.base_values.end()),
        has_score_(base_.empty() ? ever_scored(ensemble)
                                 : std::vector<bool>(static_cast<size_t>(num_classes_), true)),
        transform_(ensemble.transform),
        forest_(node, check(std::move(ensemble))) {}

  std::unique_ptr<Step> prepare(Inputs in, Outputs out) const override {
    const Tensor& x = required(node_, in, 0);
    if (x.dtype != dtype_of<Number>()) refuse_type(node_, x);
    const Rows rows = rows_of(node_, x);
    require_columns(node_, rows, num_features_);
    Tensor* labels = out[0];
    Tensor* scores = optional_output(out, 1);
    if (labels != nullptr)
      labels->shape(texts_.empty() ? SIDECALL_DTYPE_INT64 : SIDECALL_DTYPE_STRING, {rows.count});
    if (scores != nullptr) scores->shape(SIDECALL_DTYPE_FLOAT32, {rows.count, num_classes_});
    Tensor all;  // its shape is checked, even if no node reads the scores
    all.shape(dtype_of<Number>(), {rows.count, num_classes_});
    std::vector<Number> sums(static_cast<size_t>(all.count));
    return make_step(
        [this, rows, &x, labels, scores, sums = std::move(sums),
         scratch = forest_.make_scratch(rows.count)](const Interrupt& interrupt) mutable {
          std::fill(sums.begin(), sums.end(), Number{0});
          forest_.add(x.as<Number>(), rows.count, rows.columns, sums.data(), &scratch, interrupt);
          for (int64_t row = 0; row < rows.count; ++row) {
            Number* of_row = sums.data() + row * num_classes_;
            const size_t label = num_classes_ == 2 ? finish_pair(of_row) : finish_many(of_row);
            if (labels != nullptr) write_label(label, row, labels);
            if (scores == nullptr) continue;
            float* to = scores->as<float>() + row * num_classes_;
            for (int32_t i = 0; i < num_classes_; ++i) to[i] = static_cast<float>(of_row[i]);
          }
        });
  }

 private:
  Ensemble check(Ensemble ensemble) const {
    if (!labels_.empty() && node_.has("classlabels_strings"))
      refuse_node(node_, SIDECALL_FILE_INVALID,
                  "expected either classlabels_int64s or classlabels_strings, got both");
    if (num_classes_ < 2)
      refuse_node(node_, SIDECALL_UNSUPPORTED,
                  "expected 2 or more classes, got fewer than 2 classes");
    if (ensemble.aggregate != Aggregate::kSum)
      refuse_node(node_, SIDECALL_UNSUPPORTED, "aggregate_function: this engine computes only SUM");
    const bool one_class = std::all_of(ensemble.weights.begin(), ensemble.weights.end(),
                                       [](const Weight& weight) { return weight.target == 0; });
    if (num_classes_ == 2 && (!one_class || ensemble.base_values.size() > 1))
      refuse_node(
          node_, SIDECALL_UNSUPPORTED,
          "expected weights and a base value for one class alone, got weights for both of two "
          "classes");
    if (num_classes_ == 2 && ensemble.transform == PostTransform::kProbit)
      refuse_node(node_, SIDECALL_UNSUPPORTED,
                  "this engine does not compute PROBIT for two classes");
    // ONNX Runtime leaves the base value out for a row without a weight.
    if (num_classes_ == 2 && !ensemble.base_values.empty() && has_leaf_without_weight(ensemble))
      refuse_node(node_, SIDECALL_UNSUPPORTED,
                  "expected a weight for each leaf, got a base value and a leaf without a weight");
    if (num_classes_ == 2) return ensemble;
    if (!ensemble.base_values.empty() &&
        ensemble.base_values.size() != static_cast<size_t>(num_classes_))
      refuse_node(node_, SIDECALL_UNSUPPORTED,
                  "base_values: expected none or one for each class, got one base value");
    // ONNX Runtime never chooses a class for which a row has no weight. This engine requires that
    // either all rows or no rows have a score (a base value or a weight) for a class. If some class
    // has no score, it also requires that the scores are not transformed.
    if (ensemble.base_values.empty() &&
        (ensemble.weights.empty() || always_scored(ensemble) != has_score_ ||
         (ensemble.transform != PostTransform::kNone &&
          std::find(has_score_.begin(), has_score_.end(), false) != has_score_.end())))
      refuse_node(node_, SIDECALL_UNSUPPORTED,
                  "expected a score for every class, got a class that may have no score");
    return ensemble;
  }

  // Both turn the sums of a row into scores, and return the index of its label.
  size_t finish_pair(Number* sums) const {
    Number sum = sums[0];
    if (!base_.empty()) sum += base_[0];
    const bool is_second = all_positive_ ? sum > Number{0.5} : sum > Number{0};
    if (transform_ == PostTransform::kLogistic) {
      sums[0] = logistic(-sum);
      sums[1] = logistic(sum);
    } else {
      sums[0] = all_positive_ ? Number{1} - sum : -sum;
      sums[1] = sum;
    }
    return is_second ? 1 : 0;
  }

  size_t finish_many(Number* sums) const {
    for (size_t i = 0; i < base_.size(); ++i) sums[i] += base_[i];
    size_t label = first_class_;
    for (size_t i = label + 1; i < has_score_.size(); ++i) {
      if (has_score_[i] && sums[label] < sums[i]) label = i;
    }
    apply(transform_, sums, num_classes_);
    return label;
  }

  void write_label(size_t label, int64_t row, const Tensor* labels) const {
    if (texts_.empty()) {
      labels->as<int64_t>()[row] = labels_[label];
    } else {
      labels->as<Text>()[row] = texts_[label];
    }
  }

  const Node& node_;
  const int32_t num_features_;
  const int32_t num_classes_;
  const bool all_positive_;
  const std::vector<int64_t> labels_;
  const std::vector<Text> texts_;
  const std::vector<Number> base_;
  const std::vector<bool> has_score_;  // by class
  const size_t first_class_ = static_cast<size_t>(
      std::find(has_score_.begin(), has_score_.end(), true) - has_score_.begin());
  const PostTransform transform_;
  const Forest<Number> forest_;
};

// An operator whose attributes can be float although its rows are double. The type of the rows is
// known when a program is prepared for the first time. Usually this is when the file is opened; if
// the shapes were not known then, several contexts may do it at the same time.
class ByRowType final : public Operator {
 public:
  // Makes the operator for an ensemble whose `is_double` says the type of the rows.
  using Make = std::function<std::unique_ptr<Operator>(Ensemble ensemble)>;

  ByRowType(const Node& node, Ensemble ensemble, Make make)
      : node_(node),
        needs_double_(ensemble.is_double),
        ensemble_(std::move(ensemble)),
        make_(std::move(make)) {}

  std::unique_ptr<Step> prepare(Inputs in, Outputs out) const override {
    const Tensor& x = required(node_, in, 0);
    const bool is_double = x.dtype == SIDECALL_DTYPE_FLOAT64;
    if (!is_double && (x.dtype != SIDECALL_DTYPE_FLOAT32 || needs_double_)) refuse_type(node_, x);
    std::call_once(is_made_, [&] {
      try {
        if (is_double) widen(&ensemble_);
        op_ = make_(std::move(ensemble_));
      } catch (...) {  // no second attempt: the ensemble may be gone
        failure_ = std::current_exception();
      }
    });
    if (failure_) std::rethrow_exception(failure_);
    return op_->prepare(in, out);
  }

 private:
  const Node& node_;
  const bool needs_double_;  // float rows are refused
  mutable std::once_flag is_made_;
  mutable Ensemble ensemble_;  // only for the call under is_made_, which moves it away
  const Make make_;
  mutable std::unique_ptr<Operator> op_;
  mutable std::exception_ptr failure_;  // why there is no op_
};

// The smallest or largest of no weights, and of weights that are NaN, differs between engines.
void check_aggregate(const Node& node, const Ensemble& ensemble) {
  if (ensemble.aggregate == Aggregate::kSum || ensemble.aggregate == Aggregate::kAverage) return;
  const bool has_nan = std::any_of(ensemble.weights.begin(), ensemble.weights.end(),
                                   [](const Weight& weight) { return std::isnan(weight.value); });
  if (has_nan || !scores_all_targets(ensemble))
    refuse_node(node, SIDECALL_UNSUPPORTED,
                "aggregate_function: expected a sum or an average, or a weight of every target for "
                "each row and no NaN, got the smallest or largest of other weights");
}

std::unique_ptr<Operator> make_tree_ensemble(const Compile& compile) {
  Ensemble ensemble = read_tree_ensemble(compile.node);
  check_aggregate(compile.node, ensemble);
  // By ONNX, 1 is SOFTMAX and 2 is LOGISTIC. ONNX Runtime 1.32 reads them the other way round.
  if (ensemble.transform == PostTransform::kSoftmax ||
      ensemble.transform == PostTransform::kLogistic)
    refuse_node(compile.node, SIDECALL_UNSUPPORTED,
                "post_transform: expected 0, 3 or 4, because engines differ in the meaning of 1 "
                "and 2, got " +
                    std::to_string(compile.node.integer("post_transform", 0)));
  if (ensemble.is_double)
    return std::make_unique<Regressor<double, double>>(compile.node, std::move(ensemble));
  return std::make_unique<Regressor<float, float>>(compile.node, std::move(ensemble));
}

std::unique_ptr<Operator> make_tree_regressor(const Compile& compile) {
  Ensemble ensemble = read_tree_nodes(compile.node, "target");
  check_aggregate(compile.node, ensemble);
  // ONNX Runtime does not add the base value of a target for which a row has no weight.
  if (ensemble.num_targets > 1 && ensemble.base_values.size() == 1)
    refuse_node(compile.node, SIDECALL_UNSUPPORTED,
                "base_values: expected none or one for each target, got one base value");
  if (ensemble.num_targets > 1 &&
      ensemble.base_values.size() == static_cast<size_t>(ensemble.num_targets) &&
      !scores_all_targets(ensemble))
    refuse_node(compile.node, SIDECALL_UNSUPPORTED,
                "expected a weight of every target for each row, got base values and a target "
                "that may have no weight");
  const Node& node = compile.node;
  const auto make = [&node](Ensemble typed) -> std::unique_ptr<Operator> {
    if (typed.is_double) return std::make_unique<Regressor<double, float>>(node, std::move(typed));
    return std::make_unique<Regressor<float, float>>(node, std::move(typed));
  };
  return std::make_unique<ByRowType>(node, std::move(ensemble), make);
}

std::unique_ptr<Operator> make_tree_classifier(const Compile& compile) {
  Ensemble ensemble = read_tree_nodes(compile.node, "class");
  const Node& node = compile.node;
  std::vector<Text> texts;
  for (const std::string_view text : node.texts("classlabels_strings"))
    texts.push_back(compile.vocabulary.add(text));
  const auto make = [&node, texts](Ensemble typed) -> std::unique_ptr<Operator> {
    if (typed.is_double) return std::make_unique<Classifier<double>>(node, texts, std::move(typed));
    return std::make_unique<Classifier<float>>(node, texts, std::move(typed));
  };
  return std::make_unique<ByRowType>(node, std::move(ensemble), make);
}

}  // namespace

const std::vector<OperatorEntry>& tree_operators() {
  static const auto* all = new std::vector<OperatorEntry>{
      {"ai.onnx.ml", "TreeEnsemble", 5, kAnyVersion, make_tree_ensemble, rows::by_row, 1, 1, true},
      {"ai.onnx.ml", "TreeEnsembleRegressor", 1, 4, make_tree_regressor, rows::by_row, 1, 1, true},
      {"ai.onnx.ml", "TreeEnsembleClassifier", 1, 4, make_tree_classifier, rows::by_row, 1, 2},
  };
  return *all;
}

}  // namespace sidecall::native
