// Looks for runs that are over, by polling or when a descriptor is readable; see finisher.h.
#include "finisher.h"

#include <sidecall/sidecall.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "call.h"
#include "environment.h"
#include "uv.h"

namespace sidecall_node {

// Each call has at most one run, so the capacity suffices for add() even if other runs are started
// before.
void Finisher::prepare() {
  const size_t needed = environment_->calls.size();
  if (runs_.capacity() < needed) runs_.reserve(2 * needed);
  if (idle_ != nullptr) return;
  const char* name = uv_handle_type_name(kUvIdle);
  if (name == nullptr || std::strcmp(name, "idle") != 0)
    throw Napi::Error::New(environment_->env, "expected the idle handles of libuv, got none");
  auto owner = std::make_unique<std::shared_ptr<Environment>>(environment_->shared_from_this());
  auto* handle = static_cast<uv_handle_s*>(std::calloc(1, uv_handle_size(kUvIdle)));
  if (handle == nullptr) throw std::bad_alloc();
  uv_idle_init(environment_->loop, handle);
  uv_handle_set_data(handle, owner.release());  // close() frees it
  idle_ = handle;
  environment_->handle_opened();
}

void Finisher::add(Call* call) {
  runs_.push_back(call);
  poll_until_ = 0;
  if (is_polling_) return;
  is_brief_ = num_brief_ > 0;
  if (is_brief_) --num_brief_;
  poll();
}

void Finisher::remove(const Call* call) noexcept {
  runs_.erase(std::remove(runs_.begin(), runs_.end(), call), runs_.end());
}

void Finisher::poll() {
  is_polling_ = true;
  uv_idle_start(idle_, [](uv_handle_s* handle) {
    (*static_cast<std::shared_ptr<Environment>*>(uv_handle_get_data(handle)))->finisher.on_turn();
  });
}

void Finisher::stop_polling() {
  is_polling_ = false;
  if (idle_ != nullptr) uv_idle_stop(idle_);
}

// If a run cannot be watched, for example because no descriptor is left, polling goes on.
void Finisher::sleep() {
  bool is_watched = true;
  for (Call* call : runs_) is_watched = call->watch() && is_watched;
  if (is_watched) stop_polling();
  poll_until_ = 0;
}

// If this process should not poll, one look still finds a run that ended while it was started.
void Finisher::on_turn() {
  const bool has_found = look();
  if (has_found) {
    num_failed_ = num_brief_ = 0;
    poll_until_ = 0;
    is_brief_ = false;
  }
  if (runs_.empty()) return stop_polling();
  if (has_found) return;
  const uint64_t now = uv_hrtime();
  if (poll_until_ == 0) {
    const int64_t time = sidecall_poll_ns();
    poll_until_ = now + static_cast<uint64_t>(is_brief_ ? std::min(time, kBrief) : time);
  }
  if (now < poll_until_) return;
  if (!is_brief_) {
    num_failed_ = std::min(num_failed_ + 1, kMaxFailed);
    num_brief_ = (1u << num_failed_) - 1;
  }
  sleep();
}

// Runs end in about the order in which they were started, so a look ends after two runs that are
// not over, unless it has found none.
bool Finisher::look() {
  const Napi::HandleScope scope(environment_->env);
  Found found;
  size_t kept = 0, at = 0;
  for (; at < runs_.size() && !found.is_full(); ++at) {
    if (kept >= 2 && !found.is_empty()) break;
    if (!note_outcome(runs_[at], &found)) runs_[kept++] = runs_[at];
  }
  const auto first = runs_.begin();
  runs_.erase(first + static_cast<std::ptrdiff_t>(kept), first + static_cast<std::ptrdiff_t>(at));
  deliver(found);
  return !found.is_empty();
}

void Finisher::look_at(Call* call) {
  const Napi::HandleScope scope(environment_->env);
  Found found;
  if (note_outcome(call, &found)) remove(call);
  deliver(found);
}

// Returns whether the run is over and its memory free. Does not call code of the user.
bool Finisher::note_outcome(Call* call, Found* found) {
  const Call::Look look = call->look();
  if (look.status == SIDECALL_PENDING) return false;
  if (look.status == SIDECALL_OK) {
    environment_->finished[found->num_succeeded++] = call->slot();
    return true;
  }
  try {
    found->failures[found->num_failed] = {call, environment_->make_error(look.status),
                                          look.is_released_only};
    ++found->num_failed;
  } catch (const Napi::Error& error) {  // a worker is being terminated
    report(error);
  }
  if (look.is_released_only && !is_polling_ && !call->watch()) poll();
  return !look.is_released_only;
}

void Finisher::deliver(const Found& found) {
  try {
    if (found.num_succeeded > 0) environment_->tell_finished(found.num_succeeded);
    for (size_t i = 0; i < found.num_failed && !environment_->is_closing; ++i) {
      const Failure& failure = found.failures[i];
      failure.call->fail(failure.error, failure.is_released_only);
    }
  } catch (const Napi::Error& error) {
    report(error);
  }
}

void Finisher::report(const Napi::Error& error) {
  napi_fatal_exception(environment_->env, error.Value());
}

void Finisher::close() noexcept {
  runs_.clear();
  if (idle_ == nullptr) return;
  uv_close(std::exchange(idle_, nullptr), [](uv_handle_s* handle) {
    const std::unique_ptr<std::shared_ptr<Environment>> owner(
        static_cast<std::shared_ptr<Environment>*>(uv_handle_get_data(handle)));
    std::free(handle);
    (*owner)->handle_closed();
  });
}

}  // namespace sidecall_node
