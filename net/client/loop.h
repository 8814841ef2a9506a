// The thread that executes all HTTP requests of the process, with libcurl. It starts with the first
// request and keeps connections for later ones.
#pragma once

#include <memory>

#include "exchange.h"

namespace sidecall::net {

// Both may be called from any thread and never wait for a server. submit() throws OUT_OF_MEMORY.
void submit(std::shared_ptr<Exchange> exchange);
// Ends an exchange that is not over yet: the server learns that no one waits for the answer.
void cancel(std::shared_ptr<Exchange> exchange) noexcept;

}  // namespace sidecall::net
