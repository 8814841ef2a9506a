// See renewal.h.
#include "renewal.h"

#include <array>
#include <chrono>
#include <ctime>
#include <exception>

#include "base/json/json_text.h"
#include "base/process/signals_blocked.h"
#include "net/common/error.h"

namespace sidecall::net {
namespace {

constexpr auto kCheckEvery = std::chrono::seconds(1);
constexpr int64_t kDay = int64_t{24} * 3600;

// 0 if the certificate is valid for more than 30 days; larger if less time is left.
int urgency_of(int64_t seconds_left) {
  int urgency = 0;
  for (const int64_t days : {30, 7, 1, 0}) urgency += seconds_left <= days * kDay ? 1 : 0;
  return urgency;
}

std::string expiry_facts(int64_t expires, int64_t now) {
  const std::time_t time = expires;
  std::tm fields{};
  ::gmtime_r(&time, &fields);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &fields);
  const int64_t left = expires - now;
  const int64_t days = left >= 0 ? left / kDay : -((-left + kDay - 1) / kDay);
  return std::string(",\"expires\":\"") + text.data() + "\",\"days_left\":" + std::to_string(days);
}

}  // namespace

Renewal::Renewal(ServerContext* server) : server_(*server) {
  if (server_.tokens != nullptr) log_tokens();
  if (server_.tls != nullptr) log_certificate();
}

Renewal::~Renewal() {
  {
    const std::lock_guard lock(mutex_);
    should_end_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Renewal::start() {
  if (thread_.joinable() || (server_.tokens == nullptr && server_.tls == nullptr)) return;
  const SignalsBlocked blocked;
  thread_ = std::thread(&Renewal::run, this);
}

void Renewal::run() noexcept {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, kCheckEvery, [this] { return should_end_; })) {
    lock.unlock();
    try {
      check();
    } catch (const std::exception&) {
      // No memory is left; the next turn tries again.
    }
    lock.lock();
  }
}

void Renewal::check() {
  if (server_.tokens != nullptr && renew(server_.tokens.get(), "server.tokens_failed"))
    log_tokens();
  if (server_.tls == nullptr) return;
  if (renew(server_.tls.get(), "server.certificate_failed")) log_certificate();
  else warn_of_expiry();
}

bool Renewal::renew(Renewed* files, const char* failure_event) {
  std::string failure;
  try {
    if (!files->renew()) return false;
  } catch (const std::bad_alloc&) {
    failure = "out of memory";
  } catch (const std::exception& error) {
    failure = error.what();
  }
  const bool is_news = files->note_failure(failure);
  if (failure.empty()) return true;
  if (!is_news) return false;
  std::string facts = ",\"reason\":";
  append_json_string(failure, &facts);
  log(Level::kError, failure_event, facts);
  return false;
}

void Renewal::log_tokens() const {
  const size_t count = server_.tokens->count();
  log(count == 0 ? Level::kWarning : Level::kInfo, "server.tokens",
      ",\"tokens\":" + std::to_string(count));
}

void Renewal::log_certificate() {
  log(Level::kInfo, "server.certificate",
      expiry_facts(server_.tls->expires(), int64_t{std::time(nullptr)}));
  urgency_ = 0;
  warn_of_expiry();
}

void Renewal::warn_of_expiry() {
  const int64_t now = int64_t{std::time(nullptr)};
  const int64_t expires = server_.tls->expires();
  const int urgency = urgency_of(expires - now);
  if (urgency == 0 || (urgency <= urgency_ && now - warned_at_ < kDay)) return;
  urgency_ = urgency;
  warned_at_ = now;
  const bool is_over = expires <= now;
  log(is_over ? Level::kError : Level::kWarning,
      is_over ? "server.certificate_expired" : "server.certificate_expires",
      expiry_facts(expires, now));
}

void Renewal::log(Level level, const char* event, const std::string& more_facts) const {
  std::string facts = "\"at\":";
  append_json_string(server_.label, &facts);
  facts += more_facts;
  server_.service.log(server_.service.context, static_cast<int32_t>(level), event, facts.c_str());
}

}  // namespace sidecall::net
