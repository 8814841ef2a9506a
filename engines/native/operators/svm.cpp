// Support vector machines: SVMClassifier, SVMRegressor.
//
// As in ONNX Runtime, support vector machines compute in float whatever the type of the input. If
// the result is NaN, because terms of both signs overflowed, it is computed again in double, as
// libsvm does.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "core/text.h"
#include "engines/native/post_transform.h"
#include "row_rules.h"
#include "rows.h"
#include "tables.h"
#include "vector_panels.h"

namespace sidecall::native {
namespace {

constexpr const char* kDomain = "ai.onnx.ml";

[[noreturn]] void invalid(const Node& node, const std::string& problem) {
  refuse_node(node, SIDECALL_FILE_INVALID, problem);
}

// ---- Kernels ----

enum class KernelType : uint8_t { kLinear, kPolynomial, kRbf, kSigmoid };

struct Kernel {
  KernelType type = KernelType::kLinear;
  float gamma = 0, coef0 = 0, degree = 0;
};

Kernel kernel_of(const Node& node) {
  Kernel kernel;
  const std::string_view name = node.text("kernel_type", "LINEAR");
  if (name == "POLY") kernel.type = KernelType::kPolynomial;
  else if (name == "RBF") kernel.type = KernelType::kRbf;
  else if (name == "SIGMOID") kernel.type = KernelType::kSigmoid;
  else if (name != "LINEAR")
    invalid(node, "kernel_type: expected LINEAR, POLY, RBF or SIGMOID, got '" +
                      printable(std::string(name)) + "'");
  const auto& numbers = node.reals("kernel_params");
  if (numbers.size() != 3 && !(numbers.empty() && kernel.type == KernelType::kLinear))
    invalid(node, "kernel_params: expected gamma, coef0 and degree, got " +
                      std::to_string(numbers.size()) + " numbers");
  if (numbers.empty()) return kernel;
  kernel.gamma = numbers[0];
  kernel.coef0 = numbers[1];
  kernel.degree = numbers[2];
  return kernel;
}

// ONNX Runtime multiplies for the degrees 2 and 3, which rounds in another way than std::pow.
float power(float x, float degree) {
  if (degree == 2) return x * x;
  if (degree == 3) return x * x * x;
  return std::pow(x, degree);
}

// The number of components of each of `count` vectors. Throws FILE_INVALID if they are not all of
// one length of at least 1.
int64_t size_of_vectors(const Node& node, size_t numbers, int64_t count) {
  if (static_cast<uint64_t>(count) > numbers || numbers % static_cast<uint64_t>(count) != 0)
    invalid(node, "expected vectors of one length, got " + std::to_string(numbers) +
                      " numbers for " + std::to_string(count) + " vectors");
  return static_cast<int64_t>(numbers / static_cast<uint64_t>(count));
}

// The support vectors with their kernel or, for a linear model, its coefficients.
class SupportVectors {
 public:
  SupportVectors(Kernel kernel, const std::vector<float>& numbers, int64_t count, int64_t size)
      : kernel_(kernel), panels_(count, size) {
    panels_.pack(numbers.data());
  }

  int64_t count() const { return panels_.count(); }
  int64_t columns() const { return panels_.size(); }

  // Sets values[i] to the kernel of the row and vector i.
  void evaluate(const float* row, const Interrupt& interrupt, float* values) const {
    const float gamma = kernel_.gamma, coef0 = kernel_.coef0, degree = kernel_.degree;
    switch (kernel_.type) {
      case KernelType::kLinear:
        panels_.sum(row, interrupt, values, Product(), [](float sum) { return sum; });
        break;
      case KernelType::kPolynomial:
        panels_.sum(row, interrupt, values, Product(),
                    [=](float sum) { return power(gamma * sum + coef0, degree); });
        break;
      case KernelType::kRbf:
        panels_.sum(row, interrupt, values, SquaredDifference(),
                    [=](float sum) { return std::exp(-gamma * sum); });
        break;
      case KernelType::kSigmoid:
        panels_.sum(row, interrupt, values, Product(),
                    [=](float sum) { return std::tanh(gamma * sum + coef0); });
        break;
    }
  }

