// The post transforms of ai.onnx.ml, which tree ensembles and linear models apply to their scores.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "operator.h"

namespace sidecall::native {

// The numbers are those of the attribute post_transform of TreeEnsemble.
enum class PostTransform : uint8_t { kNone, kSoftmax, kLogistic, kSoftmaxZero, kProbit };

// The attribute post_transform of the other operators, which is a text. Throws FILE_INVALID if it
// is not the name of a transform.
PostTransform post_transform_of(const Node& node);

// 1 / (1 + exp(-x)) within 1.7 units in the last place. The second form neither overflows nor loses
// the digits of small results. It has a smaller error than power / (1 + power), because the term
// that is subtracted is less than half of the power.
template <typename T>
T logistic(T x) {
  if (x >= T{0}) return T{1} / (T{1} + std::exp(-x));
  const T power = std::exp(x);
  return power - power * (power / (T{1} + power));
}

// An approximation of the quantile function of the normal distribution: sqrt(2) times the inverse
// error function of Winitzki with a = 0.147. In float, as ONNX Runtime computes it.
float probit(float x);

// Softmax of a row. With `keeps_zeros` (SOFTMAX_ZERO), the sum leaves out scores of nearly 0; they
// are only multiplied by exp(-largest) and divided by the sum. This is as in ONNX Runtime.
template <typename T>
void softmax(T* scores, int64_t count, bool keeps_zeros) {
  T largest = std::numeric_limits<T>::lowest();
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, scores[i]);
  T sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (keeps_zeros && !(std::fabs(scores[i]) > T(0.0000001F))) {
      scores[i] *= std::exp(-largest);
      continue;
    }
    scores[i] = std::exp(scores[i] - largest);
    sum += scores[i];
  }
  for (int64_t i = 0; i < count; ++i) scores[i] /= sum;
}

// Transforms the scores of one row. As in ONNX Runtime, only PROBIT changes a single score.
template <typename T>
void apply(PostTransform transform, T* scores, int64_t count) {
  switch (count == 1 && transform != PostTransform::kProbit ? PostTransform::kNone : transform) {
    case PostTransform::kNone:
      break;
    case PostTransform::kProbit:
      for (int64_t i = 0; i < count; ++i)
        scores[i] = static_cast<T>(probit(static_cast<float>(scores[i])));
      break;
    case PostTransform::kLogistic:
      for (int64_t i = 0; i < count; ++i) scores[i] = logistic(scores[i]);
      break;
    case PostTransform::kSoftmax:
    case PostTransform::kSoftmaxZero:
      softmax(scores, count, transform == PostTransform::kSoftmaxZero);
      break;
  }
}

}  // namespace sidecall::native
