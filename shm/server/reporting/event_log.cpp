// Limits events with a token bucket for each kind of event and user; see event_log.h.
#include "event_log.h"

#include <algorithm>

namespace sidecall::shm {

namespace {

// If there are more pairs of a kind and a user than this, all others share one bucket.
constexpr size_t kMaxBuckets = 1024;

}  // namespace

void EventLog::add(LogLevel level, const std::string& event, const std::string& facts,
                   int64_t user) {
  if (!pass_on_) return;
  if (level >= LogLevel::kWarning && !take_token(event, user, now_ns())) {
    num_suppressed_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  pass_on(level, event, facts);
}

void EventLog::report() noexcept {
  report_due_ns_.store(INT64_MAX, std::memory_order_relaxed);
  try {
    std::map<Key, uint64_t> found;
    {
      const std::lock_guard lock(mutex_);
      for (auto& [key, bucket] : buckets_) {
        if (bucket.suppressed == 0) continue;
        found.emplace(key, bucket.suppressed);
        bucket.suppressed = 0;
      }
    }
    for (const auto& [key, lines] : found) {
      Facts facts;
      facts.text("of", key.second);
      if (key.first != kNoUser) facts.number("uid", key.first);
      pass_on(LogLevel::kWarning, "log.suppressed", facts.number("lines", lines).take());
    }
  } catch (const std::exception&) {
    num_dropped_.fetch_add(1, std::memory_order_relaxed);
  }
}

bool EventLog::take_token(const std::string& event, int64_t user, int64_t now) {
  const std::lock_guard lock(mutex_);
  Bucket& bucket = bucket_of(event, user, now);
  const int64_t refill =
      std::min<int64_t>((now - bucket.filled_ns) / kRefillNs, kBurst - bucket.tokens);
  if (refill > 0) {
    bucket.tokens += static_cast<uint32_t>(refill);
    bucket.filled_ns += refill * kRefillNs;
  }
  if (bucket.tokens == 0) {
    ++bucket.suppressed;
    if (report_due_ns() == INT64_MAX)
      report_due_ns_.store(now + kReportAfterNs, std::memory_order_relaxed);
    return false;
  }
  if (bucket.tokens == kBurst) bucket.filled_ns = now;
  --bucket.tokens;
  return true;
}

EventLog::Bucket& EventLog::bucket_of(const std::string& event, int64_t user, int64_t now) {
  const auto found = buckets_.find({user, event});
  if (found != buckets_.end()) return found->second;
  // Remove the buckets that are full again.
  if (buckets_.size() >= kMaxBuckets) {
    for (auto entry = buckets_.begin(); entry != buckets_.end();) {
      const Bucket& bucket = entry->second;
      const bool is_full = bucket.suppressed == 0 && now - bucket.filled_ns >= kBurst * kRefillNs;
      entry = is_full ? buckets_.erase(entry) : std::next(entry);
    }
    if (buckets_.size() >= kMaxBuckets) return buckets_[{kNoUser, "other events"}];
  }
  return buckets_[{user, event}];
}

void EventLog::pass_on(LogLevel level, const std::string& event, const std::string& facts) {
  if (pass_on_ && !pass_on_(level, event.c_str(), facts))
    num_dropped_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace sidecall::shm
