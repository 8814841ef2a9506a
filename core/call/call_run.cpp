// Runs of a call. Checks the inputs, then hands the run to the execution context, which knows how
// to start, await and end it.
#include <algorithm>
#include <exception>
#include <thread>

#include "call.h"
#include "outputs/result_checks.h"

namespace sidecall {

void require_timeout(int64_t timeout_ns) {
  if (timeout_ns == 0 || timeout_ns < -1) {
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "timeout_ns: expected more than 0, or -1 for no deadline, got " +
                    std::to_string(timeout_ns));
  }
}

// Makes all checks that are possible before the engine is called, and throws if one fails.
void Call::prepare() {
  outputs_.discard_results();
  if (set_failure_) std::rethrow_exception(set_failure_);
  // Before the shapes: the shape of an input that was not given is not the caller's.
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const bool from_records = has_records_ && !signature_.checks[i].feature_at.empty();
    if (inputs_[i].is_given || from_records) continue;
    const TensorSpec& spec = signature_.inputs[i];
    throw Error("input", {SIDECALL_MISSING_INPUT, -1, spec.name,
                          describe_tensor(spec.dtype, spec.dims, &spec.dim_names), "nothing"});
  }
  resolve_shapes();
  FaultList faults;
  if (has_records_) check_records(&faults);
  if (signature_.has_contract) check_unwritten(&faults);
  if (faults.is_empty()) check_bools();
  if (signature_.has_contract) check_values(&faults);
  if (!faults.is_empty()) faults.raise(rows_ > 1);
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
    sidecall::check_results(signature_, &outputs_, rows_);
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

bool Call::borrows_memory() const noexcept {
  const auto is_borrowed = [](const Input& input) { return input.is_borrowed; };
  return std::any_of(inputs_.begin(), inputs_.end(), is_borrowed) || outputs_.has_bound();
}

bool Call::leave_to_worker(void (*dispose)(void*), void* owner) noexcept {
  return !borrows_memory() && context_->leave_to_worker(dispose, owner);
}

}  // namespace sidecall
