// Compiles graphs and prepares programs; see plan.h.
#include "plan.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <set>
#include <string>

#include "core/error.h"
#include "float_environment.h"
#include "text/fusion.h"
#include "text/listed_terms.h"

namespace sidecall::native {
namespace {

// The limit for all constants that folding makes. A node such as Expand makes a large tensor of a
// small one, so without a limit a small file could exhaust the memory.
constexpr uint64_t kMaxFoldedBytes = UINT64_C(1) << 28;
constexpr uint64_t kAlignment = 64;
// Beyond this number of places no memory is reused, because the search for a gap is linear in the
// number of places in use, and is repeated for each place.
constexpr size_t kMaxReusedPlaces = 1000;

// A slice has as many rows as keep about this number of bytes in use, within these limits.
constexpr uint64_t kSliceBytes = UINT64_C(1) << 18;
constexpr int64_t kFewestRows = 64, kMostRows = 1024;

Tensor constant_tensor(Constant* constant) {
  Tensor tensor;
  tensor.dtype = constant->dtype;
  tensor.dims = constant->dims;
  tensor.count = constant->count;
  tensor.is_known = true;
  tensor.place = &constant->place;
  return tensor;
}

// Whether the first axis of an input can be the batch, if that of the first input is.
bool has_batch(const TensorSpec& spec, const Dims& dims, const Dims& first) {
  return spec.has_rows() && !dims.empty() && !first.empty() && dims[0] == first[0];
}

std::unique_ptr<Step> copy_step(const Tensor* from, const Tensor* to) {
  const uint64_t bytes = bytes_of(*from);
  return make_step([from, to, bytes] {
    if (bytes > 0) std::memcpy(to->place->data, from->place->data, bytes);
  });
}

// Returns nullptr if nothing is to be computed, and names the node in errors that do not name it
// yet, such as those about shapes.
std::unique_ptr<Step> prepare_node(const Node& node, const Operator& op, Inputs in, Outputs out) {
  try {
    std::unique_ptr<Step> step = op.prepare(in, out);
    const auto is_empty = [](const Tensor* tensor) {
      return tensor == nullptr || tensor->count == 0;
    };
    if (std::all_of(out.begin(), out.end(), is_empty)) return nullptr;
    return step;
  } catch (const Error& error) {
    const std::string text = error.what();
    const std::string name = node.describe() + ": ";
    if (text.compare(0, name.size(), name) == 0) throw;
    throw Error(error.status(), name + text);
  }
}

// For steps that run outside of a call.
const Interrupt& never() {
  static const std::atomic<bool> request{false};
  static const Interrupt interrupt(request);
  return interrupt;
}

}  // namespace

void Tensor::shape(int32_t element_type, Dims sizes) {
  if (sizes.size() > kMaxRank)
    throw Error(SIDECALL_UNSUPPORTED, "expected tensors of rank " + std::to_string(kMaxRank) +
                                          " or less, got rank " + std::to_string(sizes.size()));
  constexpr int64_t kMaxElements = INT64_C(1) << 56;
  int64_t capacity = 1;
  for (const int64_t size : sizes) {
    if (size > 1 && capacity > kMaxElements / size)
      throw Error(SIDECALL_OUT_OF_MEMORY, "out of memory: a tensor of the graph is too large");
    capacity *= std::max<int64_t>(size, 1);
  }
  dtype = element_type;
  dims = std::move(sizes);
  count = count_elements(dims);
}

// ---- Plan ----

Plan::Plan(EngineInput input, const std::string& what)
    : input_(std::move(input)), graph_(read_graph(input_, what)) {
  const FloatEnvironment environment;
  try {
    replace_listed_terms(&graph_);
    keep_needed_nodes();
    fuse_term_counts(&graph_);
    for (Node& node : graph_.nodes) compile(&node);
    try_shapes();
  } catch (const Error& error) {
    throw Error(error.status(), what + error.what());
  }
}

void Plan::keep_needed_nodes() {
  is_needed_.resize(graph_.values.size());
  for (const int32_t value : graph_.output_values) is_needed_[static_cast<size_t>(value)] = true;
  std::vector<Node> kept;
  for (auto node = graph_.nodes.rbegin(); node != graph_.nodes.rend(); ++node) {
    const auto is_needed = [&](int32_t value) {
      return value >= 0 && is_needed_[static_cast<size_t>(value)];
    };
    if (std::none_of(node->outputs.begin(), node->outputs.end(), is_needed)) continue;
    for (const int32_t value : node->inputs) {
      if (value >= 0) is_needed_[static_cast<size_t>(value)] = true;
    }
    kept.push_back(std::move(*node));
  }
  std::reverse(kept.begin(), kept.end());
  graph_.nodes = std::move(kept);
}

void Plan::compile(Node* compiled) {
  const Node& node = *compiled;
  const OperatorEntry* entry = find_operator(node);
  if (entry == nullptr)
    refuse_node(node, SIDECALL_UNSUPPORTED,
                "this engine does not have the operator in version " +
                    std::to_string(node.version) + " of its operator set");
  const auto require_most = [&](size_t most, size_t got, const char* what) {
    if (got > most)
      refuse_node(node, SIDECALL_FILE_INVALID,
                  "expected at most " + std::to_string(most) + what + (most == 1 ? "" : "s") +
                      ", got " + std::to_string(got));
  };
  require_most(entry->max_inputs, node.inputs.size(), " input");
  require_most(entry->max_outputs, node.outputs.size(), " output");
  Compile context{node, {}, graph_.vocabulary};
  bool all_constant = true;
  for (const int32_t value : node.inputs) {
    const Constant* constant =
        value < 0 ? nullptr : graph_.values[static_cast<size_t>(value)].constant.get();
    context.constants.push_back(constant);
    all_constant = all_constant && (value < 0 || constant != nullptr);
  }
  std::unique_ptr<Operator> op = entry->make(context);
  if (entry->drops_attributes) std::vector<Attribute>().swap(compiled->attributes);
  if (all_constant) fold(node, *op);
  else nodes_.push_back({&node, std::move(op), entry->rows});
}

// Computes a node whose inputs are all constant. Its outputs become constants.
void Plan::fold(const Node& node, const Operator& op) {
  std::deque<Tensor> tensors;
  std::vector<const Tensor*> in;
  std::vector<Tensor*> out;
  for (const int32_t value : node.inputs) {
    if (value < 0) {
      in.push_back(nullptr);
      continue;
    }
    tensors.push_back(constant_tensor(graph_.values[static_cast<size_t>(value)].constant.get()));
    in.push_back(&tensors.back());
  }
  for (const int32_t value : node.outputs) {
    const bool is_read = value >= 0 && is_needed_[static_cast<size_t>(value)];
    out.push_back(is_read ? &tensors.emplace_back() : nullptr);
  }
  const std::unique_ptr<Step> step = prepare_node(node, op, in, out);
  for (size_t i = 0; i < out.size(); ++i) {
    if (out[i] == nullptr) continue;
    folded_bytes_ += std::min(bytes_of(*out[i]), kMaxFoldedBytes + 1);
    if (folded_bytes_ > kMaxFoldedBytes)
      refuse_node(node, SIDECALL_UNSUPPORTED,
                  "expected at most " + std::to_string(kMaxFoldedBytes) +
                      " bytes from all nodes with constant inputs, got more");
    auto constant = make_constant(out[i]->dtype, out[i]->dims);
    if (out[i]->place != nullptr) {
      const uint64_t bytes = bytes_of(*out[i]);
      if (bytes > 0) std::memcpy(constant->place.data, out[i]->place->data, bytes);
    }
    out[i]->place = &constant->place;
    graph_.values[static_cast<size_t>(node.outputs[i])].constant = std::move(constant);
  }
  if (step) step->run(never());
}

// Refuses a model whose types or shapes never fit when it is opened. Dynamic dimensions are tried
// with 1 and, if that does not fit, with kMany: a graph that takes the three largest elements of a
// dynamic axis, for example, does not fit 1.
void Plan::try_shapes() {
  constexpr int64_t kMany = 960;  // a multiple of most numbers that a graph divides rows by
  std::set<std::string> free_dims;
  for (const TensorSpec& input : graph_.inputs) {
    for (size_t axis = 0; axis < input.dims.size(); ++axis) {
      if (input.dims[axis] >= 0) continue;
      const std::string& name = input.dim_names[axis];
      free_dims.insert(name.empty() ? input.name + "[" + std::to_string(axis) + "]" : name);
    }
  }
  try {
    try_shapes(1);
    return;
  } catch (const Error&) {
    if (free_dims.empty()) throw;
  }
  try {
    try_shapes(kMany);
  } catch (const Error& error) {
    // With several free dimensions, sizes that fit together are not known here.
    if (free_dims.size() < 2 || error.status() != SIDECALL_ENGINE) throw;
  }
}

// Prepares a program once, with this size for each dynamic dimension, and chooses slice_rows_.
void Plan::try_shapes(int64_t size) {
  std::vector<Dims> dims;
  for (const TensorSpec& input : graph_.inputs) {
    dims.push_back(input.dims);
    for (int64_t& dim : dims.back()) dim = dim < 0 ? size : dim;
  }
  Program program(*this);
  program.prepare(dims, never(), true);
  for (size_t i = 0; i < graph_.outputs.size(); ++i) {
    const TensorSpec& declared = graph_.outputs[i];
    const Tensor& output = program.output(i);
    if (output.dtype != declared.dtype ||
        (declared.is_shaped && output.dims.size() != declared.dims.size()))
      throw Error(SIDECALL_FILE_INVALID,
                  "output '" + declared.name + "': expected " +
                      describe_tensor(declared.dtype, declared.dims, &declared.dim_names) +
                      " as the graph declares, got " + describe_tensor(output.dtype, output.dims) +
                      " from its nodes");
  }
  if (!program.is_row_wise()) return;
  uint64_t bytes = program.bytes();
  for (size_t i = 0; i < dims.size(); ++i) bytes += bytes_of(program.input(i));
  for (size_t i = 0; i < graph_.outputs.size(); ++i) bytes += bytes_of(program.output(i));
  const auto rows = static_cast<int64_t>(kSliceBytes / (bytes / static_cast<uint64_t>(size) + 1));
  slice_rows_ = kMostRows;
  while (slice_rows_ > std::max(rows, kFewestRows)) slice_rows_ /= 2;
}

// ---- Program ----

Tensor* Program::tensor_of(int32_t value) {
  return value < 0 ? nullptr : &tensors_[static_cast<size_t>(value)];
}

Place* Program::new_place() { return &places_.emplace_back(); }

void Program::prepare(const std::vector<Dims>& inputs, const Interrupt& interrupt,
                      bool finds_rows) {
  const Graph& graph = plan_.graph_;
  steps_.clear();
  node_numbers_.clear();
  kinds_.assign(finds_rows ? graph.values.size() : 0, RowKind::kOther);
  lifetimes_.clear();
  known_.clear();
  known_bytes_ = 0;
  copies_.clear();
  places_.clear();
  inputs_.clear();
  outputs_.clear();
  tensors_.assign(graph.values.size(), Tensor());
  for (size_t i = 0; i < graph.values.size(); ++i) {
    if (!graph.values[i].constant) continue;
    tensors_[i] = constant_tensor(graph.values[i].constant.get());
    if (finds_rows) kinds_[i] = RowKind::kFixed;
  }
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    Tensor* input = tensor_of(graph.input_values[i]);
    input->shape(graph.inputs[i].dtype, inputs[i]);
    input->place = new_place();
    inputs_.push_back(input);
    if (finds_rows && has_batch(graph.inputs[i], inputs[i], inputs[0]))
      kinds_[static_cast<size_t>(graph.input_values[i])] = RowKind::kRows;
  }
  for (const Plan::CompiledNode& node : plan_.nodes_) {
    interrupt.poll();
    add_node(node, interrupt);
  }
  separate_outputs();
  lay_out();
}

