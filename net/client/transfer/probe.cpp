// Asks each server of a client step by step; see probe.h and Client::probe().
#include "probe.h"

#include <curl/curl.h>
#include <sidecall/sidecall.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "connection_options.h"
#include "net/client/client.h"
#include "net/common/error.h"

namespace sidecall::net {
namespace {

struct FreeHandle {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
constexpr std::chrono::seconds kAtMost{10};  // for one step of one server

std::string count(size_t number, const char* noun) {
  return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
}

std::string text_of(const Metadata& metadata) {
  std::string text = count(metadata.inputs.size(), "input") + ", " +
                     count(metadata.outputs.size(), "output") +
                     (metadata.contract.empty() ? ", no contract" : ", with a contract");
  if (!metadata.model_id.empty()) text += ", id " + metadata.model_id.substr(0, 12);
  return text;
}

// The text of an error without the label of the client, which precedes it.
std::string without(const std::string& label, const std::string& text) {
  const std::string start = label + ": ";
  return text.compare(0, start.size(), start) == 0 ? text.substr(start.size()) : text;
}

}  // namespace

Connected connect_once(const Address& address, const Replica& replica, Clock::time_point deadline) {
  Connected found;
  const std::unique_ptr<CURL, FreeHandle> handle(start_libcurl() ? curl_easy_init() : nullptr);
  if (handle == nullptr) throw std::bad_alloc();
  char problem[CURL_ERROR_SIZE] = "";
  curl_slist pin{};
  CURLcode code = set_connection(handle.get(), address, replica, "/", &pin);
  const auto set = [&](CURLoption option, auto value) {
    if (code == CURLE_OK) code = curl_easy_setopt(handle.get(), option, value);
  };
  set(CURLOPT_CONNECT_ONLY, 1L);
  set(CURLOPT_ERRORBUFFER, problem);
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(left_ms(deadline)));
  if (code == CURLE_OK) code = curl_easy_perform(handle.get());
  if (code == CURLE_OUT_OF_MEMORY) throw std::bad_alloc();
  const std::string why = problem[0] != '\0' ? problem : curl_easy_strerror(code);
  curl_off_t connected_us = 0, secure_us = 0;
  curl_easy_getinfo(handle.get(), CURLINFO_CONNECT_TIME_T, &connected_us);
  curl_easy_getinfo(handle.get(), CURLINFO_APPCONNECT_TIME_T, &secure_us);
  if (code != CURLE_OK && connected_us == 0) {
    found.connection = {SIDECALL_UNREACHABLE, why};
    return found;
  }
  found.connection = {SIDECALL_OK, "open after " + std::to_string(connected_us / 1000) + " ms"};
  if (!address.is_secure) {
    if (code != CURLE_OK) found.connection = {SIDECALL_UNREACHABLE, why};
    return found;
  }
  found.has_tls = true;
  const std::string& ca = address.ca.empty() ? default_ca() : address.ca;
  if (code != CURLE_OK) found.tls = {SIDECALL_UNREACHABLE, why};
  else
    found.tls = {SIDECALL_OK, "certificate trusted by " + (ca.empty() ? "no file" : ca) +
                                  " after " + std::to_string(secure_us / 1000) + " ms"};
  return found;
}

void Client::probe(Clock::time_point deadline, const std::function<void(const Step&)>& on_step) {
  const auto until = [&] { return std::min(deadline, Clock::now() + kAtMost); };
  try {
    replicas_->resolve(until());
  } catch (const Error&) {
    // The step "name" of each host says so.
  }
  const std::vector<ReplicaPtr> all = replicas_->unverified();
  for (size_t host = 0; host < address_->hosts.size(); ++host) {
    if (address_->hosts[host].is_literal) continue;
    std::string ips;
    for (const ReplicaPtr& replica : all)
      if (replica->host == host) ips += (ips.empty() ? "" : ", ") + replica->ip;
    const std::string& name = address_->hosts[host].name;
    if (ips.empty()) on_step({name, "name", SIDECALL_UNREACHABLE, "no IP address was found"});
    else on_step({name, "name", SIDECALL_OK, ips});
  }
  for (const ReplicaPtr& replica : all) {
    const auto tell = [&](const char* step, const Finding& found) {
      on_step({replica->label, step, found.status, found.text});
      return found.status == SIDECALL_OK;
    };
    const char* step = "connection";
    try {
      const Connected connected = connect_once(*address_, *replica, until());
      if (!tell("connection", connected.connection)) continue;
      if (connected.has_tls && !tell("tls", connected.tls)) continue;
      const auto ask = [&](std::shared_ptr<Exchange> exchange) {
        exchange->only = replica;
        return finish(exchange);
      };
      step = "live";
      require_live(ask(make_live(until())));
      tell(step, {SIDECALL_OK, "yes"});
      step = "ready";
      require_ready(ask(make_ready(until())));
      tell(step, {SIDECALL_OK, "yes"});
      step = "metadata";
      tell(step, {SIDECALL_OK, text_of(read_metadata(replica, until()))});
    } catch (const Error& error) {
      tell(step, {error.status(), without(address_->label, error.what())});
    }
  }
}

}  // namespace sidecall::net
