// Watches the completion queue of an environment; see completions.h.
#include "completions.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "call.h"
#include "environment.h"
#include "uv.h"

namespace sidecall_node {
namespace {

Completions& owner_of(uv_handle_s* handle) {
  return (*static_cast<std::shared_ptr<Environment>*>(uv_handle_get_data(handle)))->completions;
}

void close_handle(uv_handle_s* handle) noexcept {
  if (handle == nullptr) return;
  uv_close(handle, [](uv_handle_s* closed) {
    const std::unique_ptr<std::shared_ptr<Environment>> owner(
        static_cast<std::shared_ptr<Environment>*>(uv_handle_get_data(closed)));
    std::free(closed);
    (*owner)->handle_closed();
  });
}

}  // namespace

// Allocates a handle of libuv that keeps the environment alive until it is closed.
uv_handle_s* Completions::open_handle(int type, const char* name) {
  const char* found = uv_handle_type_name(type);
  if (found == nullptr || std::strcmp(found, name) != 0)
    throw Napi::Error::New(environment_->env, "this version of libuv has other kinds of handles");
  auto owner = std::make_unique<std::shared_ptr<Environment>>(environment_->shared_from_this());
  auto* handle = static_cast<uv_handle_s*>(std::calloc(1, uv_handle_size(type)));
  if (handle == nullptr) throw std::bad_alloc();
  uv_handle_set_data(handle, owner.release());  // close_handle() frees it
  return handle;
}

void Completions::open() {
  failures_.reserve(kMaxAtOnce);
  opened_.reserve(kMaxAtOnce);
  if (queue_ == nullptr)
    environment_->check(sidecall_queue_open(nullptr, &queue_, environment_->error()));
  if (idle_ != nullptr) return;
  idle_ = open_handle(kUvIdle, "idle");
  uv_idle_init(environment_->loop, idle_);
  environment_->handle_opened();
}

// Returns false if no descriptor is left. The next turn tries again.
bool Completions::open_poll() noexcept {
  if (poll_ != nullptr) return true;
  intptr_t descriptor = -1;
  if (sidecall_queue_handle(queue_, &descriptor, nullptr) != SIDECALL_OK) return false;
  uv_handle_s* handle = nullptr;
  try {
    handle = open_handle(kUvPoll, "poll");
  } catch (const std::exception&) {
    return false;
  }
  if (uv_poll_init(environment_->loop, handle, static_cast<int>(descriptor)) != 0) {
    delete static_cast<std::shared_ptr<Environment>*>(uv_handle_get_data(handle));
    std::free(handle);
    return false;
  }
  environment_->handle_opened();
  const auto on_ready = [](uv_handle_s* self, int, int) { owner_of(self).on_turn(); };
  if (uv_poll_start(handle, kUvReadable, on_ready) != 0) {
    close_handle(handle);
    return false;
  }
  if (num_under_way_ == 0) uv_unref(handle);
  poll_ = handle;
  return true;
}

void Completions::submit(Call* call, sidecall_call* handle, int64_t timeout_ns) {
  open();
  environment_->check(sidecall_queue_submit(queue_, handle, timeout_ns,
                                            reinterpret_cast<uint64_t>(call), nullptr,
                                            environment_->error()));
  note_begin();
}

uint64_t Completions::submit(std::unique_ptr<Opening> opening) {
  open();
  const uint64_t number = ++num_openings_;
  OpeningUnderWay& kept = openings_[number];
  kept.opening = std::move(opening);
  const sidecall_status status = kept.opening->submit(queue_, number, environment_->error());
  if (status != SIDECALL_OK) openings_.erase(number);
  environment_->check(status);
  note_begin();
  return number;
}

void Completions::abandon(uint64_t number) noexcept {
  const auto found = openings_.find(number);
  if (found == openings_.end() || found->second.is_abandoned) return;
  found->second.is_abandoned = true;
  note_end();
}

void Completions::start_turns() noexcept {
  if (has_turns_) return;
  has_turns_ = true;
  uv_idle_start(idle_, [](uv_handle_s* self) { owner_of(self).on_turn(); });
}

void Completions::stop_turns() noexcept {
  if (has_turns_) uv_idle_stop(idle_);
  has_turns_ = false;
}

void Completions::note_begin() noexcept {
  if (++num_under_way_ == 1 && poll_ != nullptr) uv_ref(poll_);
  start_turns();
}

void Completions::note_end() noexcept {
  if (--num_under_way_ == 0 && poll_ != nullptr) uv_unref(poll_);
}

void Completions::forget() noexcept { note_end(); }

void Completions::on_turn() {
  if (environment_->is_closing) return;
  look();
  if (environment_->is_closing) return;
  if (num_under_way_ == 0 && openings_.empty()) return stop_turns();
  int64_t look_ns = 0;
  const bool may_sleep =
      open_poll() && sidecall_queue_arm(queue_, &look_ns, nullptr) == SIDECALL_OK && look_ns < 0;
  // Nothing waits for openings that were abandoned.
  if (may_sleep || num_under_way_ == 0) stop_turns();
  else start_turns();
}

size_t Completions::take(int64_t wait_ns) noexcept {
  int64_t count = 0;
  sidecall_queue_take(queue_, 0, taken_.data(), sizeof taken_[0], kMaxAtOnce, wait_ns, &count,
                      nullptr);
  return static_cast<size_t>(count);
}

std::unique_ptr<Opening> Completions::note_opened(const sidecall_completion& outcome) noexcept {
  const auto found = openings_.find(outcome.tag);
  if (!found->second.is_abandoned) note_end();
  std::unique_ptr<Opening> opening = std::move(found->second.opening);
  openings_.erase(found);
  opening->note_outcome(outcome);
  return opening;
}

// Takes the completions that are there. Notes all of them before any code of the user runs.
void Completions::look() {
  const size_t count = take(0);
  if (count == 0) return;
  const Napi::HandleScope scope(environment_->env);
  failures_.clear();
  opened_.clear();
  size_t num_succeeded = 0;
  for (size_t i = 0; i < count; ++i) {
    if (taken_[i].call == nullptr) {
      opened_.push_back(note_opened(taken_[i]));
      continue;
    }
    auto* call = reinterpret_cast<Call*>(taken_[i].tag);
    const bool is_held = (taken_[i].flags & SIDECALL_HELD) != 0;
    if (!is_held) note_end();
    call->note_outcome(taken_[i].status == SIDECALL_OK, is_held);
    if (taken_[i].status == SIDECALL_OK) {
      environment_->finished[num_succeeded++] = call->slot();
      continue;
    }
    try {
      failures_.push_back({call, call->make_error(), is_held});
    } catch (const Napi::Error& error) {  // a worker is being terminated
      report(error);
    }
  }
  deliver(num_succeeded);
}

// An exception of the user's code is reported, and JavaScript still gets the other outcomes.
void Completions::deliver(size_t num_succeeded) {
  const auto tell = [this](const auto& outcome) {
    if (environment_->is_closing) return;
    try {
      outcome();
    } catch (const Napi::Error& error) {
      report(error);
    }
  };
  if (num_succeeded > 0) tell([&] { environment_->tell_finished(num_succeeded); });
  for (const Failure& failure : failures_)
    tell([&] { failure.call->fail(failure.error, failure.is_held); });
  for (const auto& opening : opened_) tell([&] { opening->report(); });
}

void Completions::report(const Napi::Error& error) {
  napi_fatal_exception(environment_->env, error.Value());
}

void Completions::drain(std::chrono::steady_clock::time_point deadline) noexcept {
  while (num_under_way_ > 0 || !openings_.empty()) {
    const int64_t left =
        (deadline - std::chrono::steady_clock::now()) / std::chrono::nanoseconds(1);
    if (left <= 0) return;
    const size_t count = take(left);
    for (size_t i = 0; i < count; ++i) {
      if (taken_[i].call == nullptr) {
        note_opened(taken_[i]);
        continue;
      }
      const bool is_held = (taken_[i].flags & SIDECALL_HELD) != 0;
      if (!is_held) note_end();
      reinterpret_cast<Call*>(taken_[i].tag)->note_outcome(false, is_held);
    }
  }
}

void Completions::close() noexcept {
  close_handle(std::exchange(idle_, nullptr));
  close_handle(std::exchange(poll_, nullptr));
  sidecall_queue_close(std::exchange(queue_, nullptr));
  openings_.clear();
}

}  // namespace sidecall_node
