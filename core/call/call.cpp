// Composes the parts of a call and runs it: checks the inputs, then hands the run to the execution
// context, which knows how to start, await and end it. Used by the C ABI, by queues and by servers.
#include "call.h"

#include <chrono>
#include <string>
#include <thread>

#include "inputs/input_checks.h"
#include "outputs/result_checks.h"

namespace sidecall {

void require_timeout(int64_t timeout_ns) {
  if (timeout_ns == 0 || timeout_ns < -1) {
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "timeout_ns: expected more than 0, or -1 for no deadline, got " +
                    std::to_string(timeout_ns));
  }
}

Call::Call(const Signature& signature, const Engine& engine, bool ignore_extra, int64_t rows,
           bool lends_connection)
    : signature_(signature),
      context_(engine.make_context(lends_connection)),
      run_times_(engine.route() == Route::kInProcess ? &engine.run_times() : nullptr),
      states_(signature),
      inputs_(signature, *context_, states_),
      features_(signature, *context_, states_, inputs_, ignore_extra),
      outputs_(signature, *context_),
      columns_(signature, *context_, outputs_) {
  context_->set_result_check(this);
  resize(rows);
}

// ---- Inputs ----

void Call::resize(int64_t rows) {
  context_->require_idle();
  if (rows < 1)
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "rows: expected at least 1, got " + std::to_string(rows));
  if (inputs_.has_rows(rows)) return;
  outputs_.discard_results();
  inputs_.resize(rows);
}

void Call::reshape(int32_t input, const int64_t* dims, int32_t rank) {
  context_->require_idle();
  inputs_.reshape(input, dims, rank);
  outputs_.discard_results();
}

void Call::view_input(int32_t input, sidecall_view* view) {
  context_->require_idle();
  inputs_.view(input, view);
}

void Call::set_input(int32_t input, const sidecall_view& view, bool borrow) {
  context_->require_idle();
  inputs_.set(input, view, borrow);
}

void Call::set_strings(int32_t input, const char* data, const int64_t* offsets,
                       int64_t num_strings) {
  context_->require_idle();
  inputs_.set_strings(input, data, offsets, num_strings);
}

void Call::reset() {
  context_->require_idle();
  inputs_.unset_all();
  states_.forget();
}

void Call::clear() {
  context_->require_idle();
  features_.require_contract();
  reset();
  states_.start(inputs_.rows());
}

// If the shape of an input changed: checks that the input shapes agree, and sets the output shapes
// that follow from them.
bool Call::resolve_shapes() {
  if (resolved_shapes_ == inputs_.shape_version()) return false;
  outputs_.discard_results();  // the memory of outputs may change
  inputs_.resolve_rows();
  outputs_.set_shapes(infer_output_shapes(signature_, inputs_.shapes(), rows()), rows());
  resolved_shapes_ = inputs_.shape_version();
  return true;
}

// ---- Outputs ----

void Call::view_output(int32_t output, sidecall_view* view) {
  context_->require_idle();
  outputs_.require_index(output);
  if (!outputs_.has_results()) resolve_shapes();
  outputs_.view(output, view);
}

void Call::bind_output(int32_t output, void* data, uint64_t data_bytes) {
  context_->require_idle();
  outputs_.require_bindable(output);
  resolve_shapes();
  outputs_.bind(output, data, data_bytes);
}

// UINT64_MAX if a tensor is larger than memory can be.
uint64_t Call::tensor_bytes() const noexcept {
  try {
    return inputs_.num_bytes() + outputs_.num_bytes();
  } catch (const Error&) {
    return UINT64_MAX;
  }
}

bool Call::is_like_new() const noexcept {
  return !borrows_memory() && inputs_.has_opening_shapes();
}

// ---- Runs ----

// Makes all checks that are possible before the engine is called, and throws if one fails.
void Call::prepare() {
  outputs_.discard_results();
  states_.rethrow_failure();
  // Before the shapes: the shape of an input that was not set is not the caller's.
  require_all_inputs(signature_, states_, inputs_);
  // With another number of rows, the features that were set are forgotten.
  if (resolve_shapes()) require_all_inputs(signature_, states_, inputs_);
  check_inputs(signature_, states_, &inputs_);
  outputs_.start_run();
}

void Call::run(int64_t timeout_ns) {
  require_timeout(timeout_ns);
  context_->claim();
  has_reached_engine_ = false;
  try {
    prepare();
  } catch (...) {
    context_->release();
    throw;
  }
  has_reached_engine_ = true;
  // Without a deadline not each run, because reading the clock twice takes a fifth of the shortest
  // run.
  if (run_times_ != nullptr && (timeout_ns > 0 || (++num_runs_ & 63) == 0)) run_timed(timeout_ns);
  else context_->run(timeout_ns);
}

std::exception_ptr Call::check_results() noexcept {
  try {
    outputs_.locate();
    sidecall::check_results(signature_, &outputs_, inputs_.rows());
    outputs_.accept_results();
    return nullptr;
  } catch (...) {
    return std::current_exception();
  }
}

void Call::run_timed(int64_t timeout_ns) {
  const Clock::time_point begin = Clock::now();
  const auto elapsed_ns = [&] { return std::chrono::nanoseconds(Clock::now() - begin).count(); };
  try {
    context_->run(timeout_ns);
  } catch (...) {
    run_times_->note_failed(num_elements(), elapsed_ns());
    throw;
  }
  run_times_->note(num_elements(), elapsed_ns());
}

void Call::reserve(int64_t timeout_ns) {
  require_timeout(timeout_ns);
  context_->reserve();
  has_reached_engine_ = false;
}

void Call::submit_reserved(int64_t timeout_ns, Clock::time_point deadline, bool has_waited,
                           RunListener* listener, const void* line) {
  has_waited = has_waited && deadline != Clock::time_point::max();
  try {
    prepare();
    if (timeout_ns > 0 || has_waited) {
      timeout_ns = std::chrono::nanoseconds(deadline - Clock::now()).count();
      if (timeout_ns <= 0)
        throw Error(SIDECALL_TIMEOUT, "the deadline passed before the run began");
    }
  } catch (...) {
    context_->release();
    throw;
  }
  context_->set_run_times(run_times_, num_elements());
  context_->submit(timeout_ns, listener, line);
}

void Call::give_up() noexcept {
  context_->cancel();
  try {
    // The outcome is there at once, or the thread of the run is about to store it.
    while (context_->holds_memory() && !context_->take_outcome()) std::this_thread::yield();
  } catch (const std::exception&) {
    // The outcome, which no one wants.
  }
}

void Call::lend_connection() noexcept {
  if (context_->is_busy()) return;
  discard_results();
  context_->lend_connection(false);
}

bool Call::leave_to_worker(void (*dispose)(void*), void* owner) noexcept {
  return !borrows_memory() && context_->leave_to_worker(dispose, owner);
}

}  // namespace sidecall
