// The compiled graph (Plan), and its form for fixed shapes, which one context runs (Program).
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/artifact/engine_input.h"
#include "graph.h"
#include "operator.h"

namespace sidecall::native {

// Slices of a batch, and the whole batch, begin at multiples of this number of rows. Operators that
// add in the order of ONNX Runtime begin anew at each multiple of 16 bytes (fold.h), so the order
// in a row may depend on where the row lies in its tensor, but only modulo this number.
constexpr int64_t kRowStep = 16;

// A compiled graph. Immutable, and shared by all contexts. The constructor leaves out nodes that no
// output needs, and computes nodes whose inputs are all constant (constant folding).
class Plan {
 public:
  // Each error message begins with `what`: "file 'fraud.onnx': ". Throws FILE_INVALID, UNSUPPORTED
  // (the message names the node), ENGINE (shapes that do not fit), OUT_OF_MEMORY.
  Plan(EngineInput input, const std::string& what);

  const Graph& graph() const { return graph_; }
  // How many rows a slice of a batch should have (batch.h); 0 if the graph does not work row by
  // row.
  int64_t slice_rows() const { return slice_rows_; }

 private:
  friend class Program;
  struct CompiledNode {
    const Node* node;
    std::unique_ptr<Operator> op;
    RowRule rows;
  };

  void keep_needed_nodes();
  void compile(Node* node);
  void fold(const Node& node, const Operator& op);
  void try_shapes();
  void try_shapes(int64_t size);

  const EngineInput input_;  // the graph holds views into it
  Graph graph_;
  std::vector<CompiledNode> nodes_;
  std::vector<bool> is_needed_;  // by value: an output or a node that is kept reads it
  uint64_t folded_bytes_ = 0;    // of all constants that fold() made
  int64_t slice_rows_ = 0;
};

// The steps of a plan for fixed shapes, with the memory of all intermediate values.
class Program {
 public:
  explicit Program(const Plan& plan) : plan_(plan) {}
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Makes the steps and lays out the memory for inputs of these shapes. Afterwards set_input() and
  // set_output() must give memory to every input and output, before run(). `finds_rows`: also finds
  // out whether the graph works row by row.
  void prepare(const std::vector<Dims>& inputs, const Interrupt& interrupt,
               bool finds_rows = false);

  // After prepare() with `finds_rows`: whether the first axis of all inputs and outputs is the
  // batch, and each row of the outputs depends on the same row of the inputs alone.
  bool is_row_wise() const;

  void set_input(size_t input, void* data) { inputs_[input]->place->data = data; }
  void set_output(size_t output, void* data) { outputs_[output]->place->data = data; }
  const Tensor& input(size_t input) const { return *inputs_[input]; }
  const Tensor& output(size_t output) const { return *outputs_[output]; }
  // The memory of all intermediate values, which is kept for the next run.
  uint64_t bytes() const { return memory_.capacity() + known_bytes_; }

  // Throws Interrupted if a step notices the request to stop.
  void run(const Interrupt& interrupt) {
    for (const auto& step : steps_) {
      interrupt.poll();
      step->run(interrupt);
    }
  }
  // The same for the nodes whose number is less than `end`. If one of them fails, sets `end` to its
  // number and throws the error.
  void run_before(size_t* end, const Interrupt& interrupt);

 private:
  // The steps from the one that writes a place (begin) to the last that reads it (end). `place` is
  // nullptr if it became the place of an output, whose memory the context gives.
  struct Lifetime {
    Place* place;
    uint64_t bytes;
    size_t begin;
    size_t end;
  };

  Tensor* tensor_of(int32_t value);
  Place* new_place();
  void add_node(const Plan::CompiledNode& compiled, const Interrupt& interrupt);
  void compute_now(Step* step, const std::vector<Tensor*>& out, const Interrupt& interrupt);
  void add_step(std::unique_ptr<Step> step, size_t node);
  void find_kind(const Plan::CompiledNode& compiled, Inputs in, Outputs out);
  void use(const Tensor& tensor);
  void separate_outputs();
  void lay_out();

  const Plan& plan_;
  std::vector<Tensor> tensors_;  // by value
  std::deque<Tensor> copies_;    // outputs that must be copied; see separate_outputs()
  std::deque<Place> places_;
  std::vector<Tensor*> inputs_, outputs_;
  std::vector<std::unique_ptr<Step>> steps_;
  std::vector<size_t> node_numbers_;  // by step
  std::vector<RowKind> kinds_;        // by value; empty unless prepare() finds them
  std::vector<Lifetime> lifetimes_;   // of the places that steps write; Place::lifetime is an index
  std::deque<Buffer> known_;          // the elements of values that depend on shapes alone
  uint64_t known_bytes_ = 0;
  Buffer memory_;  // all places of lifetimes_
};

}  // namespace sidecall::native
