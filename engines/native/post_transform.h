// What trees and linear models do to the scores of a row at the end.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "operator.h"

namespace sidecall::native {

// Numbered as by the operator TreeEnsemble.
enum class PostTransform : uint8_t { kNone, kSoftmax, kLogistic, kSoftmaxZero, kProbit };

// The attribute post_transform of the other operators. Throws FILE_INVALID for other texts.
PostTransform post_transform_of(const Node& node);

// 1 / (1 + exp(-x)), in the form that does not overflow and keeps small probabilities exact.
template <typename T>
T logistic(T x) {
  if (x >= T{0}) return T{1} / (T{1} + std::exp(-x));
  const T power = std::exp(x);
  return power / (T{1} + power);
}

// The inverse of the distribution function of the normal distribution, by the approximation of
// Winitzki with 0.147, in float, as ONNX Runtime computes it.
float probit(float x);

// With `keeps_zeros`, scores of about 0 are not part of the sum.
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

// A single score is changed by PROBIT only.
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
