// One reusable workspace for predictions. It connects the parts that each keep one kind of state,
// and runs the model on them: the inputs as tensors (inputs/input_tensors.h), features that are set
// one by one (inputs/feature_writer.h), the outputs as tensors (outputs/output_tensors.h), and
// answers by column (outputs/column_reader.h). Error texts are the same in every language.
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <vector>

#include "core/engine.h"
#include "core/error.h"
#include "inputs/feature_states.h"
#include "inputs/feature_writer.h"
#include "inputs/input_tensors.h"
#include "outputs/column_reader.h"
#include "outputs/output_tensors.h"
#include "shape_inference.h"

namespace sidecall {

// Throws INVALID_ARGUMENT unless the timeout of a run is more than 0, or -1.
void require_timeout(int64_t timeout_ns);

class Call final : private ResultCheck {
 public:
  // The signature and the engine must outlive the call. `ignore_extra`: see SIDECALL_EXTRA_IGNORE.
  // `lends_connection`: see Engine::make_context().
  Call(const Signature& signature, const Engine& engine, bool ignore_extra, int64_t rows,
       bool lends_connection = false);
  ~Call() { context_->end_runs(); }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  const Signature& signature() const { return signature_; }

  // ---- Inputs ----

  int64_t rows() const { return inputs_.rows(); }
  void resize(int64_t rows);
  void reshape(int32_t input, const int64_t* dims, int32_t rank);
  void view_input(int32_t input, sidecall_view* view);
  // Copies the caller's tensor, or lets the engine read the caller's memory (`borrow`).
  void set_input(int32_t input, const sidecall_view& view, bool borrow);
  [[noreturn]] void refuse_input(int32_t input, const char* got) { inputs_.refuse(input, got); }
  void set_strings(int32_t input, const char* data, const int64_t* offsets, int64_t num_strings);
  // Frees the faults of strings that were set. The next run does not report them.
  void clear_string_faults() noexcept { inputs_.clear_string_faults(); }

  // Sets features of records.
  FeatureWriter& features() noexcept { return features_; }
  void reset();  // no input is set, neither as a tensor nor from records
  void clear();  // the same, and the inputs come from records

  // ---- Outputs ----

  void view_output(int32_t output, sidecall_view* view);
  void bind_output(int32_t output, void* data, uint64_t data_bytes);
  // Discards the results of the last run, so that view_output() shows the shapes of the next run. A
  // server needs these shapes before that run.
  void discard_results() noexcept override { outputs_.discard_results(); }
  // The shapes that the outputs of the next run will have; nullopt if only the run determines them.
  std::vector<std::optional<Dims>> expected_output_shapes() const {
    return infer_output_shapes(signature_, inputs_.shapes(),
                               common_rows(signature_, inputs_.shapes(), inputs_.rows()));
  }

  // Reads the results of the last run.
  ColumnReader& columns() noexcept { return columns_; }

  // ---- Runs ----

  void run(int64_t timeout_ns);
  // How long a run will probably take in this process; INT64_MAX if that is unknown, or if it runs
  // elsewhere.
  int64_t expected_ns() const noexcept {
    return run_times_ == nullptr ? INT64_MAX : run_times_->expected(num_elements());
  }
  // Whether the last run() passed all checks of its inputs, so that the engine was called.
  bool has_reached_engine() const noexcept { return has_reached_engine_; }
  uint64_t working_bytes() const noexcept { return context_->working_bytes(); }
  // Whether it uses no memory of the caller, and its inputs have the shapes of a new call.
  bool is_like_new() const noexcept;
  int64_t num_elements() const noexcept { return inputs_.num_elements(); }  // of all inputs
  uint64_t tensor_bytes() const noexcept;                  // of the memory for inputs and outputs
  void lend_connection() noexcept;                         // the results of the last run are lost
  bool is_busy() noexcept { return context_->is_busy(); }  // never blocks
  void cancel() noexcept { context_->cancel(); }           // from any thread

  // For a queue (queue.h). reserve() throws BUSY or INVALID_ARGUMENT. Then submit_reserved(), or
  // release(), ends the reservation of the engine, and unreserve() that of the call.
  void reserve(int64_t timeout_ns);
  void release() noexcept { context_->release(); }
  void unreserve() noexcept { context_->unreserve(); }
  // Takes the outcome of the run: returns true, or throws its error. Returns false while it has
  // none.
  bool take_outcome() { return context_->take_outcome(); }
  bool holds_memory() noexcept { return context_->holds_memory(); }
  // `deadline`: of the run; it began to count when the run was submitted. `has_waited`: some time
  // ago.
  void submit_reserved(int64_t timeout_ns, Clock::time_point deadline, bool has_waited,
                       RunListener* listener, const void* line);
  int64_t default_timeout_ns() const noexcept { return context_->default_timeout_ns(); }
  void lend_connection_after_run() noexcept { context_->lend_connection(true); }
  bool is_polled() const noexcept { return context_->is_polled(); }
  bool is_connecting() const noexcept { return context_->is_connecting(); }
  bool has_news(Look look, Clock::time_point now) noexcept { return context_->has_news(look, now); }
  Clock::time_point prepare_sleep(const platform::WaitSet& set, uint64_t number) {
    return context_->prepare_sleep(set, number);
  }
  void stop_listening() noexcept { context_->stop_listening(); }
  void give_up() noexcept;  // cancels the run, and drops its outcome

  // Like ExecutionContext::leave_to_worker(), but also returns false if the engine uses memory of
  // the caller.
  bool leave_to_worker(void (*dispose)(void*), void* owner) noexcept;

 private:
  bool resolve_shapes();  // returns whether a shape has changed
  void prepare();
  bool borrows_memory() const noexcept { return inputs_.has_borrowed() || outputs_.has_bound(); }
  void run_timed(int64_t timeout_ns);
  std::exception_ptr check_results() noexcept override;

  const Signature& signature_;
  std::unique_ptr<ExecutionContext> context_;
  RunTimes* const run_times_;  // nullptr if runs happen elsewhere
  uint32_t num_runs_ = 0;      // synchronous ones
  bool has_reached_engine_ = false;

  FeatureStates states_;
  InputTensors inputs_;
  FeatureWriter features_;
  OutputTensors outputs_;
  ColumnReader columns_;
  // InputTensors::shape_version() when the output shapes were derived from the input shapes; 0
  // before.
  uint64_t resolved_shapes_ = 0;
};

}  // namespace sidecall
