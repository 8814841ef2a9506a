// Executes all HTTP requests of the process with libcurl, and keeps connections for later ones.
//
// One thread at a time drives the loop. A caller that waits for its request drives it while there
// is no other request, which saves two context switches. Otherwise, and always for TLS, a thread of
// the library drives it. This thread starts with the first request.
#pragma once

#include <memory>

#include "exchange.h"

namespace sidecall::net {

// Both may be called from any thread and never wait for a server. submit() throws OUT_OF_MEMORY.
void submit(std::shared_ptr<Exchange> exchange);
// Ends an exchange that is not over yet: the server learns that no one waits for the answer.
void cancel(std::shared_ptr<Exchange> exchange) noexcept;

// submit() for a caller that calls wait() next. Only wait() executes the exchange, unless another
// thread drives the loop.
void submit_and_drive(std::shared_ptr<Exchange> exchange);
// Waits until the exchange is over, Exchange::wake() was called, or `until`. Returns whether it is
// over. Drives the loop meanwhile if that exchange is the only one.
bool wait(Exchange* exchange, Clock::time_point until);

}  // namespace sidecall::net
