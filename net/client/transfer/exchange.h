// One HTTP request and its answer. The thread of a caller makes it and waits for its end, and the
// driver of the loop (loop.h) executes it; they share it. The loop may send the request to several
// servers, one after the other, until one of them answers.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "net/client/address.h"
#include "net/client/messages/answer_buffer.h"

namespace sidecall::net {

class Replicas;
struct Replica;

using Clock = std::chrono::steady_clock;

// How the transfer ended. All but kAnswered usually have a text with the reason.
enum class Transfer {
  kAnswered,     // an answer with any HTTP status
  kUnreachable,  // no connection, or none that can be trusted
  kBroken,       // the connection ended before the answer was there
  kTimedOut,
  kOtherModel,  // no server has the opened model any more; no text
  kInvalid,     // the answer was not HTTP
  kTooLarge,    // the answer has more than Exchange::max_answer_bytes
  kNoRoom,      // all answers of this process together take too much; no text
  kNoMemory,
};

// What a server answered.
struct Reply {
  Transfer transfer = Transfer::kAnswered;
  std::string problem;
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // and trailers; names in lower case
  AnswerBuffer body;

  // The value of a header; "" if it is absent. The last one counts.
  const std::string& header(const std::string& name) const;
};

class Exchange {
 public:
  // ---- The request: set before it is submitted, and never changed afterwards ----
  std::shared_ptr<const Address> address;
  std::shared_ptr<Replica> only;       // the server that must execute the request, or nullptr
  std::shared_ptr<Replicas> replicas;  // if `only` is nullptr: the loop chooses one of these
  std::string path;                    // of the URL; begins with "/"
  std::string body;                    // a POST if `is_post`, otherwise a GET
  bool is_post = false;
  // A POST may be sent again if the connection ends before there is an answer, although the server
  // may have executed it.
  bool may_repeat = false;
  std::vector<std::string> headers;
  std::string token;  // sent as authorization; "" for none
  // A header that tells the server how many milliseconds are left, and the unit after the number.
  const char* timeout_header = nullptr;
  const char* timeout_unit = "";
  Clock::time_point deadline;
  uint64_t max_answer_bytes = 0;       // of the body
  std::shared_ptr<AnswerShare> share;  // counts the answer

  // ---- The state: the loop uses it, and the waiter once the exchange is over ----
  std::vector<std::shared_ptr<Replica>> tried;  // the servers that failed
  // The servers that had closed a connection which we kept for reuse. Each may be tried once more.
  std::vector<std::shared_ptr<Replica>> ended;
  std::string problems;             // of these servers: "a:8000: ...; b:8000: ..."
  Clock::time_point first_failure;  // of the servers in `tried`
  bool is_second_round = false;     // all servers were tried once, and may be tried again
  int num_attempts = 0;
  bool may_have_run = false;  // a connection broke after the request was sent
  std::shared_ptr<Replica> answered_by;

  // ---- The end, which any thread may await ----

  // Stores the reply and wakes the waiter. Called once, by the loop.
  void end(Reply reply);
  // Waits until the exchange is over, wake() was called, or `until`. Returns whether it is over.
  bool wait(Clock::time_point until);
  void wake();
  bool is_woken();
  bool is_over_or_woken();
  // Resets an exchange that is over, so that it can be submitted once more. Returns false, and does
  // nothing, if wake() was called.
  bool restart();
  // An event descriptor that becomes readable when the exchange is over or woken; -1 for none. It
  // must stay open until the exchange is over, or another one was given.
  void notify(int fd);
  // A function that is called then, on the thread that ends or wakes the exchange; nullptr for
  // none. When listen() has returned, the former one is not called any more.
  void listen(void (*on_event)(void* context), void* context);
  Reply& reply() { return reply_; }  // once it is over
  // Drops the reply, even if it arrives later. The waiter calls it if it does not read the reply.
  void discard();

 private:
  void tell() noexcept;  // mutex_ is locked

  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_over_ = false;
  bool is_woken_ = false;
  bool is_discarded_ = false;
  int fd_ = -1;
  void (*on_event_)(void*) = nullptr;
  void* context_ = nullptr;
  Reply reply_;
};

// How many milliseconds are left, rounded up; at least 1.
int64_t left_ms(Clock::time_point deadline);

}  // namespace sidecall::net
