// The spin policy: how long a side polls and when it yields to other threads, with a simulated
// clock and scheduler.
#include <atomic>
#include <catch2/catch_test_macros.hpp>

#include "base/process/spin_policy.h"

using namespace sidecall;

namespace {

constexpr uint32_t kHere = 1, kElsewhere = 2;
constexpr int64_t kUs = 1000;

struct Fake {
  static inline int64_t time = 0, look_takes = 0, yield_takes = 0, fixed = -1;
  static inline int yields = 0, allowed = 2, paid = 2;
  static inline std::atomic<int> waiting{0};

  static int64_t now() noexcept { return time += look_takes; }
  static void yield() noexcept {
    ++yields;
    time += yield_takes;
  }
  static uint32_t cpu() noexcept { return kHere; }
  static int64_t override_ns() noexcept { return fixed; }
  static int allowed_cpus() noexcept { return allowed; }
  static int paid_cpus() noexcept { return paid; }
};
using SpinPolicy = BasicSpinPolicy<Fake>;

// A machine in its initial state, on which a yield that no thread uses costs 300 ns.
struct Fresh {
  Fresh() {
    Fake::time = 1000 * 1000 * 1000;
    Fake::look_takes = kUs / 10;
    Fake::yield_takes = 300;
    Fake::fixed = -1;
    Fake::yields = 0;
    Fake::allowed = Fake::paid = 2;
    Fake::waiting = 0;
  }
};

struct Wait {
  bool began;
  int64_t took;
  int yields;
};

// A wait whose answer never comes.
Wait wait(SpinPolicy* policy, uint32_t peer_cpu, int32_t fixed_us = -1) {
  const int64_t start = Fake::time;
  const int yields = Fake::yields;
  Wait done{policy->begin(peer_cpu, fixed_us), 0, 0};
  int64_t now = 0;
  while (done.began && policy->rest(&now)) {
  }
  return {done.began, Fake::time - start, Fake::yields - yields};
}

// The number of consecutive waits that sleep immediately, without polling.
int asleep(SpinPolicy* policy, uint32_t peer_cpu) {
  int count = 0;
  while (!policy->begin(peer_cpu)) ++count;
  return count;
}

}  // namespace

TEST_CASE_METHOD(Fresh, "spin policy: polling ends when its time is used up") {
  SpinPolicy policy;
  const Wait far = wait(&policy, kElsewhere);
  CHECK(far.began);
  CHECK(far.took >= SpinPolicy::kSpin);
  CHECK(far.took <= SpinPolicy::kSpin + 10 * kUs);
  CHECK(far.yields == 0);     // no other thread of the process waits
  CHECK(Fake::waiting == 0);  // a sleeping thread does not count as waiting
  policy.note(0);
  CHECK(wait(&policy, kElsewhere, 30).took < 40 * kUs);
  CHECK(!wait(&policy, kElsewhere, 0).began);
  CHECK(!wait(&policy, kHere, 30).began);
  Fake::fixed = 0;
  CHECK(!wait(&policy, kElsewhere).began);
  Fake::fixed = 200 * kUs;
  CHECK(wait(&policy, kElsewhere).took >= 200 * kUs);
  CHECK(Fake::yields == 0);
}

TEST_CASE_METHOD(Fresh, "spin policy: its owner may choose how long a wait polls") {
  SpinPolicy policy(20 * kUs);
  CHECK(wait(&policy, kElsewhere).took < 30 * kUs);
  policy.note(25 * kUs);  // longer than a wait polls
  CHECK(asleep(&policy, kElsewhere) == 1);
  policy.note(15 * kUs);
  CHECK(asleep(&policy, kElsewhere) == 0);
}

TEST_CASE_METHOD(Fresh,
                 "spin policy: with a quota below two CPUs no thread polls, and a thread that is "
                 "pinned to one CPU does not poll for a peer whose CPU is unknown") {
  SpinPolicy policy;
  Fake::paid = 1;
  CHECK(!wait(&policy, kElsewhere).began);
  Fake::paid = 2;
  Fake::allowed = 1;
  CHECK(!wait(&policy, 0).began);
  CHECK(wait(&policy, kElsewhere).began);
}

TEST_CASE_METHOD(
    Fresh,
    "spin policy: a yield between two polls lets a peer on this CPU run, and the time of the peer "
    "does not count as polling") {
  SpinPolicy policy;
  Fake::yield_takes = 50 * kUs;
  REQUIRE(policy.begin(kHere));
  CHECK(policy.is_peer_here());
  int64_t now = 0;
  for (int i = 1; i <= 10; ++i) {
    CHECK(policy.rest(&now));
    CHECK(now == Fake::time);
    CHECK(Fake::yields == i);
  }
  policy.note(0);
  const Wait whole = wait(&policy, kHere);
  CHECK(whole.took >= SpinPolicy::kMaxWait);
  CHECK(whole.took < SpinPolicy::kMaxWait + 100 * kUs);
}

