// Element-wise operators of several operands: arithmetic, comparisons, logic, selection.
#include <array>
#include <cmath>

#include "arithmetic.h"
#include "broadcast.h"
#include "row_rules.h"
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
  return make_step([loops, &a, &b, out, function](const Interrupt& interrupt) {
    const A* left = a.as<A>();
    const B* right = b.as<B>();
    R* result = out->as<R>();
    const bool left_moves = loops.stride(0) != 0;
    const bool right_moves = loops.stride(1) != 0;
    const auto part = [&](int64_t count, const std::array<int64_t, 2>& offsets, int64_t at) {
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
    };
    loops.for_each_part(interrupt, part);
  });
}

// ---- Arithmetic ----

struct Div {
  template <typename T>
  T operator()(T a, T b) const {
    return a / b;
  }
};
// Of two zeros, the first one is the result, in every row. In ONNX Runtime, which of them it is
// depends on the position of the row in the batch.
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

// Division by zero would end the process. It sets `is_undefined` instead.
struct WholeQuotient {
  template <typename T>
  T operator()(T a, T b, bool* is_undefined) const {
    *is_undefined |= b == 0;
    // The quotient of the smallest integer and -1 wraps around.
    if (b == 0 || b == -1) return Subtract()(T{0}, a);
    return a / b;
  }
};
// The remainder has the sign of the divisor, as in Python.
struct WholeRemainder {
  template <typename T>
  T operator()(T a, T b, bool* is_undefined) const {
    *is_undefined |= b == 0;
    if (b == 0 || b == -1) return 0;
    const T rest = a % b;
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
  }
};

template <typename T, typename Function>
std::unique_ptr<Step> whole_division_step(const Node& node, const Tensor& a, const Tensor& b,
                                          Tensor* out) {
  auto undefined = std::make_unique<bool>(false);
  auto results = binary_step<T, T, T>(
      a, b, out, [is = undefined.get()](T x, T y) { return Function()(x, y, is); });
  return make_step([&node, undefined = std::move(undefined),
                    results = std::move(results)](const Interrupt& interrupt) {
    *undefined = false;
    results->run(interrupt);
    if (*undefined) refuse_node(node, SIDECALL_ENGINE, "an integer is divided by 0");
  });
}

std::unique_ptr<Step> prepare_div(const Node& node, Inputs in, Outputs out) {
  const Tensor& a = required(node, in, 0);
  const Tensor& b = required(node, in, 1);
  require_same_types(node, a, b);
  return or_refuse(with_type<double, float, int64_t, int32_t>(
                       a.dtype,
                       [&](auto zero) -> std::unique_ptr<Step> {
                         using T = decltype(zero);
                         if constexpr (std::is_integral_v<T>)
                           return whole_division_step<T, WholeQuotient>(node, a, b, out[0]);
                         else return binary_step<T, T, T>(a, b, out[0], Div());
                       }),
                   node, a);
}