  // The kernel of the row and a vector.
  double evaluate_in_double(const float* row, int64_t vector) const {
    const double gamma = kernel_.gamma, coef0 = kernel_.coef0;
    double sum = 0;
    for (int64_t k = 0; k < columns(); ++k) {
      const double a = row[k], b = panels_.at(vector, k);
      sum += kernel_.type == KernelType::kRbf ? SquaredDifference()(a, b) : Product()(a, b);
    }
    switch (kernel_.type) {
      case KernelType::kPolynomial:
        return std::pow(gamma * sum + coef0, double{kernel_.degree});
      case KernelType::kRbf:
        return std::exp(-gamma * sum);
      case KernelType::kSigmoid:
        return std::tanh(gamma * sum + coef0);
      default:
        return sum;
    }
  }

 private:
  Kernel kernel_;
  VectorPanels<float> panels_;
};

void require_columns(const Node& node, const SupportVectors& vectors, const Rows& rows) {
  if (rows.columns != vectors.columns())
    refuse_node(node, SIDECALL_ENGINE,
                "its vectors have " + std::to_string(vectors.columns()) +
                    " components, but its input has " + std::to_string(rows.columns) + " columns");
}

// ---- SVMRegressor ----

class SvmRegressor final : public Operator {
 public:
  explicit SvmRegressor(const Compile& compile)
      : node_(compile.node),
        coefficients_(node_.reals("coefficients")),
        is_one_class_(node_.integer("one_class", 0) != 0) {
    const int64_t count = node_.integer("n_supports", 0);
    const auto& rho = node_.reals("rho");
    if (coefficients_.empty() || rho.empty()) invalid(node_, "expected coefficients and rho");
    if (count < 0) invalid(node_, "n_supports: expected 0 or more, got " + std::to_string(count));
    rho_ = rho[0];
    // ONNX Runtime ignores the transform.
    if (post_transform_of(node_) != PostTransform::kNone)
      refuse_node(node_, SIDECALL_UNSUPPORTED, "this engine has no post_transform for it but NONE");
    const Kernel kernel = kernel_of(node_);
    is_linear_ = count == 0;
    if (is_linear_) {
      vectors_ = std::make_unique<SupportVectors>(Kernel(), coefficients_, 1,
                                                  static_cast<int64_t>(coefficients_.size()));
      return;
    }
    const auto& numbers = node_.reals("support_vectors");
    const int64_t size = size_of_vectors(node_, numbers.size(), count);
    if (coefficients_.size() != static_cast<uint64_t>(count))
      invalid(node_, "expected a coefficient for each of " + std::to_string(count) +
                         " vectors, got " + std::to_string(coefficients_.size()));
    vectors_ = std::make_unique<SupportVectors>(kernel, numbers, count, size);
  }

  std::unique_ptr<Step> prepare(Inputs in, Outputs out) const override {
    const Tensor& x = required(node_, in, 0);
    if (x.dtype != SIDECALL_DTYPE_FLOAT32) refuse_type(node_, x);
    const Rows rows = rows_of(node_, x);
    require_columns(node_, *vectors_, rows);
    out[0]->shape(SIDECALL_DTYPE_FLOAT32, {rows.count, 1});
    std::vector<float> values(static_cast<size_t>(vectors_->count()));
    return make_step([this, &x, y = out[0], rows,
                      values = std::move(values)](const Interrupt& interrupt) mutable {
      const float* from = x.as<float>();
      float* to = y->as<float>();
      for (int64_t row = 0; row < rows.count; ++row, from += rows.columns) {
        vectors_->evaluate(from, interrupt, values.data());
        float sum = values[0];
        if (!is_linear_) sum = dot(values.data(), coefficients_.data(), vectors_->count());
        sum += rho_;
        if (std::isnan(sum)) sum = static_cast<float>(sum_in_double(from, interrupt));
        to[row] = !is_one_class_ ? sum : sum > 0 ? 1.0F : -1.0F;
      }
    });
  }