void Program::add_node(const Plan::CompiledNode& compiled, const Interrupt& interrupt) {
  const Node& node = *compiled.node;
  std::vector<const Tensor*> in;
  std::vector<Tensor*> out;
  bool all_known = true;
  for (const int32_t value : node.inputs) {
    const Tensor* tensor = tensor_of(value);
    in.push_back(tensor);
    if (tensor == nullptr) continue;
    use(*tensor);
    all_known = all_known && tensor->is_known;
  }
  for (const int32_t value : node.outputs) {
    const bool is_read = value >= 0 && plan_.is_needed_[static_cast<size_t>(value)];
    out.push_back(is_read ? tensor_of(value) : nullptr);
  }
  std::unique_ptr<Step> step = prepare_node(node, *compiled.op, in, out);
  if (!kinds_.empty()) find_kind(compiled, in, out);
  const bool is_known = all_known || std::any_of(out.begin(), out.end(), [](const Tensor* tensor) {
                          return tensor != nullptr && tensor->is_known;
                        });
  if (is_known) {
    compute_now(step.get(), out, interrupt);
    return;
  }
  for (Tensor* tensor : out) {
    if (tensor == nullptr || tensor->place != nullptr) continue;
    tensor->place = new_place();
    tensor->place->lifetime = static_cast<int64_t>(lifetimes_.size());
    lifetimes_.push_back({tensor->place, bytes_of(*tensor), steps_.size(), steps_.size()});
  }
  if (step) add_step(std::move(step), static_cast<size_t>(&compiled - plan_.nodes_.data()));
}

