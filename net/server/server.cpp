// Starts and ends the threads of a server; see server.h.
#include "server.h"

#include <sidecall/sidecall.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "base/json/json_text.h"
#include "base/process/signals_blocked.h"
#include "base/process/spin_policy.h"
#include "net/common/error.h"

namespace sidecall::net {
namespace {

// The address with the port that the system has chosen.
std::string chosen_at(const ServerAddress& address, int port) {
  if (!address.socket.empty() || address.port != 0) return address.label;
  const size_t colon = address.label.rfind(':');
  return address.label.substr(0, colon + 1) + std::to_string(port);
}

// Appends the state of the files with tokens and certificates, as members of a JSON object.
void append_files(const ServerContext& server, std::string* out) {
  const auto append_failure = [out](const char* name, const Renewed& files) {
    out->append(",\"").append(name).append("\":");
    append_json_string(files.failure(), out);
  };
  if (server.tokens != nullptr) {
    out->append(",\"tokens\":" + std::to_string(server.tokens->count()));
    append_failure("tokens_failure", *server.tokens);
  }
  if (server.tls != nullptr) {
    out->append(",\"certificate_expires\":" + std::to_string(server.tls->expires()));
    append_failure("certificate_failure", *server.tls);
  }
}

}  // namespace

Server::Server(const ServerAddress& address, const sidecall_net_service& service,
               const sidecall_net_server_options& options)
    : context_(address, service, options),
      listener_(std::make_unique<Listener>(address)),
      ended_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  try {
    context_.set_label(chosen_at(address, listener_->port()));
    std::string facts = "\"at\":";
    append_json_string(context_.label, &facts);
    if (ended_fd_ < 0) throw Error(SIDECALL_OUT_OF_MEMORY, "server: no descriptors are left");
    usable_cpus();  // reads files, which a server with a sandbox cannot do later
    const int count = std::max(options.num_threads, 1);
    for (int i = 0; i < count; ++i)
      loops_.push_back(std::make_unique<Loop>(&context_, &shared_, listener_->fds()));
    service.log(service.context, 1, "server.listening", facts.c_str());
    renewal_ = std::make_unique<Renewal>(&context_);
    if (options.start_later == 0) start();
  } catch (...) {
    stop();
    throw;
  }
}

Server::~Server() { stop(); }

// Until then the system keeps the connections of clients in the queue of the listener.
void Server::start() {
  const std::lock_guard lock(start_mutex_);
  if (has_ended_) throw Error(SIDECALL_UNREACHABLE, "the server has ended");
  const SignalsBlocked blocked;
  try {
    renewal_->start();
    while (threads_.size() < loops_.size())
      threads_.emplace_back(&Loop::run, loops_[threads_.size()].get());
  } catch (const std::system_error&) {
    throw Error(SIDECALL_OUT_OF_MEMORY, "server: no thread can be started");
  }
}

void Server::stop() noexcept {
  renewal_.reset();
  shared_.should_stop.store(true, std::memory_order_release);
  for (const auto& loop : loops_) loop->wake();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  loops_.clear();
  if (ended_fd_ >= 0) ::close(ended_fd_);
  ended_fd_ = -1;
}

bool Server::drain(Clock::time_point deadline) {
  {
    const std::lock_guard lock(start_mutex_);
    has_ended_ = true;
    if (threads_.empty()) listener_.reset();  // nothing was accepted, and nothing will be
  }
  std::unique_lock lock(shared_.mutex);
  if (!context_.is_draining.load(std::memory_order_acquire)) {
    shared_.num_draining = static_cast<int>(threads_.size());
    context_.is_draining.store(true, std::memory_order_release);
    for (const auto& loop : loops_) loop->wake();
  }
  const bool is_done =
      shared_.changed.wait_until(lock, deadline, [&] { return shared_.num_draining == 0; });
  if (is_done) eventfd_write(ended_fd_, 1);
  return is_done;
}

std::string Server::status() const {
  std::string out = "{\"at\":";
  append_json_string(context_.label, &out);
  out.append(",\"model\":");
  append_json_string(context_.name, &out);
  out.append(",\"draining\":");
  out.append(context_.is_draining.load(std::memory_order_relaxed) ? "true" : "false");
  context_.metrics.append_json(&out);
  append_files(context_, &out);
  return out + "}";
}

}  // namespace sidecall::net