 private:
  double sum_in_double(const float* row, const Interrupt& interrupt) const {
    double sum = rho_;
    for (int64_t i = 0; i < vectors_->count(); ++i) {
      interrupt.poll();
      const double factor = is_linear_ ? 1 : coefficients_[static_cast<size_t>(i)];
      sum += factor * vectors_->evaluate_in_double(row, i);
    }
    return sum;
  }

  const Node& node_;
  const std::vector<float>& coefficients_;
  const bool is_one_class_;
  bool is_linear_ = false;
  float rho_ = 0;
  std::unique_ptr<SupportVectors> vectors_;
};

// ---- Probabilities of a classifier ----

// The probability of the first class of a pair, by Platt's method.
float pair_probability(float score, float a, float b) {
  const float value = score * a + b;
  const float likely = 1 / (1 + std::exp(-std::fabs(value)));
  const float probability = 1 - (value < 0 ? 1 - likely : likely);
  return std::min(std::max(probability, 1.0e-7F), 1 - 1.0e-7F);
}

// Combines the probabilities of pairs by the second method of Wu, Lin and Weng, "Probability
// estimates for multi-class classification by pairwise coupling", in the arithmetic of ONNX
// Runtime: the iteration ends at a rough limit, so another rounding could end it a step earlier.
class PairwiseCoupling {
 public:
  explicit PairwiseCoupling(int64_t classes)
      : classes_(classes),
        pairs_(static_cast<size_t>(classes * classes)),
        q_(pairs_.size()),
        qp_(static_cast<size_t>(classes)) {}

  // The probability that a row of class i or j is of class i.
  float& pair(int64_t i, int64_t j) { return pairs_[static_cast<size_t>(i * classes_ + j)]; }

  // Sets the probabilities of all classes.
  void combine(const Interrupt& interrupt, float* p) {
    for (int64_t i = 0; i < classes_; ++i) {
      interrupt.poll();
      p[i] = 1.0F / static_cast<float>(classes_);
      q(i, i) = 0;
      for (int64_t j = 0; j < classes_; ++j) {
        if (j != i) q(i, i) += pair(j, i) * pair(j, i);
        if (j < i) q(i, j) = q(j, i);
        if (j > i) q(i, j) = -pair(j, i) * pair(i, j);
      }
    }
    const float limit = 0.005F / static_cast<float>(classes_);
    for (int round = 0; round < kMaxRounds; ++round) {
      float pqp = product(interrupt, p);
      float error = 0;
      for (const float each : qp_) {
        const float distance = std::fabs(each - pqp);
        if (distance > error) error = distance;
      }
      if (error < limit) break;
      for (int64_t i = 0; i < classes_; ++i) {
        interrupt.poll();
        step(i, p, &pqp);
      }
    }
  }

 private:
  static constexpr int kMaxRounds = 100;

  float& q(int64_t i, int64_t j) { return q_[static_cast<size_t>(i * classes_ + j)]; }

  // Computes Q p, and returns p Q p.
  float product(const Interrupt& interrupt, const float* p) {
    float pqp = 0;
    for (int64_t i = 0; i < classes_; ++i) {
      interrupt.poll();
      float sum = 0;
      for (int64_t j = 0; j < classes_; ++j) sum += q(i, j) * p[j];
      qp_[static_cast<size_t>(i)] = sum;
      pqp += p[i] * sum;
    }
    return pqp;
  }

  // Optimises the probability of class i, and scales all so that their sum is 1.
  void step(int64_t i, float* p, float* pqp) {
    const float qp = qp_[static_cast<size_t>(i)];
    const float change = (-qp + *pqp) / q(i, i);
    p[i] += change;
    *pqp = (*pqp + change * (change * q(i, i) + 2 * qp)) / (1 + change) / (1 + change);
    for (int64_t j = 0; j < classes_; ++j) {
      float& product = qp_[static_cast<size_t>(j)];
      product = (product + change * q(i, j)) / (1 + change);
      p[j] /= 1 + change;
    }
  }