// Floating-point numbers need the attribute `fmod`, with which the remainder has the sign of the
// dividend, as in C. Integers must not have it, because ONNX Runtime then computes with doubles.
std::unique_ptr<Step> prepare_mod(const Node& node, Inputs in, Outputs out) {
  const Tensor& a = required(node, in, 0);
  const Tensor& b = required(node, in, 1);
  require_same_types(node, a, b);
  const bool has_sign_of_dividend = node.integer("fmod", 0) != 0;
  const auto require_fmod = [&](bool wanted) {
    if (wanted != has_sign_of_dividend)
      refuse_node(node, SIDECALL_UNSUPPORTED,
                  wanted ? "expected fmod 1 for floating-point numbers, got 0"
                         : "expected fmod 0 for integers, got 1");
  };
  return or_refuse(with_type<double, float, int64_t, int32_t>(
                       a.dtype,
                       [&](auto zero) -> std::unique_ptr<Step> {
                         using T = decltype(zero);
                         require_fmod(std::is_floating_point_v<T>);
                         if constexpr (std::is_integral_v<T>)
                           return whole_division_step<T, WholeRemainder>(node, a, b, out[0]);
                         else
                           return binary_step<T, T, T>(a, b, out[0],
                                                       [](T x, T y) { return std::fmod(x, y); });
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
        for_each_part(base.count, interrupt, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            const T square = x[i] * x[i];
            y[i] = power == E{2} ? square : square * x[i];
          }
        });
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
            return make_step(
                [loops, &condition, &yes, &no, result = out[0]](const Interrupt& interrupt) {
                  const int64_t sc = loops.stride(0), sy = loops.stride(1), sn = loops.stride(2);
                  const auto part = [&](int64_t count, const std::array<int64_t, 3>& offsets,
                                        int64_t at) {
                    const uint8_t* c = condition.as<uint8_t>() + offsets[0];
                    const T* y = yes.as<T>() + offsets[1];
                    const T* n = no.as<T>() + offsets[2];
                    T* z = result->as<T>() + at;
                    for (int64_t i = 0; i < count; ++i)
                      z[i] = c[i * sc] != 0 ? y[i * sy] : n[i * sn];
                  };
                  loops.for_each_part(interrupt, part);
                });
          }),
      node, yes);
}

}  // namespace

const std::vector<OperatorEntry>& elementwise_operators() {
  static const auto* all = new std::vector<OperatorEntry>{
      {"", "Add", 7, kAnyVersion, make_plain<prepare_arithmetic<Add>>, rows::by_element, 2},
      {"", "Sub", 7, kAnyVersion, make_plain<prepare_arithmetic<Subtract>>, rows::by_element, 2},
      {"", "Mul", 7, kAnyVersion, make_plain<prepare_arithmetic<Multiply>>, rows::by_element, 2},
      {"", "Div", 7, kAnyVersion, make_plain<prepare_div>, rows::by_element, 2},
      {"", "Mod", 10, kAnyVersion, make_plain<prepare_mod>, rows::by_element, 2},
      {"", "Pow", 12, kAnyVersion, make_plain<prepare_pow>, rows::by_element, 2},
      {"", "Max", 8, kAnyVersion, make_plain<prepare_variadic<Max>>, rows::by_element},
      {"", "Min", 8, kAnyVersion, make_plain<prepare_variadic<Min>>, rows::by_element},
      {"", "Sum", 8, kAnyVersion, make_plain<prepare_variadic<Add>>, rows::by_element},
      {"", "Equal", 7, kAnyVersion,
       make_plain<prepare_comparison<Equal, double, float, int64_t, int32_t, uint8_t, Text>>,
       rows::by_element, 2},
      {"", "Less", 9, kAnyVersion,
       make_plain<prepare_comparison<Less, double, float, int64_t, int32_t>>, rows::by_element, 2},
      {"", "LessOrEqual", 12, kAnyVersion,
       make_plain<prepare_comparison<LessOrEqual, double, float, int64_t, int32_t>>,
       rows::by_element, 2},
      {"", "Greater", 9, kAnyVersion,
       make_plain<prepare_comparison<Greater, double, float, int64_t, int32_t>>, rows::by_element,
       2},
      {"", "GreaterOrEqual", 12, kAnyVersion,
       make_plain<prepare_comparison<GreaterOrEqual, double, float, int64_t, int32_t>>,
       rows::by_element, 2},
      {"", "And", 7, kAnyVersion, make_plain<prepare_logic<And>>, rows::by_element, 2},
      {"", "Or", 7, kAnyVersion, make_plain<prepare_logic<Or>>, rows::by_element, 2},
      {"", "Xor", 7, kAnyVersion, make_plain<prepare_logic<Xor>>, rows::by_element, 2},
      {"", "Where", 9, kAnyVersion, make_plain<prepare_where>, rows::by_element, 3},
  };
  return *all;
}

}  // namespace sidecall::native
