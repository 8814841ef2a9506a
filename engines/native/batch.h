// Runs a plan on a batch of rows: in slices that stay in the cache, if the graph works row by row.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "plan.h"

namespace sidecall::native {

// Used by one context. A graph works row by row if each row of the outputs depends on the same row
// of the inputs alone, as the rules of its operators show (operators/row_rules.h). Then a large
// batch passes through all steps a slice of rows at a time. This changes no bit of the answers and
// no error, and the intermediate values need the memory of one slice only.
class Batch {
 public:
  explicit Batch(const Plan& plan);
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  // Prepares for inputs of these shapes. Afterwards set_input() and set_output() must give memory
  // to every input and output, before run().
  void prepare(const std::vector<Dims>& inputs, const Interrupt& interrupt);

  void set_input(size_t input, void* data) {
    inputs_[input] = data;
    main_.set_input(input, data);
  }
  void set_output(size_t output, void* data) {
    outputs_[output].place->data = data;
    main_.set_output(output, data);
  }
  const Tensor& output(size_t output) const { return outputs_[output]; }
  // The memory that is kept for the next run.
  uint64_t bytes() const { return main_.bytes() + tail_.bytes(); }

  // Throws Interrupted if a step notices the request to stop.
  void run(const Interrupt& interrupt) {
    if (num_slices_ == 0) main_.run(interrupt);
    else run_slices(interrupt);
  }

 private:
  bool prepare_slices(const std::vector<Dims>& inputs, const Interrupt& interrupt);
  bool prepare_main(std::vector<Dims> slice, const Interrupt& interrupt);
  void describe_outputs(int64_t rows);
  void run_slices(const Interrupt& interrupt);
  void place(Program* program, int64_t row);

  const Plan& plan_;
  Program main_;             // runs the whole batch or, if num_slices_ > 0, each slice but the last
  Program tail_;             // runs the last slice, if tail_rows_ > 0
  std::vector<Dims> slice_;  // the shapes of the inputs for which main_ is prepared as a slice
  int64_t num_slices_ = 0;   // without the tail; 0: the batch runs at once
  int64_t tail_rows_ = 0;
  std::vector<void*> inputs_;
  std::vector<Tensor> outputs_;  // of the whole batch
  std::deque<Place> places_;     // of outputs_
};

}  // namespace sidecall::native
