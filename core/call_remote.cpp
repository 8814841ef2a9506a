// Calls whose runs happen in another process: announces the shapes that they will need, and starts
// and finishes runs without a worker thread.
#include "call.h"

namespace sidecall {

std::vector<Dims> Call::input_dims() const {
  std::vector<Dims> all;
  all.reserve(inputs_.size());
  for (const Input& input : inputs_) all.push_back(input.dims);
  return all;
}

std::vector<std::optional<Dims>> Call::outputs_for(const std::vector<Dims>& inputs,
                                                   int64_t rows) const {
  NamedDims named(signature_.num_dim_ids, -1);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::vector<int32_t>& ids = signature_.input_dim_ids[i];
    for (size_t k = 0; k < ids.size(); ++k) {
      if (ids[k] >= 0 && named[static_cast<size_t>(ids[k])] < 0)
        named[static_cast<size_t>(ids[k])] = inputs[i][k];
    }
  }
  std::vector<std::optional<Dims>> all;
  for (size_t i = 0; i < outputs_.size(); ++i)
    all.push_back(output_dims(static_cast<int32_t>(i), rows, named));
  return all;
}

// Announces that one input gets another shape. If it has rows, the other inputs with rows usually
// follow, so their new shapes are announced too.
void Call::announce(int32_t index, const Dims& dims) {
  std::vector<Dims> all = input_dims();
  all[static_cast<size_t>(index)] = dims;
  const bool has_rows = signature_.inputs[static_cast<size_t>(index)].has_rows();
  for (size_t i = 0; has_rows && i < all.size(); ++i) {
    if (signature_.inputs[i].has_rows()) all[i][0] = dims[0];
  }
  remote_->expect(all, outputs_for(all, has_rows ? dims[0] : rows_));
}

// Updates the addresses of the outputs, which lie where the peer wrote them.
void Call::find_outputs() {
  for (size_t i = 0; i < outputs_.size(); ++i) {
    if (outputs_[i].is_known) outputs_[i].data = remote_->known_output(static_cast<int32_t>(i));
  }
}

// Returns false, and changes nothing, if it would have to wait but `may_wait` is false.
bool Call::start_remote(int64_t timeout_ns, bool may_wait) {
  Progress progress = Progress::kInterrupted;
  try {
    prepare();
    if (!may_wait && !remote_->is_ready()) {
      leave();
      return false;
    }
    if (phase_.load(std::memory_order_acquire) == kRunning) progress = remote_->begin(timeout_ns);
  } catch (...) {
    leave();
    throw;
  }
  if (progress == Progress::kInterrupted) throw ended_early(leave());
  pending_->process = platform::process_id();
  is_pending_.store(true, std::memory_order_relaxed);
  return true;
}

bool Call::finish_remote(int64_t wait_ns) {
  if (given_up_ != Reason::kNone) nothing_to_finish();
  const Progress progress = remote_->await(wait_ns);
  if (progress == Progress::kPending) return false;
  if (progress == Progress::kInterrupted) {
    const Reason reason = leave() == Reason::kCancelled ? Reason::kCancelled : Reason::kTimedOut;
    given_up_ = reason;
    // If the peer still uses the memory, this call makes the peer's late answer send a wake-up, so
    // that the descriptor becomes readable then.
    is_pending();
    throw ended_early(reason);
  }
  // A cancel after the answer has no effect, because the run was over. The call remains in use by
  // this run until its answer has been read.
  std::exception_ptr failure;
  try {
    remote_->take();
    failure = accept_results();
  } catch (...) {
    failure = std::current_exception();
  }
  leave();
  is_pending_.store(false, std::memory_order_relaxed);
  if (failure) std::rethrow_exception(failure);
  return true;
}

}  // namespace sidecall
