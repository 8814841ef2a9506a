// The interface of the operators, and the table that finds them.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "graph.h"
#include "tensor.h"

namespace sidecall::native {

// Thrown by a step that noticed the request to stop.
struct Interrupted {};

// The request to end a run early. A step whose work can take more than about a millisecond polls it
// in its outermost loop.
class Interrupt {
 public:
  explicit Interrupt(const std::atomic<bool>& request) : request_(request) {}
  void poll() const {
    if (request_.load(std::memory_order_relaxed)) throw Interrupted();
  }

 private:
  const std::atomic<bool>& request_;
};

// The work of one node in one program, for fixed shapes. It belongs to one binding, so it may have
// scratch memory. run() allocates no memory.
class Step {
 public:
  virtual ~Step() = default;
  virtual void run(const Interrupt& interrupt) = 0;
};

// A step from a function object: work() or work(interrupt).
template <typename Work>
std::unique_ptr<Step> make_step(Work work) {
  struct WorkStep final : Step {
    explicit WorkStep(Work w) : work(std::move(w)) {}
    void run(const Interrupt& interrupt) override {
      if constexpr (std::is_invocable_v<Work&, const Interrupt&>) work(interrupt);
      else work();
    }
    Work work;
  };
  return std::make_unique<WorkStep>(std::move(work));
}

// One entry for each input or output of the node; nullptr for one that is omitted, and for an
// output that nothing reads. Trailing entries are missing if the node does not have them.
using Inputs = const std::vector<const Tensor*>&;
using Outputs = const std::vector<Tensor*>&;

// A node that has been compiled. Immutable; shared by all programs of the model.
class Operator {
 public:
  virtual ~Operator() = default;

  // Sets type and shape of each output (Tensor::shape) and returns the step that computes them. If
  // an output has the elements of an input in the same order, this function may set its `place` to
  // that of the input instead; if nothing is left to do, it returns nullptr. The elements of an
  // input may be read here if it is known. An output that depends on shapes alone is computed here:
  // see known().
  //
  // Throws ENGINE if the shapes of the inputs do not fit, UNSUPPORTED for types that the operator
  // does not compute with.
  virtual std::unique_ptr<Step> prepare(Inputs in, Outputs out) const = 0;
};

// What an operator may use while it is compiled.
struct Compile {
  const Node& node;
  // By input: a constant, or nullptr.
  std::vector<const Constant*> constants;
  Vocabulary& vocabulary;

  const Constant* constant(size_t input) const {
    return input < constants.size() ? constants[input] : nullptr;
  }
};

using MakeOperator = std::unique_ptr<Operator> (*)(const Compile& compile);

// An entry of a table of operators: the versions of its operator set in which it behaves as this
// engine computes it.
struct OperatorEntry {
  const char* domain;
  const char* op;
  int64_t first_version;
  int64_t last_version;
  MakeOperator make;
  size_t max_outputs = 1;
};
constexpr int64_t kAnyVersion = INT64_MAX;
constexpr size_t kAnyNumber = SIZE_MAX;

// The operator of a node, or nullptr if this engine does not have it, or not in that version.
const OperatorEntry* find_operator(const Node& node);

// ---- For operators without compiled state ----

using Prepare = std::unique_ptr<Step> (*)(const Node& node, Inputs in, Outputs out);

template <Prepare prepare_node>
std::unique_ptr<Operator> make_plain(const Compile& compile) {
  struct Plain final : Operator {
    explicit Plain(const Node& n) : node(n) {}
    std::unique_ptr<Step> prepare(Inputs in, Outputs out) const override {
      return prepare_node(node, in, out);
    }
    const Node& node;
  };
  return std::make_unique<Plain>(compile.node);
}

// ---- Checks ----

[[noreturn]] void refuse_node(const Node& node, int32_t status, const std::string& problem);

[[noreturn]] void refuse_type(const Node& node, const Tensor& tensor);

// The step, unless it is nullptr because with_type() found no function for the type of the tensor.
std::unique_ptr<Step> or_refuse(std::unique_ptr<Step> step, const Node& node, const Tensor& tensor);

// The tensor at that position; throws FILE_INVALID if the node does not have it.
const Tensor& required(const Node& node, Inputs in, size_t position);
// nullptr if it is omitted.
inline const Tensor* optional(Inputs in, size_t position) {
  return position < in.size() ? in[position] : nullptr;
}
inline Tensor* optional_output(Outputs out, size_t position) {
  return position < out.size() ? out[position] : nullptr;
}

// The elements of a tensor of int64 or int32 whose elements are known when shapes are, such as
// axes.
std::vector<int64_t> known_integers(const Node& node, const Tensor& tensor);

// An axis of -rank to rank - 1 as 0 to rank - 1; throws FILE_INVALID for others.
size_t normal_axis(const Node& node, int64_t axis, int64_t rank);

}  // namespace sidecall::native
