// The output tensors of a call: their shapes and memory, and whether they hold the results of a
// run.
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/contract/signature.h"
#include "core/execution_context.h"

namespace sidecall {

class OutputTensors {
 public:
  struct Tensor {
    Dims dims;
    void* data = nullptr;
    bool is_known = false;    // the shape follows from the inputs
    bool is_bound = false;    // `data` is the caller's memory
    bool is_fetched = false;  // the members of this struct describe the results of the last run
    std::string bytes;        // of strings, without separators
    std::vector<int64_t> offsets;
  };

  // The signature and the context must outlive this object.
  OutputTensors(const Signature& signature, ExecutionContext& context);

  void require_index(int32_t output) const;
  void require_bindable(int32_t output) const;  // throws for strings too

  // Sets the shapes of the next run; nullopt for those that only the run determines. Outputs that
  // were bound to the caller's memory get memory of the context.
  void set_shapes(const std::vector<std::optional<Dims>>& shapes, int64_t rows);
  // Describes the results of the last run or, if there are none, the shape of the next run.
  void view(int32_t output, sidecall_view* view);
  // Lets the engine write an output to the caller's memory; to its own again if `data` is nullptr.
  void bind(int32_t output, void* data, uint64_t data_bytes);

  // A run begins with start_run(), and ends with locate(). If its results pass their checks,
  // accept_results() makes them readable.
  void start_run() noexcept;
  void locate();
  void accept_results() noexcept { has_results_ = true; }
  void discard_results() noexcept { has_results_ = false; }
  bool has_results() const noexcept { return has_results_; }

  // The output, with its shape and values after a run.
  const Tensor& fetch(int32_t output) {
    Tensor& tensor = tensors_[static_cast<size_t>(output)];
    if (!tensor.is_fetched) read(output, &tensor);
    return tensor;
  }
  // After a run, for each row: 0, or the number of the step that refuses the row. nullptr if the
  // engine does not report refusals.
  const int64_t* refusals() const noexcept { return refusals_; }

  bool has_bound() const noexcept;
  uint64_t num_bytes() const;  // throws if an output is larger than memory can be

 private:
  void read(int32_t output, Tensor* tensor);

  const Signature& signature_;
  ExecutionContext& context_;
  const bool has_joint_layout_;  // see ExecutionContext
  std::vector<Tensor> tensors_;
  const int64_t* refusals_ = nullptr;
  bool has_results_ = false;
};

}  // namespace sidecall
