// A compiled graph, and the program that a binding makes of it for the shapes of its inputs.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/engine_input.h"
#include "graph.h"
#include "operator.h"

namespace sidecall::native {

// The compiled graph; immutable, shared by all bindings. Nodes whose inputs are all constant were
// computed when it was made, and nodes that no output needs were left out.
class Plan {
 public:
  // `what` begins each message: "file 'fraud.onnx': ". Throws FILE_INVALID, UNSUPPORTED (names the
  // node that this engine cannot run), ENGINE (shapes that do not fit), OUT_OF_MEMORY.
  Plan(EngineInput input, const std::string& what);

  const Graph& graph() const { return graph_; }

 private:
  friend class Program;
  struct CompiledNode {
    const Node* node;
    std::unique_ptr<Operator> op;
  };

  void keep_needed_nodes();
  void compile(const Node& node);
  void fold(const Node& node, const Operator& op);
  void try_shapes() const;
  void try_shapes(int64_t size) const;

  const EngineInput input_;  // the graph holds views into it
  Graph graph_;
  std::vector<CompiledNode> nodes_;
  std::vector<bool> is_needed_;  // by value
  uint64_t folded_bytes_ = 0;
};

// The steps of a plan for fixed shapes, with the memory of all values between inputs and outputs.
class Program {
 public:
  explicit Program(const Plan& plan) : plan_(plan) {}
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Lays out everything for inputs of these shapes. Afterwards inputs and outputs need memory:
  // set_input() and set_output().
  void prepare(const std::vector<Dims>& inputs);

  void set_input(size_t input, void* data) { inputs_[input]->place->data = data; }
  void set_output(size_t output, void* data) { outputs_[output]->place->data = data; }
  const Tensor& output(size_t output) const { return *outputs_[output]; }

  // Throws Interrupted if the request to stop is noticed before the end.
  void run(const Interrupt& interrupt) {
    for (const auto& step : steps_) {
      interrupt.poll();
      step->run(interrupt);
    }
  }

 private:
  // The steps between which a place holds values. `place` is nullptr for the place of an output.
  struct Lifetime {
    Place* place;
    uint64_t bytes;
    size_t begin;
    size_t end;
  };

  Tensor* tensor_of(int32_t value);
  Place* new_place();
  void add_node(const Plan::CompiledNode& compiled);
  void compute_now(Step* step, const std::vector<Tensor*>& out);
  void use(const Tensor& tensor);
  void separate_outputs();
  void lay_out();

  const Plan& plan_;
  std::vector<Tensor> tensors_;  // by value
  std::deque<Tensor> copies_;    // of outputs that share their elements with another value
  std::deque<Place> places_;
  std::vector<Tensor*> inputs_, outputs_;
  std::vector<std::unique_ptr<Step>> steps_;
  std::vector<Lifetime> lifetimes_;  // of the places that nodes write; Place::lifetime points here
  std::deque<Buffer> known_;         // values that follow from shapes alone
  Buffer memory_;
};

}  // namespace sidecall::native
