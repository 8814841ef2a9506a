// Takes HELLO messages user by user; see hello_queue.h.
#include "hello_queue.h"

#include <utility>

#include "admission.h"

namespace sidecall::shm {

namespace {

// The largest number of status requests of one user that may wait for an answer.
constexpr size_t kMaxStatusRequests = 32;

}  // namespace

void HelloQueue::add(Arrived arrived) {
  const bool is_status = asks_for_status(arrived.hello);
  const uint64_t key = uint64_t{arrived.accepted.peer.account} << 1 | (is_status ? 1 : 0);
  const size_t most = is_status ? kMaxStatusRequests : max_per_user_;
  const auto queue = arrived_.find(key);
  if (queue != arrived_.end() && queue->second.size() >= most) {
    return refusals_->refuse(std::move(arrived.accepted), SIDECALL_BUSY,
                             "expected at most " + std::to_string(most) +
                                 " connections of one user that wait for an answer, got one more");
  }
  arrived_[key].push_back(std::move(arrived));
  num_connections_ += is_status ? 0 : 1;
  ++count_;
}

HelloQueue::Arrived HelloQueue::take() {
  auto turn = arrived_.upper_bound(answered_);
  if (turn == arrived_.end()) turn = arrived_.begin();
  answered_ = turn->first;
  Arrived arrived = std::move(turn->second.front());
  turn->second.pop_front();
  if (turn->second.empty()) arrived_.erase(turn);
  num_connections_ -= (answered_ & 1) != 0 ? 0 : 1;
  --count_;
  return arrived;
}

}  // namespace sidecall::shm
