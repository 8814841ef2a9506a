// Element-wise operators: arithmetic, comparisons, logic, functions of one number, casts.
#include <algorithm>
#include <cmath>
#include <limits>

#include "broadcast.h"
#include "engines/native/post_transform.h"
#include "tables.h"

namespace sidecall::native {
namespace {

// Applies `function` to the elements of two operands, with broadcasting. There is a loop for each
// combination of strides, so that the compiler can vectorise it.
template <typename A, typename B, typename R, typename Function>
std::unique_ptr<Step> binary_step(const Tensor& a, const Tensor& b, Tensor* out,
                                  Function function) {
  Broadcast<2> loops({&a, &b});
  out->shape(dtype_of<R>(), loops.dims());
  return make_step([loops, &a, &b, out, function] {
    const A* left = a.as<A>();
    const B* right = b.as<B>();
    R* result = out->as<R>();
    const bool left_moves = loops.stride(0) != 0;
    const bool right_moves = loops.stride(1) != 0;
    loops.for_each([&](int64_t count, const std::array<int64_t, 2>& offsets, int64_t at) {
      const A* x = left + offsets[0];
      const B* y = right + offsets[1];
      R* z = result + at;
      if (left_moves && right_moves) {
        for (int64_t i = 0; i < count; ++i) z[i] = function(x[i], y[i]);
      } else if (left_moves) {
        const B fixed = count > 0 ? *y : B{};
        for (int64_t i = 0; i < count; ++i) z[i] = function(x[i], fixed);
      } else {
        const A fixed = count > 0 ? *x : A{};
        for (int64_t i = 0; i < count; ++i)
          z[i] = right_moves ? function(fixed, y[i]) : function(fixed, *y);
      }
    });
  });
}

template <typename A, typename R, typename Function>
std::unique_ptr<Step> unary_step(const Tensor& x, Tensor* out, Function function) {
  out->shape(dtype_of<R>(), x.dims);
  return make_step([&x, out, count = x.count, function] {
    const A* from = x.as<A>();
    R* to = out->as<R>();
    for (int64_t i = 0; i < count; ++i) to[i] = function(from[i]);
  });
}

void require_same_types(const Node& node, const Tensor& a, const Tensor& b) {
  if (a.dtype != b.dtype)
    refuse_node(node, SIDECALL_FILE_INVALID,
                std::string("expected inputs of one type, got ") + dtype_name(a.dtype) + " and " +
                    dtype_name(b.dtype));
}

// ---- Two operands ----

// Signed integers wrap around on overflow: they are computed as unsigned ones.
template <typename T, typename Function>
T wrapping(T a, T b, Function function) {
  if constexpr (std::is_integral_v<T>) {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(function(static_cast<U>(a), static_cast<U>(b)));
  } else {
    return function(a, b);
  }
}

struct Add {
  template <typename T>
  T operator()(T a, T b) const {
    return wrapping(a, b, [](auto x, auto y) { return x + y; });
  }
};
struct Sub {
  template <typename T>
  T operator()(T a, T b) const {
    return wrapping(a, b, [](auto x, auto y) { return x - y; });
  }
};
struct Mul {
  template <typename T>
  T operator()(T a, T b) const {
    return wrapping(a, b, [](auto x, auto y) { return x * y; });
  }
};
struct Div {
  template <typename T>
  T operator()(T a, T b) const {
    return a / b;
  }
};
struct Max {
  template <typename T>
  T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(a)) return a;
      if (std::isnan(b)) return b;
    }
    return a < b ? b : a;
  }
};
struct Min {
  template <typename T>
  T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(a)) return a;
      if (std::isnan(b)) return b;
    }
    return b < a ? b : a;
  }
};

