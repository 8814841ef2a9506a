// Operators that rearrange or repeat elements in a way that depends on shapes and attributes alone.
#include <algorithm>
#include <limits>
#include <numeric>

#include "row_rules.h"
#include "strided_copy.h"
#include "tables.h"

namespace sidecall::native {
namespace {

// The axes 0 to count - 1.
std::vector<int64_t> first_axes(size_t count) {
  std::vector<int64_t> axes(count);
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

std::unique_ptr<Step> prepare_expand(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  Dims dims = known_integers(node, required(node, in, 1));
  if (dims.size() < x.dims.size()) dims.insert(dims.begin(), x.dims.size() - dims.size(), 1);
  const size_t missing = dims.size() - x.dims.size();
  for (size_t axis = 0; axis < x.dims.size(); ++axis) {
    int64_t& dim = dims[missing + axis];
    if (dim == 1) dim = x.dims[axis];
    if (x.dims[axis] != 1 && dim != x.dims[axis])
      refuse_node(node, SIDECALL_ENGINE, "the input does not broadcast to the shape");
  }
  if (std::any_of(dims.begin(), dims.end(), [](int64_t dim) { return dim < 0; }))
    refuse_node(node, SIDECALL_FILE_INVALID, "the shape has a negative dimension");
  out[0]->shape(x.dtype, dims);
  if (out[0]->count == 0) return nullptr;
  const auto from = strides_of(x.dims), to = strides_of(dims);
  std::vector<Loop> loops;
  for (size_t axis = 0; axis < dims.size(); ++axis) {
    const bool moves = axis >= missing && x.dims[axis - missing] != 1;
    loops.push_back({dims[axis], moves ? from[axis - missing] : 0, to[axis]});
  }
  return copy_step(x, 0, out[0], loops);
}

std::unique_ptr<Step> prepare_tile(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const auto repeats = known_integers(node, required(node, in, 1));
  if (repeats.size() != x.dims.size())
    refuse_node(node, SIDECALL_ENGINE,
                "expected a number of repeats for each dimension, got " +
                    std::to_string(repeats.size()) + " for rank " + std::to_string(x.rank()));
  Dims dims;
  for (size_t axis = 0; axis < repeats.size(); ++axis) {
    if (repeats[axis] < 0)
      refuse_node(node, SIDECALL_FILE_INVALID, "a number of repeats is negative");
    dims.push_back(count_elements({x.dims[axis], repeats[axis]}));
  }
  out[0]->shape(x.dtype, dims);
  if (out[0]->count == 0) return nullptr;
  const auto from = strides_of(x.dims), to = strides_of(dims);
  std::vector<Loop> loops;
  for (size_t axis = 0; axis < dims.size(); ++axis) {
    loops.push_back({repeats[axis], 0, x.dims[axis] * to[axis]});
    loops.push_back({x.dims[axis], from[axis], to[axis]});
  }
  return copy_step(x, 0, out[0], loops);
}

std::unique_ptr<Step> prepare_transpose(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  std::vector<int64_t> order = node.integers("perm");
  if (!node.has("perm")) {
    order = first_axes(x.dims.size());
    std::reverse(order.begin(), order.end());
  }
  std::vector<bool> is_used(x.dims.size(), false);
  Dims dims;
  for (const int64_t from : order) {
    const size_t axis = normal_axis(node, from, x.rank());
    if (from < 0 || is_used[axis])
      refuse_node(node, SIDECALL_FILE_INVALID, "attribute 'perm' is not a permutation");
    is_used[axis] = true;
    dims.push_back(x.dims[axis]);
  }
  if (dims.size() != x.dims.size())
    refuse_node(node, SIDECALL_FILE_INVALID, "attribute 'perm' does not fit the input's rank");
  out[0]->shape(x.dtype, dims);
  if (out[0]->count == 0) return nullptr;
  const auto from = strides_of(x.dims), to = strides_of(dims);
  std::vector<Loop> loops;
  for (size_t axis = 0; axis < dims.size(); ++axis)
    loops.push_back({dims[axis], from[static_cast<size_t>(order[axis])], to[axis]});
  return copy_step(x, 0, out[0], loops);
}

// ---- Slice ----

// The elements of an axis that a slice takes: `count` of them, from `start` on, `step` apart.
struct Range {
  int64_t start, count, step;
};

Range slice_axis(int64_t size, int64_t start, int64_t end, int64_t step) {
  if (size == 0) return {0, 0, 1};
  const bool is_forward = step > 0;
  if (start < 0) start += size;
  start = std::clamp<int64_t>(start, 0, is_forward ? size : size - 1);
  // As in ONNX Runtime, the largest int32 or int64 means "up to the last element in the direction
  // of the step", which is the first element of the axis if the step is negative.
  const bool is_open =
      end == std::numeric_limits<int32_t>::max() || end == std::numeric_limits<int64_t>::max();
  if (is_open) {
    end = is_forward ? size : -1;
  } else {
    if (end < 0) end += size;
    end = std::clamp<int64_t>(end, is_forward ? 0 : -1, size);
  }
  const int64_t distance = is_forward ? end - start : start - end;
  if (distance <= 0) return {0, 0, 1};
  // -step in unsigned arithmetic, because the negative of the smallest int64 overflows.
  const uint64_t width = is_forward ? static_cast<uint64_t>(step) : -static_cast<uint64_t>(step);
  const auto count = static_cast<int64_t>((static_cast<uint64_t>(distance) - 1) / width) + 1;
  return {start, count, count == 1 ? 1 : step};
}

std::unique_ptr<Step> slice(const Node& node, const Tensor& x, const std::vector<int64_t>& starts,
                            const std::vector<int64_t>& ends, std::vector<int64_t> axes,
                            std::vector<int64_t> steps, Tensor* out) {
  if (axes.empty()) axes = first_axes(starts.size());
  if (steps.empty()) steps.assign(starts.size(), 1);
  if (ends.size() != starts.size() || axes.size() != starts.size() || steps.size() != starts.size())
    refuse_node(node, SIDECALL_FILE_INVALID,
                "starts, ends, axes and steps have different numbers of elements");
  std::vector<Range> ranges;
  for (const int64_t size : x.dims) ranges.push_back({0, size, 1});
  std::vector<bool> is_sliced(x.dims.size(), false);
  Dims dims = x.dims;
  for (size_t i = 0; i < axes.size(); ++i) {
    const size_t axis = normal_axis(node, axes[i], x.rank());
    if (is_sliced[axis]) refuse_node(node, SIDECALL_FILE_INVALID, "an axis is given twice");
    if (steps[i] == 0) refuse_node(node, SIDECALL_FILE_INVALID, "a step is 0");
    is_sliced[axis] = true;
    ranges[axis] = slice_axis(x.dims[axis], starts[i], ends[i], steps[i]);
    dims[axis] = ranges[axis].count;
  }
  out->shape(x.dtype, dims);
  if (out->count == 0) return nullptr;
  const auto from = strides_of(x.dims), to = strides_of(dims);
  int64_t start = 0;
  std::vector<Loop> loops;
  for (size_t axis = 0; axis < dims.size(); ++axis) {
    start += ranges[axis].start * from[axis];
    loops.push_back({dims[axis], ranges[axis].step * from[axis], to[axis]});
  }
  return copy_step(x, start, out, loops);
}

std::unique_ptr<Step> prepare_slice(const Node& node, Inputs in, Outputs out) {
  const auto integers = [&](const Tensor* tensor) {
    return tensor == nullptr ? std::vector<int64_t>() : known_integers(node, *tensor);
  };
  return slice(node, required(node, in, 0), integers(&required(node, in, 1)),
               integers(&required(node, in, 2)), integers(optional(in, 3)),
               integers(optional(in, 4)), out[0]);
}

std::unique_ptr<Step> prepare_slice_before_10(const Node& node, Inputs in, Outputs out) {
  return slice(node, required(node, in, 0), node.integers("starts"), node.integers("ends"),
               node.integers("axes"), {}, out[0]);
}

// ---- Concat and Split ----

// A tensor that Concat joins with others into a larger one, or that Split cuts from it. The axes
// before the one of the node are merged into rows, so both tensors have the same number of rows.
struct Part {
  const Tensor* tensor;
  int64_t width;   // the number of elements of a row
  int64_t offset;  // of a row of this tensor within the row of the larger one
};

// How many rows of one part are copied before the same rows of the next part: as many as the cache
// can hold of the larger tensor. `width`: elements in a row of the larger tensor. `bytes`: the size
// of an element.
int64_t rows_at_once(int64_t width, uint64_t bytes) {
  constexpr uint64_t kCacheBytes = 16384;
  return static_cast<int64_t>(kCacheBytes / bytes) / width + 1;
}

// Copies `width` elements of each row. The strides lead from one row to the next.
template <typename E>
void copy_rows(const E* from, int64_t from_stride, E* to, int64_t to_stride, int64_t width,
               int64_t rows) {
  if (width == 1) {
    for (int64_t i = 0; i < rows; ++i) to[i * to_stride] = from[i * from_stride];
    return;
  }
  constexpr int64_t kFew = 8;  // the call of memcpy would take longer than the copy
  if (width <= kFew) {
    for (int64_t i = 0; i < rows; ++i, from += from_stride, to += to_stride) {
      for (int64_t j = 0; j < width; ++j) to[j] = from[j];
    }
    return;
  }
  for (int64_t i = 0; i < rows; ++i)
    std::memcpy(to + i * to_stride, from + i * from_stride, static_cast<size_t>(width) * sizeof(E));
}

// Calls copy(part, first, count) for each part, for `at_once` rows at a time.
template <typename Copy>
void for_each_part(const std::vector<Part>& parts, int64_t rows, int64_t at_once,
                   const Interrupt& interrupt, Copy&& copy) {
  for (int64_t first = 0; first < rows; first += at_once) {
    interrupt.poll();
    const int64_t count = std::min(at_once, rows - first);
    for (const Part& part : parts) copy(part, first, count);
  }
}

std::unique_ptr<Step> prepare_concat(const Node& node, Inputs in, Outputs out) {
  const Tensor& first = required(node, in, 0);
  if (!node.has("axis")) refuse_node(node, SIDECALL_FILE_INVALID, "attribute 'axis' is missing");
  const size_t axis = normal_axis(node, node.integer("axis", 0), first.rank());
  Dims dims = first.dims;
  dims[axis] = 0;
  for (size_t i = 0; i < in.size(); ++i) {
    const Tensor& x = required(node, in, i);
    if (x.dtype != first.dtype)
      refuse_node(node, SIDECALL_FILE_INVALID,
                  std::string("expected inputs of one type, got ") + dtype_name(first.dtype) +
                      " and " + dtype_name(x.dtype));
    Dims others = x.dims;
    if (others.size() == dims.size()) others[axis] = dims[axis];
    if (others != dims)
      refuse_node(node, SIDECALL_ENGINE, "the inputs differ in another dimension than the axis");
    if (__builtin_add_overflow(dims[axis], x.dims[axis], &dims[axis]))
      refuse_node(node, SIDECALL_OUT_OF_RANGE, "the output is too large");
  }
  out[0]->shape(first.dtype, dims);
  if (out[0]->count == 0) return nullptr;
  std::vector<Part> parts;
  int64_t offset = 0;
  for (const Tensor* x : in) {
    if (x->count == 0) continue;
    parts.push_back({x, span(x->dims, axis, dims.size()), offset});
    offset += parts.back().width;
  }
  if (parts.size() == 1) {
    out[0]->place = parts[0].tensor->place;
    return nullptr;
  }
  return with_element(first.dtype, [&](auto element) {
    using E = decltype(element);
    const int64_t at_once = rows_at_once(offset, sizeof(E));
    return make_step([parts, rows = span(dims, 0, axis), width = offset, at_once,
                      result = out[0]](const Interrupt& interrupt) {
      E* to = result->as<E>();
      for_each_part(parts, rows, at_once, interrupt,
                    [&](const Part& part, int64_t row, int64_t count) {
                      copy_rows(part.tensor->as<E>() + row * part.width, part.width,
                                to + row * width + part.offset, width, part.width, count);
                    });
    });
  });
}

// `sizes` has the size of each output along the axis.
std::unique_ptr<Step> split(const Node& node, const Tensor& x, const std::vector<int64_t>& sizes,
                            Outputs out) {
  const size_t axis = normal_axis(node, node.integer("axis", 0), x.rank());
  int64_t left = x.dims[axis];
  for (const int64_t size : sizes) {
    if (size < 0 || size > left)
      refuse_node(node, SIDECALL_ENGINE, "the sizes of the outputs do not add up to the input's");
    left -= size;
  }
  if (left != 0 || sizes.size() != out.size())
    refuse_node(node, SIDECALL_ENGINE, "the sizes of the outputs do not add up to the input's");
  std::vector<Part> parts;
  int64_t offset = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    Dims dims = x.dims;
    dims[axis] = sizes[i];
    if (out[i] != nullptr) out[i]->shape(x.dtype, dims);
    if (x.count == 0) continue;
    const int64_t width = span(dims, axis, dims.size());
    if (out[i] != nullptr && width > 0) parts.push_back({out[i], width, offset});
    offset += width;
  }
  if (parts.empty()) return nullptr;
  if (parts[0].width == offset) {
    // This output has all elements: it is the only one, or the others are empty.
    for (Tensor* each : out) {
      if (each == parts[0].tensor) each->place = x.place;
    }
    return nullptr;
  }
  return with_element(x.dtype, [&](auto element) {
    using E = decltype(element);
    const int64_t at_once = rows_at_once(offset, sizeof(E));
    return make_step([&x, parts, rows = span(x.dims, 0, axis), width = offset,
                      at_once](const Interrupt& interrupt) {
      const E* from = x.as<E>();
      for_each_part(
          parts, rows, at_once, interrupt, [&](const Part& part, int64_t row, int64_t count) {
            copy_rows(from + row * width + part.offset, width,
                      part.tensor->as<E>() + row * part.width, part.width, part.width, count);
          });
    });
  });
}

// Equal sizes for all outputs. Since version 18, that of the last output may be smaller.
std::vector<int64_t> equal_sizes(const Node& node, const Tensor& x, size_t outputs) {
  const auto count = static_cast<int64_t>(outputs);
  const int64_t size = x.dims[normal_axis(node, node.integer("axis", 0), x.rank())];
  const bool is_exact = size % count == 0;
  if (node.integer("num_outputs", count) != count)
    refuse_node(node, SIDECALL_FILE_INVALID, "attribute 'num_outputs' does not fit the outputs");
  const int64_t each = size / count + (is_exact ? 0 : 1);
  if (!is_exact && (node.version < 18 || each * (count - 1) > size))
    refuse_node(node, SIDECALL_ENGINE, "the input cannot be split into parts of one size");
  std::vector<int64_t> sizes(outputs, each);
  sizes.back() = size - each * (count - 1);
  return sizes;
}

std::unique_ptr<Step> prepare_split(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  std::vector<int64_t> sizes;
  if (const Tensor* given = optional(in, 1)) sizes = known_integers(node, *given);
  return split(node, x, sizes.empty() ? equal_sizes(node, x, out.size()) : sizes, out);
}

std::unique_ptr<Step> prepare_split_before_13(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const std::vector<int64_t>& sizes = node.integers("split");
  return split(node, x, sizes.empty() ? equal_sizes(node, x, out.size()) : sizes, out);
}

// ---- Pad ----

// The padding that a node before version 11 gives as the attribute `value`; 0 without it.
template <typename E>
E padding_of(const Node& node, int32_t dtype) {
  E element{};
  const float real = node.real("value", 0);
  with_type<double, float>(dtype, [&](auto zero) {
    using T = decltype(zero);
    const T number = real;
    if constexpr (sizeof(T) == sizeof(E)) std::memcpy(&element, &number, sizeof number);
    return true;
  });
  return element;
}

// `before` and `after` have the number of elements to add on each side of each axis; a negative
// number removes elements. The padding is the single element of `padding` or, if that is nullptr,
// padding_of().
std::unique_ptr<Step> pad(const Node& node, const Tensor& x, const std::vector<int64_t>& before,
                          const std::vector<int64_t>& after, const Tensor* padding, Tensor* out) {
  if (node.text("mode", "constant") != "constant")
    refuse_node(node, SIDECALL_UNSUPPORTED, "this engine pads with a constant only");
  if (x.dtype == SIDECALL_DTYPE_STRING)
    refuse_node(node, SIDECALL_UNSUPPORTED, "this engine does not pad strings");
  if (padding != nullptr && (padding->dtype != x.dtype || padding->count != 1))
    refuse_node(node, SIDECALL_FILE_INVALID, "expected one constant of the type of the input");
  Dims dims, kept;
  for (size_t axis = 0; axis < x.dims.size(); ++axis) {
    constexpr int64_t kLimit = INT64_C(1) << 60;
    const int64_t size = x.dims[axis];
    if (std::max({before[axis], after[axis], size}) > kLimit ||
        std::min(before[axis], after[axis]) < -kLimit)
      refuse_node(node, SIDECALL_OUT_OF_RANGE, "the output is too large");
    dims.push_back(size + before[axis] + after[axis]);
    kept.push_back(size + std::min<int64_t>(before[axis], 0) + std::min<int64_t>(after[axis], 0));
    if (dims.back() < 0)
      refuse_node(node, SIDECALL_ENGINE, "more elements are removed than the input has");
  }
  out->shape(x.dtype, dims);
  if (dims == x.dims && kept == x.dims) {
    out->place = x.place;
    return nullptr;
  }
  if (out->count == 0) return nullptr;
  const bool is_empty = std::any_of(kept.begin(), kept.end(), [](int64_t n) { return n <= 0; });
  int64_t from_start = 0, to_start = 0;
  std::vector<Loop> loops;
  if (!is_empty) {
    const auto from = strides_of(x.dims), to = strides_of(dims);
    for (size_t axis = 0; axis < dims.size(); ++axis) {
      from_start += std::max<int64_t>(-before[axis], 0) * from[axis];
      to_start += std::max<int64_t>(before[axis], 0) * to[axis];
      loops.push_back({kept[axis], from[axis], to[axis]});
    }
  }
  return with_element(x.dtype, [&](auto element) {
    using E = decltype(element);
    return make_step([&x, padding, otherwise = padding_of<E>(node, x.dtype), is_empty, from_start,
                      to_start, out, copy = StridedCopy(loops)](const Interrupt& interrupt) {
      E* to = out->as<E>();
      fill(to, out->count, padding == nullptr ? otherwise : *padding->as<E>());
      if (!is_empty) copy.run(x.as<E>() + from_start, to + to_start, interrupt);
    });
  });
}

// `pads` has the numbers for the beginning of each of the axes, and then those for their ends.
std::unique_ptr<Step> pad_axes(const Node& node, const Tensor& x, const std::vector<int64_t>& pads,
                               const std::vector<int64_t>& axes, const Tensor* padding,
                               Tensor* out) {
  if (pads.size() != 2 * axes.size())
    refuse_node(node, SIDECALL_FILE_INVALID,
                "expected two numbers for each axis to pad, got " + std::to_string(pads.size()) +
                    " for " + std::to_string(axes.size()) + " axes");
  std::vector<int64_t> before(x.dims.size(), 0), after(x.dims.size(), 0);
  std::vector<bool> is_padded(x.dims.size(), false);
  for (size_t i = 0; i < axes.size(); ++i) {
    const size_t axis = normal_axis(node, axes[i], x.rank());
    if (is_padded[axis]) refuse_node(node, SIDECALL_FILE_INVALID, "an axis is given twice");
    is_padded[axis] = true;
    before[axis] = pads[i];
    after[axis] = pads[axes.size() + i];
  }
  return pad(node, x, before, after, padding, out);
}

std::unique_ptr<Step> prepare_pad(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const Tensor* axes = optional(in, 3);
  return pad_axes(node, x, known_integers(node, required(node, in, 1)),
                  axes == nullptr ? first_axes(x.dims.size()) : known_integers(node, *axes),
                  optional(in, 2), out[0]);
}

std::unique_ptr<Step> prepare_pad_before_11(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  return pad_axes(node, x, node.integers("pads"), first_axes(x.dims.size()), nullptr, out[0]);
}

}  // namespace

const std::vector<OperatorEntry>& rearrange_operators() {
  static const auto* all = new std::vector<OperatorEntry>{
      {"", "Expand", 8, kAnyVersion, make_plain<prepare_expand>, rows::expand},
      {"", "Tile", 6, kAnyVersion, make_plain<prepare_tile>, rows::tile},
      {"", "Transpose", 1, kAnyVersion, make_plain<prepare_transpose>, rows::transpose},
      {"", "Slice", 1, 9, make_plain<prepare_slice_before_10>, rows::slice_before_10},
      {"", "Slice", 10, kAnyVersion, make_plain<prepare_slice>, rows::slice},
      {"", "Concat", 4, kAnyVersion, make_plain<prepare_concat>, rows::concat},
      {"", "Split", 2, 12, make_plain<prepare_split_before_13>, rows::along<0>, 1, kAnyNumber},
      {"", "Split", 13, kAnyVersion, make_plain<prepare_split>, rows::along<0>, 2, kAnyNumber},
      {"", "Pad", 2, 10, make_plain<prepare_pad_before_11>, rows::pad_before_11},
      {"", "Pad", 11, kAnyVersion, make_plain<prepare_pad>, rows::pad},
  };
  return *all;
}

}  // namespace sidecall::native
