// Element-wise operators of one operand: functions, activations, Clip, Cast.
#include <algorithm>
#include <cmath>
#include <limits>

#include "arithmetic.h"
#include "broadcast.h"
#include "engines/native/post_transform.h"
#include "row_rules.h"
#include "tables.h"

namespace sidecall::native {
namespace {

template <typename A, typename R, typename Function>
std::unique_ptr<Step> unary_step(const Tensor& x, Tensor* out, Function function) {
  out->shape(dtype_of<R>(), x.dims);
  return make_step([&x, out, function](const Interrupt& interrupt) {
    const A* from = x.as<A>();
    R* to = out->as<R>();
    for_each_part(x.count, interrupt, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) to[i] = function(from[i]);
    });
  });
}

// ---- Functions ----

struct Neg {
  template <typename T>
  T operator()(T x) const {
    if constexpr (std::is_floating_point_v<T>) return -x;
    else return Subtract()(T{0}, x);
  }
};
struct Abs {
  template <typename T>
  T operator()(T x) const {
    if constexpr (std::is_floating_point_v<T>) return std::fabs(x);
    else return x < 0 ? Neg()(x) : x;
  }
};
struct Sign {
  template <typename T>
  T operator()(T x) const {
    if (x != x) return x;  // NaN
    return static_cast<T>((x > T{0}) - (x < T{0}));
  }
};
struct Floor {
  template <typename T>
  T operator()(T x) const {
    return std::floor(x);
  }
};
struct Ceil {
  template <typename T>
  T operator()(T x) const {
    return std::ceil(x);
  }
};
struct Round {
  template <typename T>
  T operator()(T x) const {
    return std::nearbyint(x);
  }
};
struct Sqrt {
  template <typename T>
  T operator()(T x) const {
    return std::sqrt(x);
  }
};
struct Reciprocal {
  template <typename T>
  T operator()(T x) const {
    return T{1} / x;
  }
};
struct Exp {
  template <typename T>
  T operator()(T x) const {
    return std::exp(x);
  }
};
struct Log {
  template <typename T>
  T operator()(T x) const {
    return std::log(x);
  }
};
struct Sin {
  template <typename T>
  T operator()(T x) const {
    return std::sin(x);
  }
};
struct Cos {
  template <typename T>
  T operator()(T x) const {
    return std::cos(x);
  }
};
struct Tanh {
  template <typename T>
  T operator()(T x) const {
    return std::tanh(x);
  }
};
struct Erf {
  template <typename T>
  T operator()(T x) const {
    return std::erf(x);
  }
};
struct Sigmoid {
  template <typename T>
  T operator()(T x) const {
    return logistic(x);
  }
};
struct Relu {
  template <typename T>
  T operator()(T x) const {
    return x < T{0} ? T{0} : x;
  }
};
struct Not {
  uint8_t operator()(uint8_t x) const { return x == 0; }
};
struct IsNaN {
  template <typename T>
  uint8_t operator()(T x) const {
    return std::isnan(x);
  }
};

// ---- Activations of neural networks ----

// Each has the attributes of its node, with these defaults, and is defined for float only, as in
// ONNX Runtime. Elu, Selu and Softplus lose no digits near 0.
struct LeakyRelu {
  explicit LeakyRelu(const Node& node) : alpha(node.real("alpha", 0.01F)) {}
  float operator()(float x) const { return x >= 0 ? x : alpha * x; }
  float alpha;
};
struct Elu {
  explicit Elu(const Node& node) : alpha(node.real("alpha", 1)) {}
  float operator()(float x) const { return x >= 0 ? x : alpha * std::expm1(x); }
  float alpha;
};
struct Selu {
  explicit Selu(const Node& node)
      : alpha(node.real("alpha", 1.67326319F)), gamma(node.real("gamma", 1.05070102F)) {}
  float operator()(float x) const { return gamma * (x > 0 ? x : alpha * std::expm1(x)); }
  float alpha, gamma;
};
struct Softplus {
  explicit Softplus(const Node&) {}
  float operator()(float x) const {
    return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
  }
};
struct Softsign {
  explicit Softsign(const Node&) {}
  // As in ONNX Runtime, which multiplies by the reciprocal.
  float operator()(float x) const { return 1 / (1 + std::fabs(x)) * x; }
};

