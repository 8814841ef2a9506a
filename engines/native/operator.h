// The interfaces of operators and of the steps that they prepare, the entries of operator tables,
// and checks that operators share.
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

// Thrown to end a run early; see Interrupt.
struct Interrupted {};

// A request to end a run early. A step that can take more than about a millisecond polls it in its
// outermost loop.
class Interrupt {
 public:
  explicit Interrupt(const std::atomic<bool>& request) : request_(request) {}
  void poll() const {
    if (request_.load(std::memory_order_relaxed)) throw Interrupted();
  }

 private:
  const std::atomic<bool>& request_;
};

// A step with many short rows polls its Interrupt once in this many rows.
constexpr int64_t kRowsPerPoll = 64;

// The work of one node in one program, for fixed shapes. A step belongs to one context, so it may
// have scratch memory of its own. run() allocates no memory.
class Step {
 public:
  virtual ~Step() = default;
  virtual void run(const Interrupt& interrupt) = 0;
};

// Makes a step of a function object, which is called as work(interrupt) or work().
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

// One entry for each input or output that the node lists: nullptr if it is omitted or, for an
// output, if nothing reads it. The list is shorter if the node omits trailing inputs or outputs.
using Inputs = const std::vector<const Tensor*>&;
using Outputs = const std::vector<Tensor*>&;

// A compiled node. Immutable, and shared by all programs of the model.
class Operator {
 public:
  virtual ~Operator() = default;

  // Sets the type and shape of each output (Tensor::shape) and returns the step that computes them.
  //
  // An output with the same elements in the same order as an input may share the `place` of that
  // input. Returns nullptr if nothing is left to compute. Only the elements of inputs that are
  // known (Tensor::is_known) may be read here. An operator sets `is_known` of an output that
  // depends on shapes alone, and the step is then run at once; if all inputs are known, it is run
  // at once in any case.
  //
  // Throws ENGINE if the shapes of the inputs do not fit, UNSUPPORTED for types that this engine
  // does not compute.
  virtual std::unique_ptr<Step> prepare(Inputs in, Outputs out) const = 0;
};

// What is available to an operator while it is compiled.
struct Compile {
  const Node& node;
  std::vector<const Constant*> constants;  // by input; nullptr if the input is not constant
  Vocabulary& vocabulary;

  const Constant* constant(size_t input) const {
    return input < constants.size() ? constants[input] : nullptr;
  }
};

using MakeOperator = std::unique_ptr<Operator> (*)(const Compile& compile);

// How a value depends on the batch, which is the first axis of every input of the graph.
enum class RowKind : uint8_t {
  kOther,  // in none of the following ways, or in a way that is not known
  kFixed,  // not at all: neither its shape nor its elements
  kRows,   // its first axis is the batch. Row i depends on row i of the inputs alone
  kShape,  // a known list of integers: the number of rows, and then numbers that are fixed
};

// A node that was prepared.
struct RowQuery {
  const Node& node;
  Inputs in;
  Outputs out;
  const std::vector<RowKind>& kinds;  // by input; kFixed for one that is omitted

  RowKind kind(size_t input) const { return kinds[input]; }
};

// Returns the kind of all outputs of a node of which some input is not kFixed. A wrong kOther costs
// time, any other wrong kind gives wrong answers.
using RowRule = RowKind (*)(const RowQuery& query);

constexpr int64_t kAnyVersion = INT64_MAX;
constexpr size_t kAnyNumber = SIZE_MAX;

// An entry of a table of operators. first_version to last_version are the versions of the operator
// set in which the operator behaves as `make` implements it.
struct OperatorEntry {
  const char* domain;
  const char* op;
  int64_t first_version;
  int64_t last_version;
  MakeOperator make;
  RowRule rows;  // nullptr: the outputs are kOther
  // A node with more inputs is refused. Set this if `rows` looks at inputs that the operator does
  // not read. Rules in which only input 0 has rows need no limit: they require that all other
  // inputs are fixed.
  size_t max_inputs = kAnyNumber;
  size_t max_outputs = 1;
  // Whether the attributes of the node, which are large, are freed after `make` has read them.
  bool drops_attributes = false;
};

// The table entry for a node; nullptr if this engine does not have the operator in that version.
// Throws UNSUPPORTED for a function of the model that this engine does not know.
const OperatorEntry* find_operator(const Node& node);

// ---- For operators without compiled state ----

// Operator::prepare() as a function of the node.
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

// Throws an error whose message is "node 'name' (Op): " and the problem.
[[noreturn]] void refuse_node(const Node& node, int32_t status, const std::string& problem);

// Throws UNSUPPORTED for the type of the tensor.
[[noreturn]] void refuse_type(const Node& node, const Tensor& tensor);

// Returns the step. If it is nullptr, because with_type() does not have the type of the tensor,
// throws UNSUPPORTED.
std::unique_ptr<Step> or_refuse(std::unique_ptr<Step> step, const Node& node, const Tensor& tensor);

// Throws FILE_INVALID if the elements are of different types.
void require_same_types(const Node& node, const Tensor& a, const Tensor& b);

// The input at that position. Throws FILE_INVALID if the node omits it.
const Tensor& required(const Node& node, Inputs in, size_t position);
// Each returns nullptr if the node omits the input or output.
inline const Tensor* optional(Inputs in, size_t position) {
  return position < in.size() ? in[position] : nullptr;
}
inline Tensor* optional_output(Outputs out, size_t position) {
  return position < out.size() ? out[position] : nullptr;
}

// The elements of a tensor of int64 or int32, such as axes. Throws UNSUPPORTED if they are not
// known before the run, FILE_INVALID for another type.
std::vector<int64_t> known_integers(const Node& node, const Tensor& tensor);

// Converts an axis from -rank..rank - 1 to 0..rank - 1. Throws FILE_INVALID for other values.
size_t normal_axis(const Node& node, int64_t axis, int64_t rank);

}  // namespace sidecall::native
