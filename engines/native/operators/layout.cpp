// Operators that change the shape of a tensor but not its elements, and operators whose output
// depends on shapes and attributes alone.
#include <algorithm>
#include <cmath>

#include "arithmetic.h"
#include "row_rules.h"
#include "strided_copy.h"
#include "tables.h"

namespace sidecall::native {
namespace {

// Makes the output share the elements of the input, with another shape.
std::unique_ptr<Step> share(const Tensor& x, Tensor* out, Dims dims) {
  out->shape(x.dtype, std::move(dims));
  out->place = x.place;
  return nullptr;
}

// ---- Other shapes for the same elements ----

std::unique_ptr<Step> prepare_identity(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  return share(x, out[0], x.dims);
}

// A dimension of 0 is copied from the input, unless allowzero is set. One dimension may be -1: it
// is chosen so that the number of elements fits.
std::unique_ptr<Step> prepare_reshape(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  Dims dims = known_integers(node, required(node, in, 1));
  const bool keeps_zeros = node.integer("allowzero", 0) != 0;
  int64_t* free = nullptr;
  for (size_t axis = 0; axis < dims.size(); ++axis) {
    if (dims[axis] < -1)
      refuse_node(node, SIDECALL_FILE_INVALID, "the shape has a negative dimension");
    if (dims[axis] == -1 && free != nullptr)
      refuse_node(node, SIDECALL_FILE_INVALID,
                  "the shape leaves more than one dimension open (-1)");
    if (dims[axis] == -1) {
      free = &dims[axis];
      *free = 1;
    } else if (dims[axis] == 0 && !keeps_zeros) {
      if (axis >= x.dims.size())
        refuse_node(node, SIDECALL_FILE_INVALID,
                    "the shape takes a dimension from the input (0) that the input does not have");
      dims[axis] = x.dims[axis];
    }
  }
  const int64_t count = count_elements(dims);
  const bool fits = free == nullptr ? count == x.count : count > 0 && x.count % count == 0;
  if (!fits) refuse_node(node, SIDECALL_ENGINE, "the shape does not fit the number of elements");
  if (free != nullptr) *free = x.count / count;
  return share(x, out[0], std::move(dims));
}

// Without axes, removes all dimensions of 1.
std::unique_ptr<Step> squeeze(const Node& node, const Tensor& x, const std::vector<int64_t>& axes,
                              Tensor* out) {
  std::vector<bool> is_removed(x.dims.size(), false);
  for (const int64_t axis : axes) is_removed[normal_axis(node, axis, x.rank())] = true;
  Dims dims;
  for (size_t axis = 0; axis < x.dims.size(); ++axis) {
    const bool is_one = x.dims[axis] == 1;
    if (is_removed[axis] && !is_one)
      refuse_node(
          node, SIDECALL_ENGINE,
          "only a dimension of 1 can be removed, got one of " + std::to_string(x.dims[axis]));
    if (axes.empty() ? !is_one : !is_removed[axis]) dims.push_back(x.dims[axis]);
  }
  return share(x, out, std::move(dims));
}

std::unique_ptr<Step> prepare_squeeze(const Node& node, Inputs in, Outputs out) {
  const Tensor* axes = optional(in, 1);
  return squeeze(node, required(node, in, 0),
                 axes == nullptr ? std::vector<int64_t>() : known_integers(node, *axes), out[0]);
}

std::unique_ptr<Step> prepare_squeeze_before_13(const Node& node, Inputs in, Outputs out) {
  return squeeze(node, required(node, in, 0), node.integers("axes"), out[0]);
}

std::unique_ptr<Step> unsqueeze(const Node& node, const Tensor& x, const std::vector<int64_t>& axes,
                                Tensor* out) {
  Dims dims(x.dims.size() + axes.size(), -1);
  for (const int64_t axis : axes) {
    int64_t& dim = dims[normal_axis(node, axis, static_cast<int64_t>(dims.size()))];
    if (dim == 1) refuse_node(node, SIDECALL_FILE_INVALID, "an axis is given twice");
    dim = 1;
  }
  auto next = x.dims.begin();
  for (int64_t& dim : dims) {
    if (dim < 0) dim = *next++;
  }
  return share(x, out, std::move(dims));
}

std::unique_ptr<Step> prepare_unsqueeze(const Node& node, Inputs in, Outputs out) {
  return unsqueeze(node, required(node, in, 0), known_integers(node, required(node, in, 1)),
                   out[0]);
}

std::unique_ptr<Step> prepare_unsqueeze_before_13(const Node& node, Inputs in, Outputs out) {
  return unsqueeze(node, required(node, in, 0), node.integers("axes"), out[0]);
}

std::unique_ptr<Step> prepare_flatten(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const int64_t axis = node.integer("axis", 1);
  const size_t split = axis == x.rank() ? x.dims.size() : normal_axis(node, axis, x.rank());
  return share(x, out[0], {span(x.dims, 0, split), span(x.dims, split, x.dims.size())});
}

// ---- Tensors that follow from shapes and attributes alone ----

std::unique_ptr<Step> known_integers_step(std::vector<int64_t> values, Dims dims, Tensor* out) {
  out->shape(SIDECALL_DTYPE_INT64, std::move(dims));
  out->is_known = true;
  return make_step([values = std::move(values), out] {
    std::copy(values.begin(), values.end(), out->as<int64_t>());
  });
}

std::unique_ptr<Step> prepare_shape(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const auto position = [&](const char* attribute, int64_t otherwise) {
    const int64_t at = node.integer(attribute, otherwise);
    return std::clamp<int64_t>(at < 0 ? at + x.rank() : at, 0, x.rank());
  };
  const int64_t start = position("start", 0);
  const int64_t end = std::max(start, position("end", x.rank()));
  return known_integers_step({x.dims.begin() + start, x.dims.begin() + end}, {end - start}, out[0]);
}

std::unique_ptr<Step> prepare_size(const Node& node, Inputs in, Outputs out) {
  return known_integers_step({required(node, in, 0).count}, {}, out[0]);
}

// A node without inputs, whose output is one of its attributes.
class ConstantOperator final : public Operator {
 public:
  explicit ConstantOperator(const Compile& compile) {
    const Node& node = compile.node;
    value_ = node.tensor("value");
    if (value_ != nullptr) return;
    const auto strings = [&](const std::vector<std::string_view>& texts, Dims dims) {
      std::vector<Text> known;
      for (const std::string_view text : texts) known.push_back(compile.vocabulary.add(text));
      keep(known, std::move(dims));
    };
    const auto length = [](const auto& list) { return Dims{static_cast<int64_t>(list.size())}; };
    if (node.has("value_int")) keep(std::vector<int64_t>{node.integer("value_int", 0)}, {});
    else if (node.has("value_ints"))
      keep(node.integers("value_ints"), length(node.integers("value_ints")));
    else if (node.has("value_float")) keep(std::vector<float>{node.real("value_float", 0)}, {});
    else if (node.has("value_floats"))
      keep(node.reals("value_floats"), length(node.reals("value_floats")));
    else if (node.has("value_string")) strings({node.text("value_string", "")}, {});
    else if (node.has("value_strings"))
      strings(node.texts("value_strings"), length(node.texts("value_strings")));
    else refuse_node(node, SIDECALL_UNSUPPORTED, "this engine does not know the kind of its value");
  }

