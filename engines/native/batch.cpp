// Chooses and runs the slices of a batch; see batch.h.
#include "batch.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <utility>

#include "core/error.h"

namespace sidecall::native {
namespace {

std::vector<Dims> with_rows(std::vector<Dims> inputs, int64_t rows) {
  for (Dims& dims : inputs) dims[0] = rows;
  return inputs;
}

}  // namespace

Batch::Batch(const Plan& plan)
    : plan_(plan),
      main_(plan),
      tail_(plan),
      inputs_(plan.graph().inputs.size()),
      outputs_(plan.graph().outputs.size()) {
  for (Tensor& output : outputs_) output.place = &places_.emplace_back();
}

void Batch::prepare(const std::vector<Dims>& inputs, const Interrupt& interrupt) {
  num_slices_ = 0;
  if (prepare_slices(inputs, interrupt)) {
    describe_outputs(inputs[0][0]);
    return;
  }
  slice_.clear();
  main_.prepare(inputs, interrupt);
  for (size_t i = 0; i < outputs_.size(); ++i)
    outputs_[i].shape(main_.output(i).dtype, main_.output(i).dims);
}

// Returns false if the batch must run at once, or is too small for slices.
bool Batch::prepare_slices(const std::vector<Dims>& inputs, const Interrupt& interrupt) {
  const int64_t rows = plan_.slice_rows();
  if (rows == 0 || inputs[0].empty() || inputs[0][0] <= rows) return false;
  const int64_t total = inputs[0][0];
  for (const Dims& dims : inputs) {
    if (dims.empty() || dims[0] != total) return false;
  }
  // The tail has at least kRowStep rows, because some operators treat a single row in another way.
  const int64_t rest = total % rows;
  const int64_t tail = rest == 0 || rest >= kRowStep ? rest : rest + rows;
  const int64_t slices = (total - tail) / rows;
  if (slices == 0) return false;
  try {
    if (!prepare_main(with_rows(inputs, rows), interrupt)) return false;
    if (tail > 0) tail_.prepare(with_rows(inputs, tail), interrupt);
  } catch (const Error&) {
    return false;  // the whole batch is prepared next, and reports its own error
  }
  num_slices_ = slices;
  tail_rows_ = tail;
  return true;
}

// Prepares main_ for the shapes of a slice. Returns false if the graph does not work row by row
// with these shapes.
bool Batch::prepare_main(std::vector<Dims> slice, const Interrupt& interrupt) {
  if (slice == slice_) return true;
  slice_.clear();
  main_.prepare(slice, interrupt, true);
  if (!main_.is_row_wise()) return false;
  slice_ = std::move(slice);
  return true;
}

void Batch::describe_outputs(int64_t rows) {
  for (size_t i = 0; i < outputs_.size(); ++i) {
    Dims dims = main_.output(i).dims;
    dims[0] = rows;
    outputs_[i].shape(main_.output(i).dtype, std::move(dims));
  }
}

// If the whole batch ran at once, the first node that fails for any row would end the run. So after
// an error, the other slices still run the nodes before the one that failed.
void Batch::run_slices(const Interrupt& interrupt) {
  size_t end = std::numeric_limits<size_t>::max();
  std::exception_ptr failure;
  for (int64_t slice = 0; slice < num_slices_ + (tail_rows_ > 0 ? 1 : 0); ++slice) {
    Program* const program = slice < num_slices_ ? &main_ : &tail_;
    place(program, slice * slice_[0][0]);
    try {
      program->run_before(&end, interrupt);
    } catch (const Error&) {
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

// Moves the inputs and outputs of the program to the slice that begins at this row.
void Batch::place(Program* program, int64_t row) {
  const auto at = [row](const Tensor& slice, void* data) -> void* {
    const uint64_t row_bytes = bytes_of(slice) / static_cast<uint64_t>(slice.dims[0]);
    return row_bytes == 0 ? data
                          : static_cast<char*>(data) + static_cast<uint64_t>(row) * row_bytes;
  };
  for (size_t i = 0; i < inputs_.size(); ++i)
    program->set_input(i, at(program->input(i), inputs_[i]));
  for (size_t i = 0; i < outputs_.size(); ++i)
    program->set_output(i, at(program->output(i), outputs_[i].place->data));
}

}  // namespace sidecall::native