  int64_t classes_;
  std::vector<float> pairs_, q_, qp_;
};

// ---- SVMClassifier ----

class SvmClassifier final : public Operator {
 public:
  explicit SvmClassifier(const Compile& compile)
      : node_(compile.node),
        coefficients_(node_.reals("coefficients")),
        rho_(node_.reals("rho")),
        prob_a_(node_.reals("prob_a")),
        prob_b_(node_.reals("prob_b")),
        vectors_per_class_(node_.integers("vectors_per_class")),
        numbers_(node_.integers("classlabels_ints")),
        transform_(post_transform_of(node_)) {
    for (const std::string_view label : node_.texts("classlabels_strings"))
      texts_.push_back(compile.vocabulary.add(label));
    if (texts_.empty() == numbers_.empty())
      invalid(node_, "expected either classlabels_ints or classlabels_strings");
    classes_ = static_cast<int64_t>(std::max(texts_.size(), numbers_.size()));
    if (classes_ < 2 || classes_ > kMaxClasses)
      refuse_node(node_, SIDECALL_UNSUPPORTED,
                  "expected 2 to " + std::to_string(kMaxClasses) + " classes, got " +
                      std::to_string(classes_));
    if (coefficients_.empty() || rho_.empty()) invalid(node_, "expected coefficients and rho");
    if (prob_a_.size() != prob_b_.size())
      invalid(node_, "expected prob_a and prob_b of one length, got " +
                         std::to_string(prob_a_.size()) + " and " + std::to_string(prob_b_.size()));
    read_vectors();
    if (is_pair_ && transform_ == PostTransform::kProbit)
      refuse_node(node_, SIDECALL_UNSUPPORTED,
                  "this engine does not compute PROBIT for two classes");
  }

  std::unique_ptr<Step> prepare(Inputs in, Outputs out) const override {
    const Tensor& x = required(node_, in, 0);
    const Rows rows = rows_of(node_, x);
    require_columns(node_, *vectors_, rows);
    Tensor* labels = optional_output(out, 0);
    Tensor* scores = optional_output(out, 1);
    if (labels != nullptr)
      labels->shape(texts_.empty() ? SIDECALL_DTYPE_INT64 : SIDECALL_DTYPE_STRING, {rows.count});
    if (scores != nullptr) scores->shape(SIDECALL_DTYPE_FLOAT32, {rows.count, width()});
    return or_refuse(
        with_type<float, double, int64_t, int32_t>(
            x.dtype,
            [&](auto zero) { return classify_step<decltype(zero)>(x, rows, labels, scores); }),
        node_, x);
  }

 private:
  static constexpr int64_t kMaxClasses = 65535;

  // Memory for one row.
  struct Scratch {
    std::vector<float> row, values, pairs, scores;
    std::vector<double> exact;  // the values in double, once they are needed
    std::vector<int64_t> votes;
    PairwiseCoupling coupling;
  };

  int64_t num_pairs() const { return classes_ * (classes_ - 1) / 2; }
  bool has_probabilities() const { return !is_linear_ && !prob_a_.empty(); }

  // The number of scores of a row.
  int64_t width() const {
    return is_linear_ || has_probabilities() || classes_ == 2 ? classes_ : num_pairs();
  }

