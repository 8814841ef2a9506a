// Operators of ai.onnx.ml that prepare features, and its linear models. Most return float32 for
// inputs of any type. Except for the sums of linear models, all compute in the order of ONNX
// Runtime.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "arithmetic.h"
#include "broadcast.h"
#include "core/text.h"
#include "engines/native/post_transform.h"
#include "row_rules.h"
#include "rows.h"
#include "tables.h"

namespace sidecall::native {
namespace {

constexpr const char* kDomain = "ai.onnx.ml";

[[noreturn]] void invalid(const Node& node, const std::string& problem) {
  refuse_node(node, SIDECALL_FILE_INVALID, problem);
}

// For Scaler and Imputer, the number of columns is the size of axis 1, and consecutive elements
// belong to consecutive columns, starting again after the last one. With a rank above 2 this is
// hardly what users mean, but it is what ONNX Runtime computes.
Rows cycles_of(const Node& node, const Tensor& x) {
  if (x.rank() == 0) refuse_rank(node, x);
  const int64_t columns = x.rank() == 1 ? x.dims[0] : x.dims[1];
  return {columns == 0 ? 0 : x.count / columns, columns};
}

// ---- Scaler, Imputer, Binarizer ----

template <typename T>
std::unique_ptr<Step> scale_step(const Tensor& x, Tensor* out, Rows rows,
                                 const std::vector<float>& offsets,
                                 const std::vector<float>& scales) {
  return make_step([&x, out, rows, &offsets, &scales](const Interrupt& interrupt) {
    using Number = std::conditional_t<std::is_same_v<T, double>, double, float>;
    const T* from = x.as<T>();
    float* to = out->as<float>();
    const float* offset = offsets.data();
    const float* scale = scales.data();
    const int64_t stride = offsets.size() == static_cast<size_t>(rows.columns) ? 1 : 0;
    for (int64_t row = 0; row < rows.count; ++row) {
      interrupt.poll();
      if (stride == 0) {
        for (int64_t i = 0; i < rows.columns; ++i)
          to[i] = static_cast<float>((static_cast<Number>(from[i]) - offset[0]) * scale[0]);
      } else {
        for (int64_t i = 0; i < rows.columns; ++i)
          to[i] = static_cast<float>((static_cast<Number>(from[i]) - offset[i]) * scale[i]);
      }
      from += rows.columns;
      to += rows.columns;
    }
  });
}

std::unique_ptr<Step> prepare_scaler(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const auto& offsets = node.reals("offset");
  const auto& scales = node.reals("scale");
  if (scales.empty() || offsets.size() != scales.size())
    invalid(node, "expected as many offsets as scales, and at least 1, got " +
                      std::to_string(offsets.size()) + " and " + std::to_string(scales.size()));
  const Rows rows = cycles_of(node, x);
  if (scales.size() != 1 && scales.size() != static_cast<size_t>(rows.columns))
    refuse_node(node, SIDECALL_ENGINE,
                "expected 1 or " + std::to_string(scales.size()) + " columns, got " +
                    std::to_string(rows.columns));
  out[0]->shape(SIDECALL_DTYPE_FLOAT32, x.dims);
  std::unique_ptr<Step> step = with_type<float, double, int64_t, int32_t>(x.dtype, [&](auto zero) {
    return scale_step<decltype(zero)>(x, out[0], rows, offsets, scales);
  });
  if (!step) refuse_type(node, x);
  return step;
}

// The value that Imputer replaces. If it is NaN, every NaN is replaced.
template <typename T>
struct Replaced {
  T value;
  bool matches(T x) const {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(value)) return std::isnan(x);
    }
    return x == value;
  }
};

// `values` has one value for each column. If it has another number of them, the first one is used
// for all columns, as in ONNX Runtime.
template <typename T>
std::unique_ptr<Step> impute_step(const Tensor& x, Tensor* out, Rows rows, T replaced,
                                  const std::vector<T>& values) {
  return make_step(
      [&x, out, rows, replaced = Replaced<T>{replaced}, &values](const Interrupt& interrupt) {
        const T* from = x.as<T>();
        T* to = out->as<T>();
        const T* value = values.data();
        const bool by_column = values.size() == static_cast<size_t>(rows.columns);
        for (int64_t row = 0; row < rows.count; ++row) {
          interrupt.poll();
          if (by_column) {
            for (int64_t i = 0; i < rows.columns; ++i)
              to[i] = replaced.matches(from[i]) ? value[i] : from[i];
          } else {
            for (int64_t i = 0; i < rows.columns; ++i)
              to[i] = replaced.matches(from[i]) ? value[0] : from[i];
          }
          from += rows.columns;
          to += rows.columns;
        }
      });
}