void Program::add_step(std::unique_ptr<Step> step, size_t node) {
  steps_.push_back(std::move(step));
  node_numbers_.push_back(node);
}

// Sets the kind of the outputs of a node that was prepared.
void Program::find_kind(const Plan::CompiledNode& compiled, Inputs in, Outputs out) {
  std::vector<RowKind> kinds;
  for (const int32_t value : compiled.node->inputs)
    kinds.push_back(value < 0 ? RowKind::kFixed : kinds_[static_cast<size_t>(value)]);
  const auto number = [&](RowKind kind) { return std::count(kinds.begin(), kinds.end(), kind); };
  RowKind found = RowKind::kFixed;
  if (number(RowKind::kFixed) < static_cast<std::ptrdiff_t>(kinds.size())) {
    const bool is_known = number(RowKind::kOther) == 0 && compiled.rows != nullptr;
    found = is_known ? compiled.rows({*compiled.node, in, out, kinds}) : RowKind::kOther;
  }
  for (const int32_t value : compiled.node->outputs) {
    if (value >= 0) kinds_[static_cast<size_t>(value)] = found;
  }
}

bool Program::is_row_wise() const {
  const Graph& graph = plan_.graph_;
  const auto has_rows = [&](int32_t value) {
    return kinds_[static_cast<size_t>(value)] == RowKind::kRows;
  };
  return !graph.input_values.empty() &&
         std::all_of(graph.input_values.begin(), graph.input_values.end(), has_rows) &&
         std::all_of(graph.output_values.begin(), graph.output_values.end(), has_rows);
}