  void read_vectors() {
    const auto& numbers = node_.reals("support_vectors");
    const Kernel kernel = kernel_of(node_);
    int64_t count = 0;
    for (const int64_t each : vectors_per_class_) {
      if (each < 0 || static_cast<uint64_t>(each) > numbers.size() - static_cast<uint64_t>(count))
        invalid(node_,
                "vectors_per_class: expected at most as many vectors as support_vectors has "
                "numbers, got " +
                    std::to_string(each) + " for a class");
      begins_.push_back(count);
      count += each;
    }
    is_linear_ = count == 0;
    if (is_linear_) {
      const int64_t size = size_of_vectors(node_, coefficients_.size(), classes_);
      vectors_ = std::make_unique<SupportVectors>(Kernel(), coefficients_, classes_, size);
      is_positive_ = std::all_of(coefficients_.begin(), coefficients_.end(),
                                 [](float each) { return each >= 0; });
      return;
    }
    const auto require = [&](const char* what, size_t got, int64_t expected) {
      if (got < static_cast<uint64_t>(expected))
        invalid(node_, std::string(what) + ": expected at least " + std::to_string(expected) +
                           " numbers, got " + std::to_string(got));
    };
    if (static_cast<int64_t>(vectors_per_class_.size()) != classes_)
      invalid(node_, "vectors_per_class: expected one number for each of " +
                         std::to_string(classes_) + " classes, got " +
                         std::to_string(vectors_per_class_.size()));
    const int64_t size = size_of_vectors(node_, numbers.size(), count);
    require("coefficients", coefficients_.size(), (classes_ - 1) * count);
    require("rho", rho_.size(), num_pairs());
    if (!prob_a_.empty()) require("prob_a", prob_a_.size(), num_pairs());
    is_pair_ = classes_ == 2 && prob_a_.empty();
    vectors_ = std::make_unique<SupportVectors>(kernel, numbers, count, size);
  }

  template <typename T>
  std::unique_ptr<Step> classify_step(const Tensor& x, Rows rows, Tensor* labels,
                                      Tensor* scores) const {
    const auto size = [](int64_t count) { return static_cast<size_t>(count); };
    Scratch scratch = {std::vector<float>(std::is_same_v<T, float> ? 0 : size(rows.columns)),
                       std::vector<float>(size(vectors_->count())),
                       std::vector<float>(size(is_linear_ ? 0 : num_pairs())),
                       std::vector<float>(size(width())),
                       std::vector<double>(size(is_linear_ ? 0 : vectors_->count())),
                       std::vector<int64_t>(size(classes_)),
                       PairwiseCoupling(has_probabilities() ? classes_ : 0)};
    return make_step([this, &x, rows, labels, scores,
                      scratch = std::move(scratch)](const Interrupt& interrupt) mutable {
      const T* from = x.as<T>();
      float* to = scratch.scores.data();
      for (int64_t row = 0; row < rows.count; ++row, from += rows.columns) {
        if (scores != nullptr) to = scores->as<float>() + row * width();
        const float* numbers = as_floats(from, rows.columns, &scratch.row);
        const size_t label = is_linear_ ? score_linear(numbers, interrupt, to)
                                        : score_pairs(numbers, interrupt, &scratch, to);
        if (labels != nullptr) write_label(label, labels, row);
        if (!is_pair_) apply(transform_, to, width());
      }
    });
  }

  // Both return the position of the label.
  size_t score_linear(const float* row, const Interrupt& interrupt, float* scores) const {
    vectors_->evaluate(row, interrupt, scores);
    for (int64_t i = 0; i < classes_; ++i) {
      scores[i] += rho_[0];
      if (std::isnan(scores[i]))
        scores[i] = static_cast<float>(vectors_->evaluate_in_double(row, i) + rho_[0]);
    }
    const float* best = std::max_element(scores, scores + classes_);
    // As in ONNX Runtime: of two classes, the second one is chosen if any score is high enough.
    if (classes_ == 2 && prob_a_.empty() && (is_positive_ ? *best >= 0.5F : *best > 0)) return 1;
    return static_cast<size_t>(best - scores);
  }

  size_t score_pairs(const float* row, const Interrupt& interrupt, Scratch* scratch,
                     float* scores) const {
    vectors_->evaluate(row, interrupt, scratch->values.data());
    float* pairs = scratch->pairs.data();
    double* exact = scratch->exact.data();
    bool has_exact = false;
    std::vector<int64_t>& votes = scratch->votes;
    std::fill(votes.begin(), votes.end(), int64_t{0});
    int64_t pair = 0;
    for (int64_t i = 0; i < classes_ - 1; ++i) {
      interrupt.poll();
      for (int64_t j = i + 1; j < classes_; ++j, ++pair) {
        double sum = sum_pair(scratch->values.data(), i, j);
        if (std::isnan(sum)) {
          for (int64_t k = 0; !has_exact && k < vectors_->count(); ++k) {
            interrupt.poll();
            exact[k] = vectors_->evaluate_in_double(row, k);
          }
          has_exact = true;
          sum = sum_pair(exact, i, j);
        }
        sum += rho_[static_cast<size_t>(pair)];
        pairs[pair] = static_cast<float>(sum);
        ++votes[static_cast<size_t>(sum > 0 ? i : j)];
      }
    }
    if (has_probabilities()) {
      set_probabilities(pairs, interrupt, &scratch->coupling, scores);
    } else if (is_pair_) {
      set_both_scores(pairs[0], scores);
    } else {
      std::copy_n(pairs, num_pairs(), scores);
    }
    return static_cast<size_t>(std::max_element(votes.begin(), votes.end()) - votes.begin());
  }

