// Chooses the server of each run; see replicas.h.
#include "replicas.h"

#include <sidecall/sidecall.h>

#include <algorithm>
#include <utility>

#include "net/client/transfer/resolver.h"
#include "net/common/error.h"

namespace sidecall::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr size_t kMaxIps = 64;  // of a name
constexpr seconds kResolveAgain{30};
constexpr seconds kResolveSoon{1};           // after a failure
constexpr milliseconds kShortestPause{500};  // of an ejected server, and between two checks
constexpr milliseconds kLongestPause{30000};
constexpr seconds kSuspectAgain{5};
constexpr double kFirstRepeats = 10;
constexpr double kRepeatsPerRun = 0.1;
constexpr double kMostRepeats = 1000;

// Doubles with each failure.
milliseconds pause_after(int num_failures) {
  const int doublings = std::clamp(num_failures - 1, 0, 6);
  return std::min(kShortestPause * (1 << doublings), kLongestPause);
}

}  // namespace

Replicas::Replicas(std::shared_ptr<const Address> address)
    : address_(std::move(address)), random_(std::random_device{}()), repeats_(kFirstRepeats) {
  if (!address_->socket.empty()) all_.push_back(make(0, ""));
  for (size_t i = 0; i < address_->hosts.size(); ++i) {
    if (address_->hosts[i].is_literal) all_.push_back(make(i, ""));
    else names_.emplace_back().host = i;
  }
  usable_.reserve(all_.size());
}

ReplicaPtr Replicas::make(size_t host, const std::string& ip) const {
  auto replica = std::make_shared<Replica>();
  replica->host = host;
  replica->ip = ip;
  replica->url = address_->is_secure ? "https://" : "http://";
  if (!address_->socket.empty()) {
    replica->url += "localhost";
    replica->label = address_->socket;
    return replica;
  }
  const Host& named = address_->hosts[host];
  const std::string port = ":" + std::to_string(named.port);
  replica->url += named.name + port;
  replica->label = named.name + port;
  if (!ip.empty()) {
    replica->connect_to = "::" + ip + port;
    replica->label += " (" + ip + ")";
  }
  return replica;
}

// ---- Names ----

void Replicas::look_up(Name* name, Clock::time_point now) {
  name->started = now;
  name->due = now + kResolveAgain;
  const auto index = static_cast<size_t>(name - names_.data());
  name->is_pending =
      net::resolve(address_->hosts[name->host].name, kMaxIps,
                   [weak = weak_from_this(), index](const std::vector<std::string>& ips) {
                     try {
                       if (const auto self = weak.lock()) self->set_ips(index, ips);
                     } catch (const std::exception&) {
                       // Without memory the servers stay as they are.
                     }
                   });
  if (!name->is_pending) name->due = now + kResolveSoon;
}

void Replicas::set_ips(size_t index, const std::vector<std::string>& ips) {
  const std::lock_guard lock(mutex_);
  Name& name = names_[index];
  name.is_pending = false;
  name.is_known = true;
  resolved_.notify_all();
  // If the name cannot be found now, its servers may still be there.
  if (ips.empty()) return;
  for (const ReplicaPtr& replica : all_) {
    if (replica->host == name.host) replica->is_listed = false;
  }
  for (const std::string& ip : ips) {
    const auto known = std::find_if(all_.begin(), all_.end(), [&](const ReplicaPtr& replica) {
      return replica->host == name.host && replica->ip == ip;
    });
    if (known != all_.end()) (*known)->is_listed = true;
    else all_.push_back(make(name.host, ip));
  }
  usable_.reserve(all_.size());
  forget_unlisted();
  update_needs_check();
}

// Forgets servers whose IP address their host name no longer has. The last verified server stays
// until another one is verified.
void Replicas::forget_unlisted() {
  const bool has_verified = std::any_of(all_.begin(), all_.end(), [](const ReplicaPtr& replica) {
    return replica->is_listed && replica->state == Replica::State::kVerified;
  });
  const auto is_obsolete = [&](const ReplicaPtr& replica) {
    return !replica->is_listed && (has_verified || replica->state != Replica::State::kVerified);
  };
  all_.erase(std::remove_if(all_.begin(), all_.end(), is_obsolete), all_.end());
}