void Program::run_before(size_t* end, const Interrupt& interrupt) {
  size_t at = 0;
  try {
    for (; at < steps_.size() && node_numbers_[at] < *end; ++at) {
      interrupt.poll();
      steps_[at]->run(interrupt);
    }
  } catch (const Error&) {
    *end = node_numbers_[at];
    throw;
  }
}

// Computes outputs that do not depend on the elements of inputs, in memory of their own.
void Program::compute_now(Step* step, const std::vector<Tensor*>& out, const Interrupt& interrupt) {
  for (Tensor* tensor : out) {
    if (tensor == nullptr) continue;
    tensor->is_known = true;
    if (tensor->place != nullptr) continue;
    tensor->place = new_place();
    known_bytes_ += std::min(bytes_of(*tensor), kMaxFoldedBytes + 1);
    if (known_bytes_ > kMaxFoldedBytes)
      throw Error(SIDECALL_UNSUPPORTED,
                  "expected at most " + std::to_string(kMaxFoldedBytes) +
                      " bytes of values that depend on shapes alone, got more");
    Buffer& buffer = known_.emplace_back();
    buffer.reserve(bytes_of(*tensor));
    tensor->place->data = buffer.data();
  }
  if (step != nullptr) step->run(interrupt);
}

// Extends the lifetime of the tensor's place to the step that is added next.
void Program::use(const Tensor& tensor) {
  if (tensor.place->lifetime >= 0)
    lifetimes_[static_cast<size_t>(tensor.place->lifetime)].end = steps_.size();
}

// Gives each output a place of its own, so that the context can choose its memory. An output that
// shares the place of an input, a constant or another output is copied by a step at the end.
void Program::separate_outputs() {
  for (const int32_t value : plan_.graph_.output_values) {
    Tensor* tensor = tensor_of(value);
    if (tensor->place->lifetime >= 0) {
      lifetimes_[static_cast<size_t>(tensor->place->lifetime)].place = nullptr;
      tensor->place->lifetime = -1;
      outputs_.push_back(tensor);
      continue;
    }
    Tensor& copy = copies_.emplace_back(*tensor);
    copy.place = new_place();
    add_step(copy_step(tensor, &copy), plan_.nodes_.size());
    outputs_.push_back(&copy);
  }
}

// Assigns each place a part of memory_: the first gap that is large enough (first fit). Places
// whose lifetimes do not overlap may share memory.
void Program::lay_out() {
  struct Part {
    uint64_t offset, bytes;
    size_t end;
  };
  std::vector<Part> parts;  // in use at lifetime.begin, sorted by offset
  std::vector<std::pair<Place*, uint64_t>> offsets;
  uint64_t total = 0;
  const bool reuse = lifetimes_.size() <= kMaxReusedPlaces;
  for (const Lifetime& lifetime : lifetimes_) {
    if (lifetime.place == nullptr) continue;
    const uint64_t bytes = (lifetime.bytes / kAlignment + 1) * kAlignment;
    uint64_t offset = total;
    if (reuse) {
      const auto is_over = [&](const Part& part) { return part.end < lifetime.begin; };
      parts.erase(std::remove_if(parts.begin(), parts.end(), is_over), parts.end());
      offset = 0;
      auto at = parts.begin();
      for (; at != parts.end() && at->offset - offset < bytes; ++at)
        offset = at->offset + at->bytes;
      parts.insert(at, {offset, bytes, lifetime.end});
    }
    offsets.emplace_back(lifetime.place, offset);
    total = std::max(total, offset + bytes);
  }
  memory_.reserve(total);
  for (const auto& [place, offset] : offsets)
    place->data = static_cast<char*>(memory_.data()) + offset;
}

}  // namespace sidecall::native