template <typename Activation>
std::unique_ptr<Step> prepare_activation(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  if (x.dtype != SIDECALL_DTYPE_FLOAT32) refuse_type(node, x);
  return unary_step<float, float>(x, out[0], Activation(node));
}

// Only training drops elements.
std::unique_ptr<Step> prepare_dropout(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const Tensor* training = optional(in, 2);
  if (optional_output(out, 1) != nullptr)
    refuse_node(node, SIDECALL_UNSUPPORTED, "this engine does not compute its mask");
  if (training != nullptr && (!training->is_known || training->dtype != SIDECALL_DTYPE_BOOL ||
                              training->count != 1 || *training->as<uint8_t>() != 0))
    refuse_node(node, SIDECALL_UNSUPPORTED, "this engine does not train: expected training_mode 0");
  if (x.dtype != SIDECALL_DTYPE_FLOAT32 && x.dtype != SIDECALL_DTYPE_FLOAT64) refuse_type(node, x);
  out[0]->shape(x.dtype, x.dims);
  out[0]->place = x.place;
  return nullptr;
}

// The scale, bias, mean and variance of each channel, which is an index of axis 1. As in ONNX
// Runtime, they are combined first, so that each element takes one product and one sum.
template <typename T>
std::unique_ptr<Step> batch_normalization_step(Inputs in, Tensor* out, float epsilon) {
  const Tensor& x = *in[0];
  const int64_t channels = in[1]->count;
  const int64_t size = x.count / std::max<int64_t>(channels * x.dims[0], 1);
  std::vector<T> factors(static_cast<size_t>(channels)), terms(factors);
  return make_step([in, &x, out, channels, size, epsilon, factors = std::move(factors),
                    terms = std::move(terms)](const Interrupt& interrupt) mutable {
    for (size_t i = 0; i < factors.size(); ++i) {
      const T deviation = std::sqrt(in[4]->as<T>()[i] + static_cast<T>(epsilon));
      factors[i] = T{1} / deviation * in[1]->as<T>()[i];
      terms[i] = in[2]->as<T>()[i] - in[3]->as<T>()[i] * factors[i];
    }
    const T* from = x.as<T>();
    T* to = out->as<T>();
    for (int64_t row = 0; row < x.dims[0]; ++row) {
      if (size == 1) {
        if (row % kRowsPerPoll == 0) interrupt.poll();
        for (int64_t i = 0; i < channels; ++i)
          to[i] = from[i] * factors[static_cast<size_t>(i)] + terms[static_cast<size_t>(i)];
        from += channels;
        to += channels;
        continue;
      }
      for (size_t i = 0; i < factors.size(); ++i, from += size, to += size) {
        const T factor = factors[i], term = terms[i];
        for_each_part(size, interrupt, [&](int64_t begin, int64_t end) {
          for (int64_t k = begin; k < end; ++k) to[k] = from[k] * factor + term;
        });
      }
    }
  });
}

std::unique_ptr<Step> prepare_batch_normalization(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  if (node.integer("training_mode", 0) != 0)
    refuse_node(node, SIDECALL_UNSUPPORTED, "this engine does not train: expected training_mode 0");
  if (node.integer("spatial", 1) != 1)
    refuse_node(node, SIDECALL_UNSUPPORTED, "this engine normalizes by channels only");
  if (x.rank() < 2) refuse_node(node, SIDECALL_ENGINE, "expected an input of rank 2 or more");
  for (size_t i = 1; i < 5; ++i) {
    const Tensor& each = required(node, in, i);
    require_same_types(node, x, each);
    if (each.dims != Dims{x.dims[1]})
      refuse_node(
          node, SIDECALL_ENGINE,
          "expected lists of one number for each of " + std::to_string(x.dims[1]) + " channels");
  }
  out[0]->shape(x.dtype, x.dims);
  const float epsilon = node.real("epsilon", 1e-5F);
  return or_refuse(
      with_type<double, float>(
          x.dtype,
          [&](auto zero) { return batch_normalization_step<decltype(zero)>(in, out[0], epsilon); }),
      node, x);
}