template <typename Function>
std::unique_ptr<Step> prepare_arithmetic(const Node& node, Inputs in, Outputs out) {
  const Tensor& a = required(node, in, 0);
  const Tensor& b = required(node, in, 1);
  require_same_types(node, a, b);
  return or_refuse(with_type<double, float, int64_t, int32_t>(a.dtype,
                                                              [&](auto zero) {
                                                                using T = decltype(zero);
                                                                return binary_step<T, T, T>(
                                                                    a, b, out[0], Function());
                                                              }),
                   node, a);
}

// Integers are not supported: a division by zero would end the process.
std::unique_ptr<Step> prepare_div(const Node& node, Inputs in, Outputs out) {
  const Tensor& a = required(node, in, 0);
  const Tensor& b = required(node, in, 1);
  require_same_types(node, a, b);
  return or_refuse(with_type<double, float>(a.dtype,
                                            [&](auto zero) {
                                              using T = decltype(zero);
                                              return binary_step<T, T, T>(a, b, out[0], Div());
                                            }),
                   node, a);
}

// Max, Min and Sum of one or more tensors.
template <typename Function>
std::unique_ptr<Step> prepare_variadic(const Node& node, Inputs in, Outputs out) {
  const Tensor& first = required(node, in, 0);
  if (in.size() == 1) {
    out[0]->shape(first.dtype, first.dims);
    out[0]->place = first.place;
    return nullptr;
  }
  if (in.size() == 2) return prepare_arithmetic<Function>(node, in, out);
  // Combines the result so far with one operand after the other. Each intermediate result has a
  // scratch tensor.
  struct Chain final : Step {
    std::vector<std::unique_ptr<Tensor>> tensors;
    std::vector<std::unique_ptr<Place>> places;
    std::vector<std::unique_ptr<Buffer>> buffers;
    std::vector<std::unique_ptr<Step>> steps;
    void run(const Interrupt& interrupt) override {
      for (const auto& step : steps) step->run(interrupt);
    }
  };
  auto chain = std::make_unique<Chain>();
  const Tensor* left = &first;
  for (size_t i = 1; i < in.size(); ++i) {
    const Tensor& right = required(node, in, i);
    Tensor* result = out[0];
    const bool is_last = i + 1 == in.size();
    if (!is_last) {
      result = chain->tensors.emplace_back(std::make_unique<Tensor>()).get();
      result->place = chain->places.emplace_back(std::make_unique<Place>()).get();
    }
    chain->steps.push_back(prepare_arithmetic<Function>(node, {left, &right}, {result}));
    if (!is_last) {
      auto& buffer = chain->buffers.emplace_back(std::make_unique<Buffer>());
      buffer->reserve(static_cast<uint64_t>(result->count) * element_bytes(result->dtype));
      result->place->data = buffer->data();
    }
    left = result;
  }
  return chain;
}

// As in ONNX Runtime, a single exponent of 2 or 3 multiplies, which rounds in another way than the
// general function.
template <typename T, typename E>
std::unique_ptr<Step> pow_step(const Tensor& base, const Tensor& exponent, Tensor* out) {
  std::unique_ptr<Step> general = binary_step<T, E, T>(
      base, exponent, out, [](T x, E power) { return static_cast<T>(std::pow(x, power)); });
  if (exponent.count != 1) return general;
  return make_step(
      [&base, &exponent, out, general = std::move(general)](const Interrupt& interrupt) {
        const E power = *exponent.as<E>();
        if (power != E{2} && power != E{3}) {
          general->run(interrupt);
          return;
        }
        const T* x = base.as<T>();
        T* y = out->as<T>();
        for (int64_t i = 0; i < base.count; ++i) {
          const T square = x[i] * x[i];
          y[i] = power == E{2} ? square : square * x[i];
        }
      });
}

