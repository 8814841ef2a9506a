// Operators that select or set elements by indices.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "arithmetic.h"
#include "row_rules.h"
#include "strided_copy.h"
#include "tables.h"

namespace sidecall::native {
namespace {

[[noreturn]] void refuse_index(const Node& node) {
  refuse_node(node, SIDECALL_ENGINE, "an index is outside of its axis");
}

// A step that fails when it runs. Indices can be invalid for some shapes of inputs and valid for
// others, so invalid ones must not keep a model from being opened.
std::unique_ptr<Step> refusing_step(const Node& node) {
  return make_step([&node] { refuse_index(node); });
}

// Converts an index of an axis of `size` elements, where a negative one counts from the end, to 0
// or more. Returns 0 and sets `is_outside` if the axis does not have the index, so that a loop over
// many indices needs no branch.
int64_t normal_index(int64_t index, int64_t size, bool* is_outside) {
  index += index < 0 ? size : 0;
  const bool is_inside = static_cast<uint64_t>(index) < static_cast<uint64_t>(size);
  *is_outside |= !is_inside;
  return is_inside ? index : 0;
}

// Calls function(T{}), where T is the type of the indices, and returns its result.
template <typename Function>
std::unique_ptr<Step> with_index(const Node& node, const Tensor& indices, Function&& function) {
  if (indices.dtype != SIDECALL_DTYPE_INT64 && indices.dtype != SIDECALL_DTYPE_INT32)
    refuse_node(
        node, SIDECALL_FILE_INVALID,
        std::string("expected indices of int64 or int32, got ") + dtype_name(indices.dtype));
  return with_type<int64_t, int32_t>(indices.dtype, std::forward<Function>(function));
}

// ---- Gather and Compress ----

// A tensor as [rows, size, block]: the axes before the one of Gather, this axis, and those after
// it.
struct Axis {
  int64_t rows, size, block;