std::unique_ptr<Step> prepare_imputer(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const auto& reals = node.reals("imputed_value_floats");
  const auto& integers = node.integers("imputed_value_int64s");
  if (reals.empty() == integers.empty())
    invalid(node, "expected either imputed_value_floats or imputed_value_int64s");
  const Rows rows = cycles_of(node, x);
  out[0]->shape(x.dtype, x.dims);
  if (x.dtype == SIDECALL_DTYPE_FLOAT32 && !reals.empty())
    return impute_step(x, out[0], rows, node.real("replaced_value_float", 0), reals);
  if (x.dtype == SIDECALL_DTYPE_INT64 && !integers.empty())
    return impute_step(x, out[0], rows, node.integer("replaced_value_int64", 0), integers);
  refuse_type(node, x);
}

std::unique_ptr<Step> prepare_binarizer(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  if (x.dtype != SIDECALL_DTYPE_FLOAT32) refuse_type(node, x);
  out[0]->shape(x.dtype, x.dims);
  return make_step(
      [&node, &x, y = out[0], threshold = node.real("threshold", 0)](const Interrupt& interrupt) {
        const float* from = x.as<float>();
        float* to = y->as<float>();
        bool has_nan = false;
        for_each_part(x.count, interrupt, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            has_nan |= std::isnan(from[i]);
            to[i] = from[i] > threshold ? 1.0F : 0.0F;
          }
        });
        if (has_nan) refuse_node(node, SIDECALL_ENGINE, "the input has a NaN");
      });
}

// ---- Normalizer ----

// |x| and x * x as float. Signed integers wrap around on overflow.
template <typename T>
float absolute(T x) {
  if constexpr (std::is_integral_v<T>) return static_cast<float>(x < 0 ? Subtract()(T{0}, x) : x);
  else return static_cast<float>(std::fabs(x));
}

template <typename T>
float square(T x) {
  return static_cast<float>(Multiply()(x, x));
}

// Each class has the norm of a row, and the division of an element by it. A row whose norm is 0 is
// not divided. As in ONNX Runtime, MAX is the largest element, not the largest absolute value.
struct MaxNorm {
  template <typename T>
  static float norm(const T* x, int64_t count) {
    float largest = std::numeric_limits<float>::lowest();
    for (int64_t i = 0; i < count; ++i) largest = std::max(largest, static_cast<float>(x[i]));
    return largest;
  }
  template <typename T>
  static float divide(T x, float norm) {
    return static_cast<float>(x) / norm;
  }
};
struct L1Norm {
  template <typename T>
  static float norm(const T* x, int64_t count) {
    float sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += absolute(x[i]);
    return sum;
  }
  template <typename T>
  static float divide(T x, float norm) {
    return static_cast<float>(x) / norm;
  }
};
// norm() is the square of the norm; divide() takes the square root after the division.
struct L2Norm {
  template <typename T>
  static float norm(const T* x, int64_t count) {
    float sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += square(x[i]);
    return sum;
  }
  template <typename T>
  static float divide(T x, float norm) {
    const float root = std::sqrt(square(x) / norm);
    return x < T{0} ? -root : root;
  }
};

template <typename Norm, typename T>
std::unique_ptr<Step> normalize_step(const Tensor& x, Tensor* out, Rows rows) {
  return make_step([&x, out, rows](const Interrupt& interrupt) {
    const T* from = x.as<T>();
    float* to = out->as<float>();
    for (int64_t row = 0; row < rows.count; ++row) {
      interrupt.poll();
      const float norm = Norm::norm(from, rows.columns);
      if (norm != 0) {
        for (int64_t i = 0; i < rows.columns; ++i) to[i] = Norm::divide(from[i], norm);
      } else {
        for (int64_t i = 0; i < rows.columns; ++i) to[i] = static_cast<float>(from[i]);
      }
      from += rows.columns;
      to += rows.columns;
    }
  });
}