std::unique_ptr<Step> prepare_pow(const Node& node, Inputs in, Outputs out) {
  const Tensor& base = required(node, in, 0);
  const Tensor& exponent = required(node, in, 1);
  return or_refuse(with_type<double, float>(base.dtype,
                                            [&](auto zero) {
                                              using T = decltype(zero);
                                              return with_type<double, float, int64_t, int32_t>(
                                                  exponent.dtype, [&](auto other) {
                                                    return pow_step<T, decltype(other)>(
                                                        base, exponent, out[0]);
                                                  });
                                            }),
                   node, base);
}

struct Equal {
  template <typename T>
  uint8_t operator()(const T& a, const T& b) const {
    return a == b;
  }
};
struct Less {
  template <typename T>
  uint8_t operator()(T a, T b) const {
    return a < b;
  }
};
struct LessOrEqual {
  template <typename T>
  uint8_t operator()(T a, T b) const {
    return a <= b;
  }
};
struct Greater {
  template <typename T>
  uint8_t operator()(T a, T b) const {
    return a > b;
  }
};
struct GreaterOrEqual {
  template <typename T>
  uint8_t operator()(T a, T b) const {
    return a >= b;
  }
};

template <typename Function, typename... Types>
std::unique_ptr<Step> prepare_comparison(const Node& node, Inputs in, Outputs out) {
  const Tensor& a = required(node, in, 0);
  const Tensor& b = required(node, in, 1);
  require_same_types(node, a, b);
  return or_refuse(with_type<Types...>(a.dtype,
                                       [&](auto zero) {
                                         using T = decltype(zero);
                                         return binary_step<T, T, uint8_t>(a, b, out[0],
                                                                           Function());
                                       }),
                   node, a);
}

struct And {
  uint8_t operator()(uint8_t a, uint8_t b) const { return a & b; }
};
struct Or {
  uint8_t operator()(uint8_t a, uint8_t b) const { return a | b; }
};
struct Xor {
  uint8_t operator()(uint8_t a, uint8_t b) const { return a ^ b; }
};

template <typename Function>
std::unique_ptr<Step> prepare_logic(const Node& node, Inputs in, Outputs out) {
  const Tensor& a = required(node, in, 0);
  const Tensor& b = required(node, in, 1);
  require_same_types(node, a, b);
  if (a.dtype != SIDECALL_DTYPE_BOOL) refuse_type(node, a);
  return binary_step<uint8_t, uint8_t, uint8_t>(a, b, out[0], Function());
}

std::unique_ptr<Step> prepare_where(const Node& node, Inputs in, Outputs out) {
  const Tensor& condition = required(node, in, 0);
  const Tensor& yes = required(node, in, 1);
  const Tensor& no = required(node, in, 2);
  require_same_types(node, yes, no);
  if (condition.dtype != SIDECALL_DTYPE_BOOL) refuse_type(node, condition);
  const Broadcast<3> loops({&condition, &yes, &no});
  out[0]->shape(yes.dtype, loops.dims());
  return or_refuse(
      with_type<double, float, int64_t, int32_t, uint8_t, Text>(
          yes.dtype,
          [&](auto zero) {
            using T = decltype(zero);
            return make_step([loops, &condition, &yes, &no, result = out[0]] {
              const int64_t sc = loops.stride(0), sy = loops.stride(1), sn = loops.stride(2);
              loops.for_each([&](int64_t count, const std::array<int64_t, 3>& offsets, int64_t at) {
                const uint8_t* c = condition.as<uint8_t>() + offsets[0];
                const T* y = yes.as<T>() + offsets[1];
                const T* n = no.as<T>() + offsets[2];
                T* z = result->as<T>() + at;
                for (int64_t i = 0; i < count; ++i) z[i] = c[i * sc] != 0 ? y[i * sy] : n[i * sn];
              });
            });
          }),
      node, yes);
}

// ---- One operand ----