  Axis(const Dims& dims, size_t axis)
      : rows(span(dims, 0, axis)), size(dims[axis]), block(span(dims, axis + 1, dims.size())) {
    // Throws if offsets within a row could overflow, which is possible if the tensor is empty.
    span(dims, axis, dims.size());
  }
};

// Copies the blocks at these offsets within each row.
template <typename E>
void copy_blocks(const E* from, const Axis& axis, const std::vector<int64_t>& offsets, E* to,
                 const Interrupt& interrupt) {
  const size_t count = offsets.size();
  const auto block = static_cast<size_t>(axis.block);
  for (int64_t row = 0; row < axis.rows; ++row) {
    interrupt.poll();
    const E* source = from + row * axis.size * axis.block;
    if (block == 1) {
      for (size_t i = 0; i < count; ++i) to[i] = source[offsets[i]];
    } else {
      for (size_t i = 0; i < count; ++i)
        std::memcpy(to + i * block, source + offsets[i], block * sizeof(E));
    }
    to += count * block;
  }
}

// A step that copies the blocks at these offsets within each row to the output, whose shape must be
// set.
std::unique_ptr<Step> gather_known(const Tensor& x, const Axis& axis, std::vector<int64_t> offsets,
                                   Tensor* out) {
  if (out->count == 0) return nullptr;
  // Offsets at equal distances, such as those of adjacent columns, need no table.
  const auto count = static_cast<int64_t>(offsets.size());
  const int64_t distance = count > 1 ? offsets[1] - offsets[0] : 0;
  bool is_even = true;
  for (size_t i = 1; i < offsets.size(); ++i)
    is_even = is_even && offsets[i] - offsets[i - 1] == distance;
  if (is_even)
    return copy_step(x, offsets[0], out,
                     {{axis.rows, axis.size * axis.block, count * axis.block},
                      {count, distance, axis.block},
                      {axis.block, 1, 1}});
  return with_element(x.dtype, [&](auto element) {
    using E = decltype(element);
    return make_step([&x, axis, offsets = std::move(offsets), out](const Interrupt& interrupt) {
      copy_blocks(x.as<E>(), axis, offsets, out->as<E>(), interrupt);
    });
  });
}

// Gather from a list of elements, such as the labels of classes.
template <typename E, typename Index>
std::unique_ptr<Step> table_step(const Node& node, const Tensor& x, const Tensor& indices,
                                 Tensor* out) {
  if (x.count == 0) return indices.count == 0 ? nullptr : refusing_step(node);
  return make_step([&node, &x, &indices, out](const Interrupt& interrupt) {
    constexpr int64_t kAtOnce = 65536;
    const E* table = x.as<E>();
    const Index* index = indices.as<Index>();
    E* to = out->as<E>();
    bool is_outside = false;
    for (int64_t first = 0; first < indices.count; first += kAtOnce) {
      interrupt.poll();
      const int64_t end = std::min(indices.count, first + kAtOnce);
      for (int64_t i = first; i < end; ++i)
        to[i] = table[normal_index(index[i], x.count, &is_outside)];
    }
    if (is_outside) refuse_index(node);
  });
}

template <typename E, typename Index>
std::unique_ptr<Step> gather_step(const Node& node, const Tensor& x, const Axis& axis,
                                  const Tensor& indices, Tensor* out) {
  if (axis.rows == 1 && axis.block == 1) return table_step<E, Index>(node, x, indices, out);
  std::vector<int64_t> offsets(static_cast<size_t>(indices.count));
  return make_step([&node, &x, axis, &indices, out,
                    offsets = std::move(offsets)](const Interrupt& interrupt) mutable {
    const Index* index = indices.as<Index>();
    bool is_outside = false;
    for (int64_t& offset : offsets)
      offset = normal_index(*index++, axis.size, &is_outside) * axis.block;
    if (is_outside) refuse_index(node);
    if (out->count > 0) copy_blocks(x.as<E>(), axis, offsets, out->as<E>(), interrupt);
  });
}

std::unique_ptr<Step> prepare_gather(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const Tensor& indices = required(node, in, 1);
  const size_t at = normal_axis(node, node.integer("axis", 0), x.rank());
  const Axis axis(x.dims, at);
  Dims dims = x.dims;
  const auto place = dims.erase(dims.begin() + static_cast<ptrdiff_t>(at));
  dims.insert(place, indices.dims.begin(), indices.dims.end());
  out[0]->shape(x.dtype, std::move(dims));
  // For strings, ONNX Runtime 1.32 copies only the first element of each block, and leaves the
  // others empty. Here all are copied, as in the definition of the operator.
  if (indices.is_known) {
    std::vector<int64_t> offsets = known_integers(node, indices);
    bool is_outside = false;
    for (int64_t& offset : offsets)
      offset = normal_index(offset, axis.size, &is_outside) * axis.block;
    return is_outside ? refusing_step(node) : gather_known(x, axis, std::move(offsets), out[0]);
  }
  return with_element(x.dtype, [&](auto element) {
    using E = decltype(element);
    return with_index(node, indices, [&](auto zero) {
      return gather_step<E, decltype(zero)>(node, x, axis, indices, out[0]);
    });
  });
}

std::unique_ptr<Step> prepare_compress(const Node& node, Inputs in, Outputs out) {
  const Tensor& x = required(node, in, 0);
  const Tensor& condition = required(node, in, 1);
  if (!condition.is_known)
    refuse_node(
        node, SIDECALL_UNSUPPORTED,
        "expected an output shape that is known before the run, got one that depends on the "
        "inputs' values");
  if (condition.dtype != SIDECALL_DTYPE_BOOL)
    refuse_node(node, SIDECALL_FILE_INVALID,
                std::string("expected a condition of bool, got ") + dtype_name(condition.dtype));
  // Without an axis, the tensor is flattened.
  Dims dims = node.has("axis") ? x.dims : Dims{x.count};
  const size_t at = node.has("axis") ? normal_axis(node, node.integer("axis", 0), x.rank()) : 0;
  const Axis axis(dims, at);
  std::vector<int64_t> offsets;
  for (int64_t i = 0; i < std::min(condition.count, axis.size); ++i) {
    if (condition.as<uint8_t>()[i] != 0) offsets.push_back(i * axis.block);
  }
  dims[at] = static_cast<int64_t>(offsets.size());
  out[0]->shape(x.dtype, std::move(dims));
  return gather_known(x, axis, std::move(offsets), out[0]);
}

// ---- GatherElements and ScatterElements ----

// How the elements of `indices` select elements of `data`. The element of `indices` at some
// coordinates selects that of `data` at the same coordinates, except that its value replaces the
// coordinate along the axis.
struct Selection {
  int64_t size;    // of the axis in `data`
  int64_t stride;  // of the axis in `data`
  int64_t width;   // of the innermost dimension of `indices`
  int64_t step;    // the stride of this dimension in `data`; 0 if it is the axis
  LoopNest rows;   // the other dimensions, with offsets in `data` (from) and `indices` (to)