void Replicas::resolve(Clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  const Clock::time_point now = Clock::now();
  for (Name& name : names_) {
    const bool has_server = std::any_of(all_.begin(), all_.end(), [&](const ReplicaPtr& replica) {
      return replica->host == name.host;
    });
    if (has_server || name.is_pending) continue;
    name.is_known = false;
    look_up(&name, now);
  }
  const auto is_over = [this] {
    return std::none_of(names_.begin(), names_.end(),
                        [](const Name& name) { return name.is_pending && !name.is_known; });
  };
  // A name that is not found in time must not hold the others up.
  const Clock::time_point grace = std::min(deadline, now + seconds(1));
  while (!is_over()) {
    const Clock::time_point until = all_.empty() ? deadline : grace;
    if (Clock::now() >= until) break;
    resolved_.wait_until(lock, until);
  }
  if (!all_.empty()) return;
  if (is_over())
    throw Error(SIDECALL_UNREACHABLE,
                address_->label + ": expected a host with an IP address, got none");
  throw Error(SIDECALL_TIMEOUT,
              address_->label + ": expected the IP address of the host in time, got none");
}

// ---- Verification ----

size_t Replicas::size() {
  const std::lock_guard lock(mutex_);
  return all_.size();
}

bool Replicas::waits_for_check(const Replica& replica) {
  return replica.state != Replica::State::kVerified || replica.is_suspect;
}

void Replicas::update_needs_check() {
  const bool is_needed = std::any_of(all_.begin(), all_.end(), [](const ReplicaPtr& replica) {
    return waits_for_check(*replica);
  });
  needs_check_.store(is_needed, std::memory_order_relaxed);
}

size_t Replicas::count_verified() const {
  return static_cast<size_t>(std::count_if(all_.begin(), all_.end(), [](const ReplicaPtr& replica) {
    return replica->state == Replica::State::kVerified;
  }));
}

std::vector<ReplicaPtr> Replicas::unverified() {
  const std::lock_guard lock(mutex_);
  std::vector<ReplicaPtr> found;
  for (const ReplicaPtr& replica : all_) {
    if (replica->state != Replica::State::kVerified) found.push_back(replica);
  }
  return found;
}

std::vector<ReplicaPtr> Replicas::due() {
  const std::lock_guard lock(mutex_);
  const Clock::time_point now = Clock::now();
  std::vector<ReplicaPtr> found;
  for (const ReplicaPtr& replica : all_) {
    if (waits_for_check(*replica) && replica->state != Replica::State::kDescribed &&
        replica->check_at <= now)
      found.push_back(replica);
  }
  return found;
}

void Replicas::suspect(const ReplicaPtr& replica) {
  const std::lock_guard lock(mutex_);
  if (replica->state != Replica::State::kVerified) return;
  replica->is_suspect = true;
  update_needs_check();
}

void Replicas::set_checked(const ReplicaPtr& replica, Replica::State state, bool has_answered) {
  const std::lock_guard lock(mutex_);
  const Clock::time_point now = Clock::now();
  if (replica->is_suspect) {
    replica->is_suspect = false;
    replica->check_at = now + kSuspectAgain;
    // The server keeps its runs if it still has the model, or does not answer at the moment: in the
    // second case its runs fail too. A server without the model gets no runs if there are others.
    const bool lacks_model =
        state == Replica::State::kUnchecked && has_answered && count_verified() > 1;
    if (state != Replica::State::kOtherModel && !lacks_model) return update_needs_check();
  }
  replica->state = state;
  if (state != Replica::State::kDescribed)
    replica->check_at = now + pause_after(++replica->num_failed_checks);
  update_needs_check();
}

ReplicaPtr Replicas::next_described() {
  const std::lock_guard lock(mutex_);
  for (const ReplicaPtr& replica : all_) {
    if (replica->state != Replica::State::kDescribed || replica->is_handed_out) continue;
    replica->is_handed_out = true;
    return replica;
  }
  return nullptr;
}

void Replicas::end_verification(const ReplicaPtr& replica, bool is_verified) {
  const std::lock_guard lock(mutex_);
  replica->is_handed_out = false;
  // The run of its golden rows may have shown that the server has another model.
  if (replica->state != Replica::State::kDescribed) return;
  if (is_verified) {
    replica->state = Replica::State::kVerified;
    replica->num_failed_checks = replica->num_failures = 0;
    replica->ejected_until = {};
    forget_unlisted();
  } else {
    replica->state = Replica::State::kUnchecked;
    replica->check_at = Clock::now() + pause_after(++replica->num_failed_checks);
  }
  update_needs_check();
}