std::unique_ptr<Step> prepare_normalizer(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const std::string_view norm = node.text("norm", "MAX");
  if (norm != "MAX" && norm != "L1" && norm != "L2")
    invalid(node, "norm: expected MAX, L1 or L2, got '" + printable(std::string(norm)) + "'");
  const Rows rows = rows_of(node, x);
  out[0]->shape(SIDECALL_DTYPE_FLOAT32, x.dims);
  std::unique_ptr<Step> step = with_type<float, double, int64_t, int32_t>(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (norm == "MAX") return normalize_step<MaxNorm, T>(x, out[0], rows);
    if (norm == "L1") return normalize_step<L1Norm, T>(x, out[0], rows);
    return normalize_step<L2Norm, T>(x, out[0], rows);
  });
  if (!step) refuse_type(node, x);
  return step;
}

// ---- FeatureVectorizer ----

// Writes one input into its part of each output row, which begins at `offset` and has `part`
// columns. Further columns of the input are left out, and missing ones become zeros.
template <typename T>
std::unique_ptr<Step> part_step(const Tensor& x, Tensor* out, int64_t rows, int64_t columns,
                                int64_t offset, int64_t part) {
  return make_step([=, &x](const Interrupt& interrupt) {
    const int64_t width = out->dims[1];
    const T* from = x.as<T>();
    float* to = out->as<float>() + offset;
    const int64_t taken = std::min(columns, part);
    for (int64_t row = 0; row < rows; ++row, from += columns, to += width) {
      interrupt.poll();
      for (int64_t i = 0; i < taken; ++i) to[i] = static_cast<float>(from[i]);
      for (int64_t i = taken; i < part; ++i) to[i] = 0;
    }
  });
}

// The number of columns of the output, given the number for each input.
int64_t sum_of_parts(const Node& node, const std::vector<int64_t>& parts) {
  constexpr int64_t kMaxWidth = INT64_C(1) << 40;
  int64_t sum = 0;
  for (const int64_t part : parts) {
    if (part < 0 || part > kMaxWidth - sum)
      invalid(node, "inputdimensions: out of range, expected 0 to 2^40 columns in total");
    sum += part;
  }
  return sum;
}

std::unique_ptr<Step> prepare_vectorizer(const Node& node, Inputs in, Outputs out) {
  struct Parts final : Step {
    std::vector<std::unique_ptr<Step>> steps;
    void run(const Interrupt& interrupt) override {
      for (const auto& step : steps) step->run(interrupt);
    }
  };
  const auto& parts = node.integers("inputdimensions");
  if (parts.empty() || parts.size() != in.size())
    invalid(node, "inputdimensions: expected one number for each of " + std::to_string(in.size()) +
                      " inputs, got " + std::to_string(parts.size()));
  auto all = std::make_unique<Parts>();
  int64_t rows = 0, offset = 0;
  for (size_t i = 0; i < in.size(); ++i) {
    const Tensor& x = required(node, in, i);
    if (x.rank() == 0) refuse_rank(node, x);
    const int64_t count = x.rank() == 1 ? 1 : x.dims[0];
    if (i == 0) {
      rows = count;
      out[0]->shape(SIDECALL_DTYPE_FLOAT32, {rows, sum_of_parts(node, parts)});
    }
    if (count != rows)
      refuse_node(node, SIDECALL_ENGINE, "its inputs have different numbers of rows");
    const int64_t columns = rows == 0 ? 0 : x.count / rows;
    all->steps.push_back(with_type<float, double, int64_t, int32_t>(x.dtype, [&](auto zero) {
      return part_step<decltype(zero)>(x, out[0], rows, columns, offset, parts[i]);
    }));
    if (!all->steps.back()) refuse_type(node, x);
    offset += parts[i];
  }
  return all;
}

// ---- Scores of linear models ----

// Throws ENGINE if there are too few coefficients. As in ONNX Runtime, surplus ones are ignored.
void require_columns(const Node& node, size_t num_coefficients, int64_t targets, int64_t columns) {
  const int64_t expected = static_cast<int64_t>(num_coefficients) / targets;
  if (columns > expected)
    refuse_node(node, SIDECALL_ENGINE,
                "it has coefficients for " + std::to_string(expected) +
                    " columns, but its input has " + std::to_string(columns));
}

