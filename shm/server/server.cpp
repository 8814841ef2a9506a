// Forwards the functions of Server to the control thread; see server.h.
#include "server.h"

#include <utility>

#include "control.h"

namespace sidecall::shm {

std::string status_answer(std::string counts, const ServerOptions& options) {
  if (!options.more_status) return counts;
  counts.pop_back();  // the closing brace
  return counts + options.more_status() + "}";
}

Server::Server(Service service, Handler* handler, ServerOptions options)
    : control_(std::make_shared<Control>(std::move(service), handler, std::move(options))) {}

// A forked child does not have the threads that close() would wait for, so it leaks the object.
Server::~Server() {
  if (mark_.is_forked()) static_cast<void>(new std::shared_ptr<Control>(std::move(control_)));
  else close();
}

void Server::listen(std::string_view address, bool accepts) { control_->listen(address, accepts); }
void Server::accept() { control_->accept(); }
void Server::attach(int fd) { control_->attach(Fd(fd), false); }
void Server::control(int fd, int64_t drain_ns, bool accepts) {
  control_->control(Fd(fd), drain_ns, accepts);
}
Direct Server::direct() {
  const auto connect = [control = std::weak_ptr<Control>(control_)] {
    const std::shared_ptr<Control> there = control.lock();
    if (there == nullptr) throw Error(SIDECALL_UNREACHABLE, "the server has ended");
    Socket ours, theirs;
    Socket::pair(&ours, &theirs);
    there->attach(theirs.take(), true);
    return ours;
  };
  const auto is_ready = [control = std::weak_ptr<Control>(control_)] {
    const std::shared_ptr<Control> there = control.lock();
    return there != nullptr && !there->is_stalled();
  };
  return {connect, is_ready, [] { return 1; }, [] { return INT64_C(-1); }};
}

std::string Server::status() const { return control_->status(); }
void Server::drain_others() noexcept { control_->drain_others(); }
bool Server::drain(Deadline deadline) { return control_->drain(deadline); }
int Server::ended_fd() const noexcept { return control_->ended_fd(); }
void Server::close() noexcept {
  if (!mark_.is_forked()) control_->close();
}

}  // namespace sidecall::shm