Clock::time_point Replicas::next_check() {
  const std::lock_guard lock(mutex_);
  Clock::time_point next = Clock::time_point::max();
  for (const ReplicaPtr& replica : all_) {
    if (waits_for_check(*replica)) next = std::min(next, replica->check_at);
  }
  return next;
}

void Replicas::set_other_model(const ReplicaPtr& replica) {
  const std::lock_guard lock(mutex_);
  if (replica->state == Replica::State::kOtherModel) return;
  replica->state = Replica::State::kOtherModel;
  replica->is_suspect = false;
  replica->check_at = Clock::now() + pause_after(++replica->num_failed_checks);
  update_needs_check();
}

bool Replicas::is_opened_model(const std::string& id) {
  if (id.empty()) return true;
  const std::lock_guard lock(mutex_);
  if (model_id_.empty()) model_id_ = id;
  return model_id_ == id;
}

// ---- Runs ----

ReplicaPtr Replicas::pick(const std::vector<ReplicaPtr>& tried) {
  const std::lock_guard lock(mutex_);
  if (tried.empty()) repeats_ = std::min(repeats_ + kRepeatsPerRun, kMostRepeats);
  const bool is_alone = names_.empty() && all_.size() == 1;
  const Clock::time_point now = is_alone ? Clock::time_point() : Clock::now();
  for (Name& name : names_) {
    if (!name.is_pending && name.due <= now) look_up(&name, now);
  }
  usable_.clear();
  const ReplicaPtr* ejected = nullptr;  // the one that was ejected first
  for (const ReplicaPtr& replica : all_) {
    if (replica->state != Replica::State::kVerified ||
        std::find(tried.begin(), tried.end(), replica) != tried.end())
      continue;
    // After a failure one run at a time tries whether the server is back.
    if (replica->ejected_until <= now && (replica->num_failures == 0 || replica->num_runs == 0))
      usable_.push_back(&replica);
    else if (ejected == nullptr || replica->ejected_at < (*ejected)->ejected_at) ejected = &replica;
  }
  const ReplicaPtr* chosen = ejected;
  if (usable_.size() == 1) {
    chosen = usable_.front();
  } else if (usable_.size() > 1) {
    // Of two that are chosen at random, the one with fewer runs under way.
    const size_t first = random_() % usable_.size();
    const size_t step = 1 + random_() % (usable_.size() - 1);
    chosen = usable_[first];
    const ReplicaPtr* const other = usable_[(first + step) % usable_.size()];
    if ((*other)->num_runs < (*chosen)->num_runs) chosen = other;
  }
  if (chosen == nullptr) return nullptr;
  ++(*chosen)->num_runs;
  return *chosen;
}

void Replicas::end(const ReplicaPtr& replica, Attempt attempt) {
  const std::lock_guard lock(mutex_);
  --replica->num_runs;
  if (attempt == Attempt::kAnswered) {
    replica->num_failures = 0;
    replica->ejected_until = {};
  } else if (attempt == Attempt::kFailed) {
    const Clock::time_point now = Clock::now();
    eject(replica.get(), now);
    for (Name& name : names_) {
      if (name.host == replica->host) name.due = std::min(name.due, name.started + kResolveSoon);
    }
  }
}

// At most half of the servers are ejected. A single one never is.
void Replicas::eject(Replica* replica, Clock::time_point now) {
  const size_t num_verified = count_verified();
  if (num_verified < 2 || replica->state != Replica::State::kVerified) return;
  // Runs that were under way together fail together, which counts as one failure.
  if (replica->ejected_until > now) return;
  replica->ejected_at = now;
  replica->ejected_until = now + pause_after(++replica->num_failures);
  size_t num_ejected = 0;
  Replica* first = nullptr;
  for (const ReplicaPtr& other : all_) {
    if (other->state != Replica::State::kVerified || other->ejected_until <= now) continue;
    ++num_ejected;
    if (first == nullptr || other->ejected_at < first->ejected_at) first = other.get();
  }
  if (num_ejected > num_verified / 2) first->ejected_until = now;
}

size_t Replicas::num_verified() {
  const std::lock_guard lock(mutex_);
  return count_verified();
}

bool Replicas::has_other_model() {
  const std::lock_guard lock(mutex_);
  return std::any_of(all_.begin(), all_.end(), [](const ReplicaPtr& replica) {
    return replica->state == Replica::State::kOtherModel;
  });
}

bool Replicas::take_repeat() {
  const std::lock_guard lock(mutex_);
  if (repeats_ < 1) return false;
  repeats_ -= 1;
  return true;
}

}  // namespace sidecall::net