  std::unique_ptr<Step> prepare(Inputs, Outputs out) const override {
    out[0]->shape(value_->dtype, value_->dims);
    out[0]->place = const_cast<Place*>(&value_->place);  // no step writes to a constant
    return nullptr;
  }

 private:
  template <typename T>
  void keep(const std::vector<T>& values, Dims dims) {
    own_ = make_constant(dtype_of<T>(), std::move(dims));
    std::copy(values.begin(), values.end(), static_cast<T*>(own_->place.data));
    value_ = own_.get();
  }

  const Constant* value_;
  std::unique_ptr<Constant> own_;  // holds the value, unless it is a tensor of the node
};

std::unique_ptr<Operator> make_constant_operator(const Compile& compile) {
  return std::make_unique<ConstantOperator>(compile);
}

std::unique_ptr<Step> prepare_constant_of_shape(const Node& node, Inputs in, Outputs out) {
  Dims dims = known_integers(node, required(node, in, 0));
  if (std::any_of(dims.begin(), dims.end(), [](int64_t dim) { return dim < 0; }))
    refuse_node(node, SIDECALL_FILE_INVALID, "the shape has a negative dimension");
  const Constant* value = node.tensor("value");
  if (value != nullptr && value->count != 1)
    refuse_node(node, SIDECALL_FILE_INVALID,
                "attribute 'value' does not have one element, but " + std::to_string(value->count));
  if (value != nullptr && value->dtype == SIDECALL_DTYPE_STRING)
    refuse_node(node, SIDECALL_UNSUPPORTED, "this engine does not fill a tensor with strings");
  out[0]->shape(value == nullptr ? SIDECALL_DTYPE_FLOAT32 : value->dtype, std::move(dims));
  return with_element(out[0]->dtype, [&](auto element) {
    using E = decltype(element);
    return make_step([value, result = out[0]] {
      fill(result->as<E>(), result->count,
           value == nullptr ? E{} : *static_cast<const E*>(value->place.data));
    });
  });
}

// The number of elements of a range, computed in double as in ONNX Runtime.
template <typename T>
int64_t count_range(const Node& node, T start, T limit, T delta) {
  if (delta == T{0}) refuse_node(node, SIDECALL_ENGINE, "the difference of two elements is 0");
  const double count = std::ceil((static_cast<double>(limit) - static_cast<double>(start)) /
                                 static_cast<double>(delta));
  if (!std::isfinite(count) || count >= std::ldexp(1, 63))
    refuse_node(node, SIDECALL_ENGINE, "the number of elements is not finite or too large");
  return count > 0 ? static_cast<int64_t>(count) : 0;
}

// As in ONNX Runtime, each element is the previous one plus delta, so real numbers accumulate
// rounding errors. The addition after the last element may overflow, so integers wrap around.
template <typename T>
std::unique_ptr<Step> range_step(const Node& node, Inputs in, Tensor* out) {
  const T start = *in[0]->as<T>(), delta = *in[2]->as<T>();
  out->shape(dtype_of<T>(), {count_range(node, start, *in[1]->as<T>(), delta)});
  return make_step([start, delta, out] {
    T* to = out->as<T>();
    T next = start;
    for (int64_t i = 0; i < out->count; ++i) {
      to[i] = next;
      next = Add()(next, delta);
    }
  });
}

std::unique_ptr<Step> prepare_range(const Node& node, Inputs in, Outputs out) {
  const int32_t dtype = required(node, in, 0).dtype;
  for (size_t i = 0; i < 3; ++i) {
    const Tensor& x = required(node, in, i);
    if (!x.is_known)
      refuse_node(
          node, SIDECALL_UNSUPPORTED,
          "expected an output shape that is known before the run, got one that depends on the "
          "inputs' values");
    if (x.dtype != dtype || x.count != 1)
      refuse_node(node, SIDECALL_FILE_INVALID, "expected three numbers of one type");
  }
  auto step = with_type<double, float, int64_t, int32_t>(
      dtype, [&](auto zero) { return range_step<decltype(zero)>(node, in, out[0]); });
  if (!step)
    refuse_node(node, SIDECALL_UNSUPPORTED,
                std::string("this engine does not compute it for ") + dtype_name(dtype));
  return step;
}

}  // namespace

const std::vector<OperatorEntry>& layout_operators() {
  static const auto* all = new std::vector<OperatorEntry>{
      {"", "Identity", 1, kAnyVersion, make_plain<prepare_identity>, rows::itself},
      {"", "Reshape", 5, kAnyVersion, make_plain<prepare_reshape>, rows::reshape},
      {"", "Squeeze", 1, 12, make_plain<prepare_squeeze_before_13>, rows::squeeze_before_13},
      {"", "Squeeze", 13, kAnyVersion, make_plain<prepare_squeeze>, rows::squeeze},
      {"", "Unsqueeze", 1, 12, make_plain<prepare_unsqueeze_before_13>, rows::unsqueeze_before_13},
      {"", "Unsqueeze", 13, kAnyVersion, make_plain<prepare_unsqueeze>, rows::unsqueeze},
      {"", "Flatten", 1, kAnyVersion, make_plain<prepare_flatten>, rows::flatten},
      {"", "Shape", 1, kAnyVersion, make_plain<prepare_shape>, rows::shape},
      {"", "Size", 1, kAnyVersion, make_plain<prepare_size>, nullptr},
      {"", "Constant", 1, kAnyVersion, make_constant_operator, nullptr},
      {"", "ConstantOfShape", 9, kAnyVersion, make_plain<prepare_constant_of_shape>,
       rows::constant_of_shape},
      {"", "Range", 11, kAnyVersion, make_plain<prepare_range>, nullptr},
  };
  return *all;
}

}  // namespace sidecall::native