// The coefficients, a matrix [targets, columns], and either an intercept for each target or none.
struct Weights {
  const float* coefficients;
  const float* intercepts;
  int64_t targets;
  int64_t columns;

  void score(const float* row, float* scores) const {
    for (int64_t target = 0; target < targets; ++target) {
      const float sum = dot(row, coefficients + target * columns, columns);
      scores[target] = intercepts == nullptr ? sum : sum + intercepts[target];
    }
  }
};

// ---- LinearRegressor ----

std::unique_ptr<Step> prepare_linear_regressor(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  if (x.dtype != SIDECALL_DTYPE_FLOAT32) refuse_type(node, x);
  const auto& coefficients = node.reals("coefficients");
  const auto& intercepts = node.reals("intercepts");
  const int64_t targets = node.integer("targets", 1);
  if (targets < 1 || static_cast<uint64_t>(targets) > coefficients.size())
    invalid(node, "targets: expected 1 or more, and coefficients for each, got " +
                      std::to_string(targets) + " targets and " +
                      std::to_string(coefficients.size()) + " coefficients");
  const Rows rows = rows_of(node, x);
  require_columns(node, coefficients.size(), targets, rows.columns);
  const bool has_intercepts = intercepts.size() == static_cast<size_t>(targets);
  const Weights weights = {coefficients.data(), has_intercepts ? intercepts.data() : nullptr,
                           targets, rows.columns};
  out[0]->shape(SIDECALL_DTYPE_FLOAT32, {rows.count, targets});
  return make_step([&x, y = out[0], rows, weights,
                    transform = post_transform_of(node)](const Interrupt& interrupt) {
    const float* from = x.as<float>();
    float* to = y->as<float>();
    for (int64_t row = 0; row < rows.count; ++row) {
      interrupt.poll();
      weights.score(from, to);
      apply(transform, to, weights.targets);
      from += rows.columns;
      to += weights.targets;
    }
  });
}

// ---- LinearClassifier ----

class LinearClassifier final : public Operator {
 public:
  explicit LinearClassifier(const Compile& compile)
      : node_(compile.node),
        coefficients_(node_.reals("coefficients")),
        intercepts_(node_.reals("intercepts")),
        num_scores_(static_cast<int64_t>(intercepts_.size())),
        transform_(post_transform_of(node_)),
        numbers_(node_.integers("classlabels_ints")) {
    for (const std::string_view label : node_.texts("classlabels_strings"))
      texts_.push_back(compile.vocabulary.add(label));
    if (!texts_.empty() && !numbers_.empty())
      invalid(node_, "expected either classlabels_ints or classlabels_strings");
    if (intercepts_.empty() || coefficients_.empty() ||
        coefficients_.size() % intercepts_.size() != 0)
      invalid(node_, "expected coefficients and an intercept for each class");
    const size_t num_labels = std::max(texts_.size(), numbers_.size());
    if (num_scores_ == 1 ? num_labels != 0 && num_labels != 2 : num_labels < intercepts_.size())
      invalid(node_, "expected a label for each class, got " + std::to_string(num_labels));
    has_second_score_ = num_scores_ == 1 && num_labels == 2;
    if (num_labels == 0) numbers_ = {0, 1};
    if (has_second_score_ && transform_ == PostTransform::kProbit)
      refuse_node(node_, SIDECALL_UNSUPPORTED,
                  "this engine does not compute PROBIT for two classes");
  }

  std::unique_ptr<Step> prepare(Inputs in, Outputs out) const override {
    const Tensor& x = required(node_, in, 0);
    const Rows rows = rows_of(node_, x);
    require_columns(node_, coefficients_.size(), num_scores_, rows.columns);
    Tensor* labels = optional_output(out, 0);
    Tensor* scores = optional_output(out, 1);
    if (labels != nullptr)
      labels->shape(texts_.empty() ? SIDECALL_DTYPE_INT64 : SIDECALL_DTYPE_STRING, {rows.count});
    if (scores != nullptr) scores->shape(SIDECALL_DTYPE_FLOAT32, {rows.count, width()});
    std::unique_ptr<Step> step = with_type<float, double, int64_t, int32_t>(
        x.dtype, [&](auto zero) { return classify_step<decltype(zero)>(x, rows, labels, scores); });
    if (!step) refuse_type(node_, x);
    return step;
  }

