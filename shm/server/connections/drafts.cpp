// A connection from its grant to WELCOME; see drafts.h.
#include "drafts.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "shm/common/error.h"
#include "shm/common/fault.h"

namespace sidecall::shm {

namespace {

// How long a connection may wait for memory that is being freed, how often it is tried again, and
// how many connections of one user may wait.
constexpr int64_t kMemoryWait = INT64_C(1000) * 1000 * 1000;
constexpr int64_t kMemoryInterval = 5 * 1000 * 1000;
constexpr int64_t kMaxShortOfMemory = 4;

}  // namespace

void Drafts::add(uint64_t id, Accepted accepted, const Grant& grant) {
  const auto draft = std::make_shared<Draft>();
  draft->id = id;
  draft->accepted = std::move(accepted);
  draft->grant = grant;
  draft->memory = Reservation(context_->memory, draft->accepted.peer.uid);
  draft->deadline_ns = now_ns() + kMemoryWait;
  quotas_->add(draft->accepted.peer);
  draft->is_counted = true;
  advance(draft.get(), [&] {
    // Ask this before the attempt. If the last memory were freed between the two, the answer would
    // be false although a second attempt could succeed.
    const bool may_wait = may_wait_for_memory(*draft);
    if (reserve_memory(draft.get())) return make_connection(draft);
    if (!may_wait) return refuse(draft.get(), SIDECALL_OUT_OF_MEMORY, draft->failure);
    short_of_memory_.push_back(draft);
  });
}

// Everything that is reserved for a connection: its segments, its socket, and the state of its
// slots.
uint64_t Drafts::memory_of(const Grant& grant) const {
  constexpr uint64_t kSlot = 512, kInput = 384, kOutput = 256;
  const Service& service = *context_->service;
  return grant.memory() + kConnectionBytes +
         grant.slots * (kSlot + kInput * service.inputs.size() + kOutput * service.outputs.size());
}

bool Drafts::reserve_memory(Draft* draft) {
  try {
    draft->memory.grow_to(memory_of(draft->grant));
    return true;
  } catch (const Error& error) {
    draft->failure = error.message;
    return false;
  }
}

// Whether it is worthwhile to wait. A client that replaces its connection by a larger one has just
// closed the old one, here or at another worker. The memory of the old one is soon free.
bool Drafts::may_wait_for_memory(const Draft& draft) const {
  if (!connections_->are_some_dying() && !context_->memory->is_shared()) return false;
  const auto of_user = std::count_if(
      short_of_memory_.begin(), short_of_memory_.end(),
      [&](const auto& other) { return other->accepted.peer.uid == draft.accepted.peer.uid; });
  return of_user < kMaxShortOfMemory;
}

void Drafts::retry(int64_t now) {
  if (short_of_memory_.empty() || now < next_retry_ns_) return;
  next_retry_ns_ = now + kMemoryInterval;
  std::vector<std::shared_ptr<Draft>> waiting;
  waiting.swap(short_of_memory_);
  for (const std::shared_ptr<Draft>& draft : waiting) {
    advance(draft.get(), [&] {
      if (reserve_memory(draft.get())) return make_connection(draft);
      if (now >= draft->deadline_ns || *drain_ == Drain::kAll)
        return refuse(draft.get(), SIDECALL_OUT_OF_MEMORY, draft->failure);
      short_of_memory_.push_back(draft);
    });
  }
}

void Drafts::make_connection(const std::shared_ptr<Draft>& draft) {
  if (draft->grant.memory() <= kLargeMemory) {
    make_memory(draft.get());
    return finish(draft.get());
  }
  const uint32_t user = draft->accepted.peer.uid;
  std::deque<std::shared_ptr<Draft>>& queue = large_[user];
  try {
    queue.push_back(draft);
  } catch (...) {
    if (queue.empty()) large_.erase(user);
    throw;
  }
  if (queue.size() == 1) make_next_large(user);
}

// Gives the first connection in the queue of a user to making_, which creates its memory. making_
// gets only one connection of each user at a time, so that no user waits for all connections of
// another.
void Drafts::make_next_large(uint32_t user) noexcept {
  const auto queue = large_.find(user);
  while (!queue->second.empty()) {
    const std::shared_ptr<Draft>& draft = queue->second.front();
    bool is_started = false;
    advance(draft.get(), [&] {
      making_.run([this, raw = draft.get()] {
        make_memory(raw);
        raw->is_made = true;
        tasks_->wake();
      });
      is_started = true;
    });
    if (is_started) return;  // finish_large() does the next step
    queue->second.pop_front();
  }
  large_.erase(queue);
}

void Drafts::finish_large() noexcept {
  for (auto queue = large_.begin(); queue != large_.end();) {
    const uint32_t user = queue->first;
    Draft* const draft = queue->second.front().get();
    ++queue;  // now, because make_next_large() may erase the queue of this user
    if (!draft->is_made) continue;
    advance(draft, [&] { finish(draft); });
    large_.find(user)->second.pop_front();
    make_next_large(user);
  }
}

// Makes one step with a connection that was granted. If the step fails, for example because memory
// is exhausted, the connection is refused.
template <typename Step>
void Drafts::advance(Draft* draft, const Step& step) noexcept {
  try {
    step();
  } catch (const std::exception& error) {
    context_->log->run_logging_errors([&] { refuse(draft, SIDECALL_OUT_OF_MEMORY, error.what()); });
  }
}

void Drafts::make_memory(Draft* draft) noexcept {
  try {
    draft->connection = std::make_unique<ServerConnection>(draft->id, draft->accepted.socket.fd(),
                                                           draft->accepted.peer, draft->grant,
                                                           *context_, std::move(draft->memory));
  } catch (const std::exception& error) {
    draft->failure = error.what();
  }
}

void Drafts::refuse(Draft* draft, int32_t status, const std::string& text) {
  if (std::exchange(draft->is_counted, false)) quotas_->remove(draft->accepted.peer);
  draft->connection.reset();
  refusals_->refuse(std::move(draft->accepted), status, text);
}

void Drafts::finish(Draft* draft) {
  Accepted& accepted = draft->accepted;
  if (drains(*drain_, accepted.is_direct))
    return refuse(draft, SIDECALL_UNREACHABLE, "the server is shutting down");
  if (!draft->connection) return refuse(draft, SIDECALL_OUT_OF_MEMORY, draft->failure);
  draft->connection->is_direct = accepted.is_direct;
  try {
    connections_->watch(draft->id, accepted.socket.fd(), draft->connection->pidfd());
  } catch (const Error& error) {
    return refuse(draft, error.status, error.message);
  }
  if (!draft->connection->welcome(std::move(accepted.socket), introduction_->welcome(),
                                  introduction_->process())) {
    draft->connection.reset();
    draft->is_counted = false;
    return quotas_->remove(accepted.peer);
  }
  fault_point("server.welcome");
  connections_->add(std::move(draft->connection));
}

}  // namespace sidecall::shm