template <typename Function, typename... Types>
std::unique_ptr<Step> prepare_unary(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  return or_refuse(with_type<Types...>(x.dtype,
                                       [&](auto zero) {
                                         using T = decltype(zero);
                                         return unary_step<T, T>(x, out[0], Function());
                                       }),
                   node, x);
}

std::unique_ptr<Step> prepare_isnan(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  return or_refuse(with_type<double, float>(x.dtype,
                                            [&](auto zero) {
                                              using T = decltype(zero);
                                              return unary_step<T, uint8_t>(x, out[0], IsNaN());
                                            }),
                   node, x);
}

std::unique_ptr<Step> prepare_isinf(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const bool positive = node.integer("detect_positive", 1) != 0;
  const bool negative = node.integer("detect_negative", 1) != 0;
  return or_refuse(
      with_type<double, float>(x.dtype,
                               [&](auto zero) {
                                 using T = decltype(zero);
                                 return unary_step<T, uint8_t>(x, out[0], [=](T value) -> uint8_t {
                                   return std::isinf(value) && (value > 0 ? positive : negative);
                                 });
                               }),
      node, x);
}

// ---- Clip ----

// A limit that is NaN does not limit. If the lower limit is greater, the result is the upper one.
template <typename T>
T clip(T x, T low, T high) {
  const T raised = x < low ? low : x;
  return high < raised ? high : raised;
}

// The limits are inputs from version 11 on, and attributes before. Both are optional.
std::unique_ptr<Step> prepare_clip(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const Tensor* low = optional(in, 1);
  const Tensor* high = optional(in, 2);
  for (const Tensor* limit : {low, high}) {
    if (limit == nullptr) continue;
    require_same_types(node, x, *limit);
    if (limit->rank() > 1 || limit->count != 1)
      refuse_node(node, SIDECALL_ENGINE, "expected limits of one element each");
  }
  out[0]->shape(x.dtype, x.dims);
  return or_refuse(
      with_type<double, float, int64_t, int32_t>(
          x.dtype,
          [&](auto zero) {
            using T = decltype(zero);
            return make_step([&x, low, high, result = out[0]](const Interrupt& interrupt) {
              using Limits = std::numeric_limits<T>;
              const T least = low == nullptr ? Limits::lowest() : *low->as<T>();
              const T most = high == nullptr ? Limits::max() : *high->as<T>();
              const T* from = x.as<T>();
              T* to = result->as<T>();
              for_each_part(x.count, interrupt, [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) to[i] = clip(from[i], least, most);
              });
            });
          }),
      node, x);
}

std::unique_ptr<Step> prepare_clip_before_11(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  using Limits = std::numeric_limits<float>;
  const float low = node.real("min", Limits::lowest()), high = node.real("max", Limits::max());
  if (x.dtype != SIDECALL_DTYPE_FLOAT32) refuse_type(node, x);
  return unary_step<float, float>(x, out[0], [=](float value) { return clip(value, low, high); });
}

// ---- Cast ----

