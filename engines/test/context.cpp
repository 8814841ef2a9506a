// Runs a call on a thread that stands for a server; see context.h.
#include "context.h"

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "base/dtype.h"
#include "core/error.h"
#include "core/shapes.h"

namespace sidecall {

TestContext::~TestContext() {
  stop_listening();
  // In a forked child, a thread of the parent may have held the mutex, so it is never destroyed.
  if (is_forked()) new std::shared_ptr<Mailbox>(mailbox_);
}

// ---- Tensors ----

void TestContext::allocate_input(int32_t /*input*/, const Dims& dims) {
  input_.reserve(count_bytes(SIDECALL_DTYPE_FLOAT32, dims));
  dims_ = dims;
  borrowed_ = nullptr;
}

void TestContext::borrow_input(int32_t /*input*/, const void* data, const Dims& dims) {
  dims_ = dims;
  borrowed_ = data;
}

void* TestContext::shape_output(int32_t /*output*/, const Dims* dims, void* data) {
  bound_ = data;
  if (dims == nullptr) return nullptr;
  if (data == nullptr) output_.reserve(count_bytes(SIDECALL_DTYPE_FLOAT32, *dims));
  return result();
}

// ---- Runs ----

// Copies the input, as a request does, and starts the thread that answers. Nobody else watches the
// deadline of a run in a queue, so the thread also tells the listener when it has passed.
void TestContext::send(int64_t timeout_ns, RunListener* listener) {
  if (is_forked())
    throw Error(SIDECALL_FORKED,
                "the model was opened before fork(): open it again in the child process");
  deadline_ = deadline_after(timeout_ns < 0 ? kDefaultTimeoutNs : timeout_ns);
  const auto* const begin =
      static_cast<const float*>(borrowed_ != nullptr ? borrowed_ : input_.data());
  std::vector<float> x(begin, begin + count_elements(dims_));
  uint64_t run = 0;
  {
    const std::lock_guard lock(mailbox_->mutex);
    run = ++mailbox_->run;
    mailbox_->is_answered = false;
    mailbox_->listener = listener;
  }
  const Clock::time_point end = Clock::now() + run_time_;
  std::thread([mailbox = mailbox_, run, end, deadline = deadline_, x = std::move(x)]() mutable {
    std::this_thread::sleep_until(std::min(end, deadline));
    for (float& value : x) value *= 2;
    const std::lock_guard lock(mailbox->mutex);
    if (mailbox->run != run) return;  // the run was given up
    if (end <= deadline) {
      mailbox->answer.swap(x);
      mailbox->is_answered = true;
    }
    mailbox->notify();
  }).detach();
}

// `mailbox_->mutex` is locked.
Progress TestContext::progress() const {
  if (mailbox_->is_answered) return Progress::kDone;
  if (!mailbox_->is_interrupted && Clock::now() < deadline_) return Progress::kPending;
  ++mailbox_->run;  // nobody awaits the answer any more
  return Progress::kInterrupted;
}

Outcome TestContext::execute(int64_t timeout_ns) {
  send(timeout_ns, nullptr);
  {
    std::unique_lock lock(mailbox_->mutex);
    mailbox_->changed.wait_until(lock, deadline_,
                                 [&] { return mailbox_->is_answered || mailbox_->is_interrupted; });
    if (progress() != Progress::kDone) return Outcome::kInterrupted;
  }
  take();
  return Outcome::kDone;
}

Progress TestContext::begin(int64_t timeout_ns) {
  send(timeout_ns, listener());
  return progress_ = Progress::kPending;
}

Progress TestContext::look() {
  if (progress_ != Progress::kPending) return progress_;
  const std::lock_guard lock(mailbox_->mutex);
  return progress_ = progress();
}

void TestContext::take() {
  const std::lock_guard lock(mailbox_->mutex);
  const size_t bytes = mailbox_->answer.size() * sizeof(float);
  if (bound_ == nullptr) output_.reserve(bytes);
  if (bytes > 0) std::memcpy(result(), mailbox_->answer.data(), bytes);
}

void TestContext::interrupt_engine() noexcept { set_interrupted(true); }

void TestContext::rearm() noexcept { set_interrupted(false); }

void TestContext::set_interrupted(bool is_interrupted) noexcept {
  if (is_forked()) return;
  const std::lock_guard lock(mailbox_->mutex);
  mailbox_->is_interrupted = is_interrupted;
  if (is_interrupted) mailbox_->notify();
}

void TestContext::stop_listening() noexcept {
  if (is_forked()) return;
  const std::lock_guard lock(mailbox_->mutex);
  mailbox_->listener = nullptr;
}

}  // namespace sidecall