 private:
  // The number of scores of a row.
  int64_t width() const { return num_scores_ + (has_second_score_ ? 1 : 0); }

  template <typename T>
  std::unique_ptr<Step> classify_step(const Tensor& x, Rows rows, Tensor* labels,
                                      Tensor* scores) const {
    const Weights weights = {coefficients_.data(), intercepts_.data(), num_scores_, rows.columns};
    std::vector<float> row_scores(static_cast<size_t>(num_scores_ + 1));
    std::vector<float> scratch(std::is_same_v<T, float> ? 0 : static_cast<size_t>(rows.columns));
    return make_step([this, &x, rows, labels, scores, weights, row_scores = std::move(row_scores),
                      scratch = std::move(scratch)](const Interrupt& interrupt) mutable {
      const T* from = x.as<T>();
      float* to = row_scores.data();
      for (int64_t row = 0; row < rows.count; ++row, from += rows.columns) {
        interrupt.poll();
        if (scores != nullptr) to = scores->as<float>() + row * width();
        weights.score(as_floats(from, rows.columns, &scratch), to);
        if (labels != nullptr) write_label(best(to), labels, row);
        if (has_second_score_) add_second_score(to);
        else apply(transform_, to, num_scores_);
      }
    });
  }

  // The label of the largest score; of equal scores, the first. A single score is that of the
  // second label.
  size_t best(const float* scores) const {
    if (num_scores_ == 1) return scores[0] > 0 ? 1 : 0;
    int64_t best = 0;
    for (int64_t i = 1; i < num_scores_; ++i) best = scores[i] > scores[best] ? i : best;
    return static_cast<size_t>(best);
  }

  void write_label(size_t label, Tensor* labels, int64_t row) const {
    if (texts_.empty()) labels->as<int64_t>()[row] = numbers_[label];
    else labels->as<Text>()[row] = texts_[label];
  }

  // Turns the single score into the scores of two classes. As in ONNX Runtime, it is taken as a
  // probability, unless the transform is LOGISTIC.
  void add_second_score(float* scores) const {
    const float score = scores[0];
    if (transform_ != PostTransform::kLogistic) {
      scores[0] = 1 - score;
      scores[1] = score;
      return;
    }
    scores[0] = logistic(-score);
    scores[1] = logistic(score);
  }

  const Node& node_;
  const std::vector<float>& coefficients_;
  const std::vector<float>& intercepts_;
  const int64_t num_scores_;
  const PostTransform transform_;
  std::vector<int64_t> numbers_;  // the labels, unless they are texts_
  std::vector<Text> texts_;
  bool has_second_score_ = false;  // two classes, whose scores follow from a single score
};

std::unique_ptr<Operator> make_linear_classifier(const Compile& compile) {
  return std::make_unique<LinearClassifier>(compile);
}

}  // namespace

const std::vector<OperatorEntry>& feature_operators() {
  static const auto* all = new std::vector<OperatorEntry>{
      {kDomain, "Scaler", 1, kAnyVersion, make_plain<prepare_scaler>, rows::by_row},
      {kDomain, "Imputer", 1, kAnyVersion, make_plain<prepare_imputer>, rows::by_row},
      {kDomain, "Binarizer", 1, kAnyVersion, make_plain<prepare_binarizer>, rows::by_element, 1},
      {kDomain, "Normalizer", 1, kAnyVersion, make_plain<prepare_normalizer>, rows::by_row},
      {kDomain, "FeatureVectorizer", 1, kAnyVersion, make_plain<prepare_vectorizer>, rows::by_rows},
      {kDomain, "LinearRegressor", 1, kAnyVersion, make_plain<prepare_linear_regressor>,
       rows::by_row},
      {kDomain, "LinearClassifier", 1, kAnyVersion, make_linear_classifier, rows::by_row, 1, 2},
  };
  return *all;
}

}  // namespace sidecall::native