// Converts as the x86 instructions do: a real number that does not fit becomes the smallest
// integer, and so does NaN.
template <typename To, typename From>
To convert(From x) {
  if constexpr (std::is_same_v<To, uint8_t>) {
    return x != From{0} ? 1 : 0;
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // 2^31 or 2^63, which float and double represent exactly.
    const From limit = std::ldexp(From{1}, std::numeric_limits<To>::digits);
    if (!(x < limit) || x < -limit) return std::numeric_limits<To>::min();
    return static_cast<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

std::unique_ptr<Step> prepare_cast(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const int64_t to = node.integer("to", 0);
  if (x.dtype == to) {
    out[0]->shape(x.dtype, x.dims);
    out[0]->place = x.place;
    return nullptr;
  }
  std::unique_ptr<Step> step =
      with_type<double, float, int64_t, int32_t, uint8_t>(x.dtype, [&](auto zero) {
        using From = decltype(zero);
        return with_type<double, float, int64_t, int32_t, uint8_t>(
            static_cast<int32_t>(to), [&](auto other) {
              using To = decltype(other);
              return unary_step<From, To>(x, out[0], [](From value) { return convert<To>(value); });
            });
      });
  if (!step)
    refuse_node(node, SIDECALL_UNSUPPORTED,
                std::string("this engine does not cast ") + dtype_name(x.dtype) + " to " +
                    dtype_name(static_cast<int32_t>(to)));
  return step;
}

template <typename Function>
constexpr MakeOperator real_unary() {
  return make_plain<prepare_unary<Function, double, float>>;
}

}  // namespace

const std::vector<OperatorEntry>& function_operators() {
  static const auto* all = new std::vector<OperatorEntry>{
      {"", "Clip", 6, 10, make_plain<prepare_clip_before_11>, rows::by_element, 1},
      {"", "Clip", 11, kAnyVersion, make_plain<prepare_clip>, rows::by_element, 3},
      {"", "Not", 1, kAnyVersion, make_plain<prepare_unary<Not, uint8_t>>, rows::by_element, 1},
      {"", "Neg", 6, kAnyVersion, make_plain<prepare_unary<Neg, double, float, int64_t, int32_t>>,
       rows::by_element, 1},
      {"", "Abs", 6, kAnyVersion, make_plain<prepare_unary<Abs, double, float, int64_t, int32_t>>,
       rows::by_element, 1},
      {"", "Sign", 9, kAnyVersion, make_plain<prepare_unary<Sign, double, float, int64_t, int32_t>>,
       rows::by_element, 1},
      {"", "Floor", 6, kAnyVersion, real_unary<Floor>(), rows::by_element, 1},
      {"", "Ceil", 6, kAnyVersion, real_unary<Ceil>(), rows::by_element, 1},
      {"", "Round", 11, kAnyVersion, real_unary<Round>(), rows::by_element, 1},
      {"", "Sqrt", 6, kAnyVersion, real_unary<Sqrt>(), rows::by_element, 1},
      {"", "Reciprocal", 6, kAnyVersion, real_unary<Reciprocal>(), rows::by_element, 1},
      {"", "Exp", 6, kAnyVersion, real_unary<Exp>(), rows::by_element, 1},
      {"", "Log", 6, kAnyVersion, real_unary<Log>(), rows::by_element, 1},
      {"", "Sin", 7, kAnyVersion, real_unary<Sin>(), rows::by_element, 1},
      {"", "Cos", 7, kAnyVersion, real_unary<Cos>(), rows::by_element, 1},
      {"", "Tanh", 6, kAnyVersion, real_unary<Tanh>(), rows::by_element, 1},
      {"", "Erf", 9, kAnyVersion, real_unary<Erf>(), rows::by_element, 1},
      {"", "Sigmoid", 6, kAnyVersion, real_unary<Sigmoid>(), rows::by_element, 1},
      {"", "Relu", 6, kAnyVersion, real_unary<Relu>(), rows::by_element, 1},
      {"", "LeakyRelu", 6, kAnyVersion, make_plain<prepare_activation<LeakyRelu>>, rows::by_element,
       1},
      {"", "Elu", 6, kAnyVersion, make_plain<prepare_activation<Elu>>, rows::by_element, 1},
      {"", "Selu", 6, kAnyVersion, make_plain<prepare_activation<Selu>>, rows::by_element, 1},
      {"", "Softplus", 1, kAnyVersion, make_plain<prepare_activation<Softplus>>, rows::by_element,
       1},
      {"", "Softsign", 1, kAnyVersion, make_plain<prepare_activation<Softsign>>, rows::by_element,
       1},
      {"", "Dropout", 7, 11, make_plain<prepare_dropout>, rows::itself, 1, 2},
      {"", "Dropout", 12, kAnyVersion, make_plain<prepare_dropout>, rows::itself, 3, 2},
      {"", "BatchNormalization", 7, kAnyVersion, make_plain<prepare_batch_normalization>,
       rows::by_row},
      {"", "IsNaN", 9, kAnyVersion, make_plain<prepare_isnan>, rows::by_element, 1},
      {"", "IsInf", 10, kAnyVersion, make_plain<prepare_isinf>, rows::by_element, 1},
      {"", "Cast", 6, kAnyVersion, make_plain<prepare_cast>, rows::cast},
  };
  return *all;
}

}  // namespace sidecall::native