TEST_CASE_METHOD(
    Fresh, "spin policy: a thread stops yielding to a peer that does not run during a yield") {
  SpinPolicy policy;
  int64_t now = 0;
  REQUIRE(policy.begin(kHere));
  CHECK(policy.rest(&now));
  CHECK(!policy.is_peer_here());
  CHECK(wait(&policy, kHere).yields == 1);
  Fake::allowed = 1;
  REQUIRE(policy.begin(kHere));
  CHECK(!policy.rest(&now));
}

TEST_CASE_METHOD(Fresh, "spin policy: waiting threads of one process yield to each other") {
  SpinPolicy one, other;
  int64_t now = 0;
  REQUIRE(other.begin(kElsewhere));
  while (Fake::waiting == 0) other.rest(&now);
  CHECK(Fake::yields == 0);
  const Wait together = wait(&one, kElsewhere);
  CHECK(together.yields > 0);
  // No other thread used the yields, so `one` yields only once per interval and polls in between.
  CHECK(together.yields <= SpinPolicy::kSpin / SpinPolicy::kYieldInterval + 1);
  one.note(0);
  Fake::yield_takes = 20 * kUs;
  CHECK(wait(&one, kElsewhere).yields > 50);
  CHECK(one.is_cpu_shared());
  one.note(0);
  other.note(0);
  CHECK(Fake::waiting == 0);
}

TEST_CASE_METHOD(Fresh,
                 "spin policy: each yield that takes too long increases the number of following "
                 "waits that sleep without yielding; short yields reduce it") {
  SpinPolicy policy;
  Fake::yield_takes = 2 * SpinPolicy::kMaxWait;
  for (const int forgone : {3, 15, 63, 255, 1023, 1023}) {
    const Wait lost = wait(&policy, kHere);
    CHECK(lost.yields == 1);
    policy.note(INT64_MAX);  // ignored, because this wait measured no polling
    CHECK(asleep(&policy, kHere) == forgone);
  }
  Fake::yield_takes = 20 * kUs;
  for (int i = 0; i < 20; ++i) {
    int64_t now = 0;
    REQUIRE(policy.begin(kHere));
    policy.rest(&now);
    policy.note(0);
  }
  Fake::yield_takes = 2 * SpinPolicy::kMaxWait;
  wait(&policy, kHere);
  CHECK(asleep(&policy, kHere) == 3);
}

TEST_CASE_METHOD(Fresh, "spin policy: a yield may take longer if more threads wait") {
  Fake::yield_takes = SpinPolicy::kLongYield + 32 * SpinPolicy::kLongYieldPerThread;
  SpinPolicy alone, member;
  int64_t now = 0;
  REQUIRE(alone.begin(kHere));
  CHECK(!alone.rest(&now));
  Fake::waiting = 64;
  REQUIRE(member.begin(kHere));
  CHECK(member.rest(&now));
  member.note(0);
  CHECK(member.begin(kHere));
  Fake::waiting = 1000 * 1000;
  Fake::yield_takes = SpinPolicy::kMaxWait + kUs;
  CHECK(!member.rest(&now));
}

TEST_CASE_METHOD(
    Fresh, "spin policy: polling that fails is skipped more and more often, until it succeeds") {
  SpinPolicy policy;
  for (const int skipped : {0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 1023}) {
    CHECK(asleep(&policy, kElsewhere) == skipped);
    policy.note(INT64_MAX);
  }
  CHECK(asleep(&policy, kElsewhere) == 1023);
  policy.note(1);
  CHECK(asleep(&policy, kElsewhere) == 0);
}

TEST_CASE_METHOD(Fresh, "spin policy: a working server yields for at most a sixth of its time") {
  SpinPolicy policy;
  for (const int64_t turn : {300 * int64_t{1}, 10 * kUs, 400 * kUs}) {
    Fake::yield_takes = turn;
    const int before = Fake::yields;
    const int64_t start = Fake::time;
    while (Fake::time - start < 20 * 1000 * kUs) {
      Fake::time += kUs;
      policy.yield_between_answers(Fake::time, -1);
    }
    const int64_t given = (Fake::yields - before) * turn;
    CHECK(given > 0);
    CHECK(given <= (Fake::time - start) / 6 + turn);
  }
  const int before = Fake::yields;
  Fake::time += 1000 * 1000 * kUs;
  policy.yield_between_answers(Fake::time, 50);  // with a fixed time to poll
  Fake::fixed = 0;
  policy.yield_between_answers(Fake::time, -1);
  Fake::fixed = -1;
  Fake::paid = 1;
  policy.yield_between_answers(Fake::time, -1);
  CHECK(Fake::yields == before);
}
