// The servers that run one model: one for each IP address of each host in the URI. Chooses the
// server of each run. A server gets runs once it was verified, and none for a while after it
// failed.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "address.h"
#include "net/client/transfer/exchange.h"

namespace sidecall::net {

// One server. The first part never changes; Replicas guards the rest.
struct Replica {
  size_t host = 0;         // its index in Address::hosts
  std::string ip;          // "" for a literal address and for a socket
  std::string url;         // "http://a:8000"
  std::string connect_to;  // what libcurl takes to use this IP address for the URL, or ""
  std::string label;       // for messages: "a:8000", "a:8000 (10.0.0.1)"

  enum class State {
    kUnchecked,   // not described yet, or it could not be reached then
    kDescribed,   // it has the model; its golden rows did not run yet
    kVerified,    // it gets runs
    kOtherModel,  // it has another model
  };
  State state = State::kUnchecked;
  bool is_listed = true;       // the name of its host still has this IP address
  bool is_handed_out = false;  // a caller verifies it
  bool is_suspect = false;     // verified, but it should be described again
  int num_failed_checks = 0;
  Clock::time_point check_at;  // when it may be described again
  size_t num_runs = 0;         // that are under way
  int num_failures = 0;        // since the last success
  Clock::time_point ejected_at, ejected_until;
};
using ReplicaPtr = std::shared_ptr<Replica>;

// How an attempt on a server ended.
enum class Attempt {
  kAnswered,
  kFailed,   // the server could not be reached, ended, was silent, or is unavailable
  kUnknown,  // the caller gave it up
};

class Replicas : public std::enable_shared_from_this<Replicas> {
 public:
  explicit Replicas(std::shared_ptr<const Address> address);

  // ---- Names ----

  // Looks up the host names for which no server is known. Waits for the results until `deadline`,
  // but only for a second if other servers are known. Throws TIMEOUT, and UNREACHABLE if there is
  // no server.
  void resolve(Clock::time_point deadline);

  // ---- Verification ----

  size_t size();  // how many servers there are
  // The servers that were not verified.
  std::vector<ReplicaPtr> unverified();
  // The servers that should be described now: some that were not verified, and suspects.
  std::vector<ReplicaPtr> due();
  // A run of the server failed in a way that another model would explain. The server still gets
  // runs, but is described again.
  void suspect(const ReplicaPtr& replica);
  // Stores the state that was found when a server was described. `has_answered`: if the state is
  // kUnchecked, the server gave an answer, for example that the model is not ready.
  void set_checked(const ReplicaPtr& replica, Replica::State state, bool has_answered = true);
  // A server that was described and is not being verified; nullptr if there is none.
  ReplicaPtr next_described();
  // Ends its verification. If it failed, the server is described again later.
  void end_verification(const ReplicaPtr& replica, bool is_verified);
  // Whether some server is not verified, or suspect.
  bool needs_check() const noexcept { return needs_check_.load(std::memory_order_relaxed); }
  // When the next server may be described again; the largest time if all are verified.
  Clock::time_point next_check();
  // A server answered with the id of another model.
  void set_other_model(const ReplicaPtr& replica);
  // Whether an answer with this id comes from the model that was opened. If the id of this model is
  // not known yet, the first id that a server sends becomes its id. "" always matches.
  bool is_opened_model(const std::string& id);

  // ---- Runs: called by the loop ----

  // Chooses a server that is not among `tried` and counts a run for it. nullptr if there is none.
  // The first choice of a run also adds to the budget for repeats.
  ReplicaPtr pick(const std::vector<ReplicaPtr>& tried);
  void end(const ReplicaPtr& replica, Attempt attempt);
  // How many servers get runs.
  size_t num_verified();
  // Whether some server was found to have another model.
  bool has_other_model();
  // Whether a run that a server may have executed may be sent again. Counts the repeat.
  bool take_repeat();

 private:
  struct Name {
    size_t host = 0;
    bool is_pending = false;  // a thread looks it up
    bool is_known = false;    // it was looked up once
    Clock::time_point due;    // when it is looked up again
    Clock::time_point started;
  };

  void look_up(Name* name, Clock::time_point now);
  void set_ips(size_t name, const std::vector<std::string>& ips);
  ReplicaPtr make(size_t host, const std::string& ip) const;
  void eject(Replica* replica, Clock::time_point now);
  void forget_unlisted();
  static bool waits_for_check(const Replica& replica);
  void update_needs_check();
  size_t count_verified() const;

  const std::shared_ptr<const Address> address_;
  mutable std::mutex mutex_;  // guards the rest
  std::condition_variable resolved_;
  std::vector<Name> names_;
  std::vector<ReplicaPtr> all_;
  std::vector<const ReplicaPtr*> usable_;  // of pick(), to allocate once
  std::minstd_rand random_;
  std::string model_id_;
  double repeats_;  // how many the budget still allows
  std::atomic<bool> needs_check_{true};
};

}  // namespace sidecall::net