  // The scores of two classes, after the transform. As in ONNX Runtime, SOFTMAX and SOFTMAX_ZERO
  // give the score and its difference from 1.
  void set_both_scores(float score, float* scores) const {
    switch (transform_) {
      case PostTransform::kNone:
        scores[0] = -score;
        scores[1] = score;
        break;
      case PostTransform::kLogistic:
        scores[0] = logistic(-score);
        scores[1] = logistic(score);
        break;
      default:
        scores[0] = 1 - score;
        scores[1] = score;
    }
  }

  // The sum of the kernels of the vectors of two classes, times their coefficients. As in ONNX
  // Runtime, products of float are rounded to float, and their sum is double.
  template <typename Value>
  double sum_pair(const Value* values, int64_t i, int64_t j) const {
    double sum = 0;
    add_class(values, j - 1, i, &sum);
    add_class(values, i, j, &sum);
    return sum;
  }

  template <typename Value>
  void add_class(const Value* values, int64_t row, int64_t of_class, double* sum) const {
    const int64_t begin = begins_[static_cast<size_t>(of_class)];
    const float* coefficients = coefficients_.data() + row * vectors_->count();
    for (int64_t i = begin; i < begin + vectors_per_class_[static_cast<size_t>(of_class)]; ++i)
      *sum += coefficients[i] * values[i];
  }

  void set_probabilities(const float* pairs, const Interrupt& interrupt, PairwiseCoupling* coupling,
                         float* scores) const {
    size_t at = 0;
    for (int64_t i = 0; i < classes_ - 1; ++i) {
      interrupt.poll();
      for (int64_t j = i + 1; j < classes_; ++j, ++at) {
        const float probability = pair_probability(pairs[at], prob_a_[at], prob_b_[at]);
        coupling->pair(i, j) = probability;
        coupling->pair(j, i) = 1 - probability;
      }
    }
    coupling->combine(interrupt, scores);
  }

  void write_label(size_t label, Tensor* labels, int64_t row) const {
    if (texts_.empty()) labels->as<int64_t>()[row] = numbers_[label];
    else labels->as<Text>()[row] = texts_[label];
  }

  const Node& node_;
  const std::vector<float>& coefficients_;
  const std::vector<float>& rho_;
  const std::vector<float>& prob_a_;
  const std::vector<float>& prob_b_;
  const std::vector<int64_t>& vectors_per_class_;
  const std::vector<int64_t>& numbers_;  // the labels, unless they are texts_
  std::vector<Text> texts_;
  const PostTransform transform_;
  int64_t classes_ = 0;
  bool is_linear_ = false;  // without support vectors
  bool is_pair_ = false;    // one score decides between two classes
  bool is_positive_ = false;
  std::vector<int64_t> begins_;  // by class: the position of its first vector
  std::unique_ptr<SupportVectors> vectors_;
};

template <typename Class>
std::unique_ptr<Operator> make_class(const Compile& compile) {
  return std::make_unique<Class>(compile);
}

}  // namespace

const std::vector<OperatorEntry>& svm_operators() {
  static const auto* all = new std::vector<OperatorEntry>{
      {kDomain, "SVMRegressor", 1, kAnyVersion, make_class<SvmRegressor>, rows::by_row},
      {kDomain, "SVMClassifier", 1, kAnyVersion, make_class<SvmClassifier>, rows::by_row, 1, 2},
  };
  return *all;
}

}  // namespace sidecall::native
