// Verifies the servers of a model that could not be verified when the model was opened: a new IP
// address of a name, a server that was not there, one that had another model. A server gets runs
// only after that. The work is done on a thread of its own, so no run waits for it.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "core/clock.h"

namespace sidecall {

class Verifier {
 public:
  // Verifies the servers whose time has come, and returns when to do so again: the largest time if
  // all servers are verified, and nullopt if the model was closed.
  using Check = std::function<std::optional<Clock::time_point>()>;

  Verifier();
  ~Verifier();
  Verifier(const Verifier&) = delete;
  Verifier& operator=(const Verifier&) = delete;

  // Called once. start() has no effect before.
  void set_check(Check check);
  // Starts the thread unless it is running. It ends when all servers are verified.
  void start() noexcept;

 private:
  struct State;
  static void run(const std::shared_ptr<State>& state) noexcept;

  // The thread shares it, because it may live a little longer than the model.
  const std::shared_ptr<State> state_;
};

}  // namespace sidecall