struct Neg {
  template <typename T>
  T operator()(T x) const {
    return wrapping(T{0}, x,
                    [](auto zero, auto y) { return std::is_floating_point_v<T> ? -y : zero - y; });
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

const std::vector<OperatorEntry>& elementwise_operators() {
  static const auto* all = new std::vector<OperatorEntry>{
      {"", "Add", 7, kAnyVersion, make_plain<prepare_arithmetic<Add>>},
      {"", "Sub", 7, kAnyVersion, make_plain<prepare_arithmetic<Sub>>},
      {"", "Mul", 7, kAnyVersion, make_plain<prepare_arithmetic<Mul>>},
      {"", "Div", 7, kAnyVersion, make_plain<prepare_div>},
      {"", "Pow", 12, kAnyVersion, make_plain<prepare_pow>},
      {"", "Max", 8, kAnyVersion, make_plain<prepare_variadic<Max>>},
      {"", "Min", 8, kAnyVersion, make_plain<prepare_variadic<Min>>},
      {"", "Sum", 8, kAnyVersion, make_plain<prepare_variadic<Add>>},
      {"", "Equal", 7, kAnyVersion,
       make_plain<prepare_comparison<Equal, double, float, int64_t, int32_t, uint8_t, Text>>},
      {"", "Less", 9, kAnyVersion,
       make_plain<prepare_comparison<Less, double, float, int64_t, int32_t>>},
      {"", "LessOrEqual", 12, kAnyVersion,
       make_plain<prepare_comparison<LessOrEqual, double, float, int64_t, int32_t>>},
      {"", "Greater", 9, kAnyVersion,
       make_plain<prepare_comparison<Greater, double, float, int64_t, int32_t>>},
      {"", "GreaterOrEqual", 12, kAnyVersion,
       make_plain<prepare_comparison<GreaterOrEqual, double, float, int64_t, int32_t>>},
      {"", "And", 7, kAnyVersion, make_plain<prepare_logic<And>>},
      {"", "Or", 7, kAnyVersion, make_plain<prepare_logic<Or>>},
      {"", "Xor", 7, kAnyVersion, make_plain<prepare_logic<Xor>>},
      {"", "Where", 9, kAnyVersion, make_plain<prepare_where>},
      {"", "Not", 1, kAnyVersion, make_plain<prepare_unary<Not, uint8_t>>},
      {"", "Neg", 6, kAnyVersion, make_plain<prepare_unary<Neg, double, float, int64_t, int32_t>>},
      {"", "Abs", 6, kAnyVersion, make_plain<prepare_unary<Abs, double, float, int64_t, int32_t>>},
      {"", "Sign", 9, kAnyVersion,
       make_plain<prepare_unary<Sign, double, float, int64_t, int32_t>>},
      {"", "Floor", 6, kAnyVersion, real_unary<Floor>()},
      {"", "Ceil", 6, kAnyVersion, real_unary<Ceil>()},
      {"", "Round", 11, kAnyVersion, real_unary<Round>()},
      {"", "Sqrt", 6, kAnyVersion, real_unary<Sqrt>()},
      {"", "Reciprocal", 6, kAnyVersion, real_unary<Reciprocal>()},
      {"", "Exp", 6, kAnyVersion, real_unary<Exp>()},
      {"", "Log", 6, kAnyVersion, real_unary<Log>()},
      {"", "Sin", 7, kAnyVersion, real_unary<Sin>()},
      {"", "Cos", 7, kAnyVersion, real_unary<Cos>()},
      {"", "Tanh", 6, kAnyVersion, real_unary<Tanh>()},
      {"", "Erf", 9, kAnyVersion, real_unary<Erf>()},
      {"", "Sigmoid", 6, kAnyVersion, real_unary<Sigmoid>()},
      {"", "Relu", 6, kAnyVersion, real_unary<Relu>()},
      {"", "IsNaN", 9, kAnyVersion, make_plain<prepare_isnan>},
      {"", "IsInf", 10, kAnyVersion, make_plain<prepare_isinf>},
      {"", "Cast", 9, kAnyVersion, make_plain<prepare_cast>},
  };
  return *all;
}

}  // namespace sidecall::native
