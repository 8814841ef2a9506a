// One HTTP request and its answer. The thread of a caller makes it and waits for its end, and the
// thread of the loop (loop.h) executes it; they share it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "address.h"

namespace sidecall::net {

using Clock = std::chrono::steady_clock;

// How the transfer ended. Anything but kAnswered comes with a text that says more.
enum class Transfer {
  kAnswered,     // an answer with any HTTP status
  kUnreachable,  // no connection, or none that can be trusted
  kBroken,       // the connection ended before the answer was there
  kTimedOut,
  kInvalid,  // the answer was not HTTP, or too large
  kNoMemory,
};

// What a server answered.
struct Reply {
  Transfer transfer = Transfer::kAnswered;
  std::string problem;
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // and trailers; names in lower case
  std::string body;

  // The value of a header; "" if it is absent. The last one counts.
  const std::string& header(const std::string& name) const;
};

class Exchange {
 public:
  // ---- The request: set before it is submitted, and never changed afterwards ----
  std::shared_ptr<const Address> address;
  std::string url;
  std::string body;  // a POST if `is_post`, otherwise a GET
  bool is_post = false;
  // A POST may be sent again if the connection ends before there is an answer, although the server
  // may have executed it.
  bool may_repeat = false;
  std::vector<std::string> headers;
  std::string token;  // sent as authorization; "" for none
  Clock::time_point deadline;

  // ---- The end, which any thread may await ----

  // Ends the waiting. Called once, by the loop.
  void end(Reply reply);
  // Waits until the exchange is over, wake() was called, or `until`. Returns whether it is over.
  bool wait(Clock::time_point until);
  void wake();
  // An event descriptor that becomes readable when the exchange is over or woken; -1 for none. It
  // must stay open until the exchange is over, or another one was given.
  void notify(int fd);
  Reply& reply() { return reply_; }  // once it is over

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_over_ = false;
  bool is_woken_ = false;
  int fd_ = -1;
  Reply reply_;
};

}  // namespace sidecall::net