  // Neither tensor may be empty.
  Selection(const Dims& data, const Dims& indices, size_t axis) {
    const auto from = strides_of(data), to = strides_of(indices);
    const size_t last = data.size() - 1;
    std::vector<Loop> loops;
    for (size_t i = 0; i < last; ++i) loops.push_back({indices[i], i == axis ? 0 : from[i], to[i]});
    rows = LoopNest(std::move(loops));
    size = data[axis];
    stride = from[axis];
    width = indices[last];
    step = axis == last ? 0 : 1;
  }

  // Calls work(selected, at) for each element of `indices`, in order: `at` is its offset, and
  // `selected` the offset in `data`. Throws ENGINE at the end if an index is outside of the axis.
  template <typename Index, typename Work>
  void for_each(const Node& node, const Index* indices, const Interrupt& interrupt,
                Work&& work) const {
    bool is_outside = false;
    rows.for_each([&](int64_t base, int64_t first) {
      interrupt.poll();
      for (int64_t i = 0; i < width; ++i) {
        const int64_t index = normal_index(indices[first + i], size, &is_outside);
        work(base + i * step + index * stride, first + i);
      }
    });
    if (is_outside) refuse_index(node);
  }
};

// Checks the shapes, and returns the axis.
size_t check_selection(const Node& node, const Tensor& data, const Tensor& indices) {
  const size_t axis = normal_axis(node, node.integer("axis", 0), data.rank());
  bool fits = data.rank() == indices.rank();
  for (size_t i = 0; fits && i < data.dims.size(); ++i)
    fits = i == axis || indices.dims[i] <= data.dims[i];
  if (!fits) refuse_node(node, SIDECALL_ENGINE, "the indices do not fit the shape of the data");
  return axis;
}

std::unique_ptr<Step> prepare_gather_elements(const Node& node, Inputs in, Outputs out) {
  const Tensor& data = required(node, in, 0);
  const Tensor& indices = required(node, in, 1);
  const size_t axis = check_selection(node, data, indices);
  out[0]->shape(data.dtype, indices.dims);
  if (indices.count == 0) return nullptr;
  if (data.count == 0) return refusing_step(node);
  return with_element(data.dtype, [&](auto element) {
    using E = decltype(element);
    return with_index(node, indices, [&](auto zero) {
      using Index = decltype(zero);
      return make_step(
          [&node, &data, &indices, result = out[0],
           selection = Selection(data.dims, indices.dims, axis)](const Interrupt& interrupt) {
            const E* from = data.as<E>();
            E* to = result->as<E>();
            selection.for_each(node, indices.as<Index>(), interrupt,
                               [&](int64_t selected, int64_t at) { to[at] = from[selected]; });
          });
    });
  });
}

struct Assign {
  template <typename E>
  E operator()(E, E update) const {
    return update;
  }
};

template <typename E, typename Reduce>
std::unique_ptr<Step> scatter_step(const Node& node, Inputs in, size_t axis, Tensor* out,
                                   Reduce reduce) {
  const Tensor &data = *in[0], &indices = *in[1], &updates = *in[2];
  return with_index(node, indices, [&](auto zero) {
    using Index = decltype(zero);
    return make_step([&node, &data, &indices, &updates, out, reduce,
                      selection =
                          Selection(data.dims, indices.dims, axis)](const Interrupt& interrupt) {
      E* to = out->as<E>();
      const E* from = updates.as<E>();
      std::memcpy(to, data.as<E>(), static_cast<size_t>(data.count) * sizeof(E));
      selection.for_each(node, indices.as<Index>(), interrupt, [&](int64_t selected, int64_t at) {
        to[selected] = reduce(to[selected], from[at]);
      });
    });
  });
}

std::unique_ptr<Step> prepare_scatter_elements(const Node& node, Inputs in, Outputs out) {
  const Tensor& data = required(node, in, 0);
  const Tensor& indices = required(node, in, 1);
  const Tensor& updates = required(node, in, 2);
  const size_t axis = check_selection(node, data, indices);
  if (updates.dtype != data.dtype)
    refuse_node(node, SIDECALL_FILE_INVALID,
                std::string("expected updates of the type of the data, ") + dtype_name(data.dtype) +
                    ", got " + dtype_name(updates.dtype));
  if (updates.dims != indices.dims)
    refuse_node(node, SIDECALL_ENGINE, "the updates and the indices differ in shape");
  const std::string_view reduction = node.text("reduction", "none");
  if (reduction != "none" && reduction != "add")
    refuse_node(node, SIDECALL_UNSUPPORTED, "this engine reduces by 'none' and 'add' only");
  out[0]->shape(data.dtype, data.dims);
  if (indices.count == 0) {
    out[0]->place = data.place;
    return nullptr;
  }
  if (data.count == 0) return refusing_step(node);
  if (reduction == "none") {
    return with_element(data.dtype, [&](auto element) {
      return scatter_step<decltype(element)>(node, in, axis, out[0], Assign());
    });
  }
  auto step = with_type<double, float, int64_t, int32_t>(data.dtype, [&](auto zero) {
    return scatter_step<decltype(zero)>(node, in, axis, out[0], Add());
  });
  if (!step)
    refuse_node(node, SIDECALL_UNSUPPORTED,
                std::string("this engine does not add ") + dtype_name(data.dtype));
  return step;
}

// ---- GatherND ----

// The last dimension of the indices holds tuples. Each tuple selects a block of the data within its
// batch: the first `batch_dims` dimensions of data and indices are the same.
std::unique_ptr<Step> prepare_gather_nd(const Node& node, Inputs in, Outputs out) {
  const Tensor& data = required(node, in, 0);
  const Tensor& indices = required(node, in, 1);
  const int64_t batch = node.integer("batch_dims", 0);
  if (indices.rank() == 0 || batch < 0 || batch >= indices.rank() || batch > data.rank() ||
      indices.dims.back() > data.rank() - batch)
    refuse_node(node, SIDECALL_FILE_INVALID, "the indices do not fit the rank of the data");
  const auto first = static_cast<size_t>(batch);
  const auto length = static_cast<size_t>(indices.dims.back());
  const size_t end = first + length;
  Dims dims(indices.dims.begin(), indices.dims.end() - 1);
  for (size_t i = 0; i < first; ++i) {
    if (dims[i] != data.dims[i])
      refuse_node(node, SIDECALL_ENGINE, "the batches of indices and data differ in shape");
  }
  const int64_t tuples = count_elements(dims), batches = span(dims, 0, first);
  dims.insert(dims.end(), data.dims.begin() + static_cast<ptrdiff_t>(end), data.dims.end());
  out[0]->shape(data.dtype, dims);
  if (tuples == 0) return nullptr;
  if (data.count == 0) return out[0]->count == 0 ? nullptr : refusing_step(node);
  const auto strides = strides_of(data.dims);
  const auto at = [](const std::vector<int64_t>& list, size_t i) {
    return list.begin() + static_cast<ptrdiff_t>(i);
  };
  const std::vector<int64_t> sizes(at(data.dims, first), at(data.dims, end));
  const std::vector<int64_t> weights(at(strides, first), at(strides, end));
  return with_element(data.dtype, [&](auto element) {
    using E = decltype(element);
    return with_index(node, indices, [&](auto zero) {
      using Index = decltype(zero);
      return make_step(
          [&node, &data, &indices, result = out[0], sizes, weights, batches,
           tuples = tuples / batches, stride = data.count / batches,
           block = span(data.dims, end, data.dims.size())](const Interrupt& interrupt) {
            const Index* index = indices.as<Index>();
            E* to = result->as<E>();
            bool is_outside = false;
            for (int64_t i = 0; i < batches; ++i) {
              const E* from = data.as<E>() + i * stride;
              for (int64_t tuple = 0; tuple < tuples; ++tuple) {
                interrupt.poll();
                int64_t offset = 0;
                for (size_t j = 0; j < sizes.size(); ++j)
                  offset += normal_index(*index++, sizes[j], &is_outside) * weights[j];
                std::memcpy(to, from + offset, static_cast<size_t>(block) * sizeof(E));
                to += block;
              }
            }
            if (is_outside) refuse_index(node);
          });
    });
  });
}

// ---- OneHot ----

// Truncates a real number. NaN and a number that does not fit become the smallest int64.
template <typename T>
int64_t truncated(T number) {
  if constexpr (std::is_floating_point_v<T>) {
    const T limit = std::ldexp(T{1}, 63);
    if (!(number >= -limit && number < limit)) return std::numeric_limits<int64_t>::min();
  }
  return static_cast<int64_t>(number);
}

int64_t known_depth(const Node& node, const Tensor& depth) {
  if (!depth.is_known)
    refuse_node(
        node, SIDECALL_UNSUPPORTED,
        "expected an output shape that is known before the run, got one that depends on the "
        "inputs' values");
  int64_t value = 0;
  if (depth.count == 1)
    value = with_type<double, float, int64_t, int32_t>(
        depth.dtype, [&](auto zero) { return truncated(*depth.as<decltype(zero)>()); });
  if (value <= 0)
    refuse_node(node, SIDECALL_ENGINE, "expected one number of more than 0 as the depth");
  return value;
}

// A negative index counts from the end. An index outside of the depth sets no element.
std::unique_ptr<Step> prepare_one_hot(const Node& node, Inputs in, Outputs out) {
  const Tensor& indices = required(node, in, 0);
  const int64_t depth = known_depth(node, required(node, in, 1));
  const Tensor& values = required(node, in, 2);
  if (values.count != 2)
    refuse_node(
        node, SIDECALL_FILE_INVALID,
        "expected two values, for elements off and on, got " + std::to_string(values.count));
  const size_t axis = normal_axis(node, node.integer("axis", -1), indices.rank() + 1);
  Dims dims = indices.dims;
  dims.insert(dims.begin() + static_cast<ptrdiff_t>(axis), depth);
  out[0]->shape(values.dtype, dims);
  if (out[0]->count == 0) return nullptr;
  auto step = with_element(values.dtype, [&](auto element) {
    using E = decltype(element);
    return with_type<int64_t, int32_t, float, double>(indices.dtype, [&](auto zero) {
      using Index = decltype(zero);
      return make_step([&indices, &values, depth, result = out[0], rows = span(dims, 0, axis),
                        width = span(dims, axis + 1, dims.size())](const Interrupt& interrupt) {
        const E off = values.as<E>()[0], on = values.as<E>()[1];
        const Index* index = indices.as<Index>();
        E* to = result->as<E>();
        for (int64_t row = 0; row < rows; ++row) {
          interrupt.poll();
          fill(to, depth * width, off);
          for (int64_t i = 0; i < width; ++i) {
            int64_t position = truncated(*index++);
            if (position < 0) position += depth;
            if (position >= 0 && position < depth) to[position * width + i] = on;
          }
          to += depth * width;
        }
      });
    });
  });
  if (!step)
    refuse_node(node, SIDECALL_UNSUPPORTED,
                std::string("this engine does not take indices of ") + dtype_name(indices.dtype));
  return step;
}

}  // namespace

const std::vector<OperatorEntry>& gather_operators() {
  static const auto* all = new std::vector<OperatorEntry>{
      {"", "Gather", 1, kAnyVersion, make_plain<prepare_gather>, rows::gather},
      {"", "GatherElements", 11, kAnyVersion, make_plain<prepare_gather_elements>,
       rows::gather_elements},
      {"", "GatherND", 11, kAnyVersion, make_plain<prepare_gather_nd>, rows::gather_nd},
      {"", "Scatter", 9, 10, make_plain<prepare_scatter_elements>, rows::scatter_elements},
      {"", "ScatterElements", 11, kAnyVersion, make_plain<prepare_scatter_elements>,
       rows::scatter_elements},
      {"", "Compress", 9, kAnyVersion, make_plain<prepare_compress>, rows::compress},
      {"", "OneHot", 9, kAnyVersion, make_plain<prepare_one_hot>, rows::one_hot},
  };
  return *all;
}

}  // namespace sidecall::native
