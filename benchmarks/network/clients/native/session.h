// The result of an "open" request: a workload, a transport, and one caller per worker. Used by
// main.cpp and measure.cpp.
#pragma once

#include <rapidjson/document.h>

#include <memory>
#include <string>
#include <vector>

#include "transport.h"

namespace bench {

class Session {
 public:
  // Opens the approach, calls once and checks the answer. Throws with the reason. `workload` must
  // outlive the session.
  Session(const Workload& workload, const rapidjson::Value& request);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  double first_answer_s() const { return first_answer_s_; }
  int64_t ring() const { return workload_.ring; }

  // Connects those of `count` workers that have no connection yet.
  void connect(int count);
  // The caller of worker `number`; makes a new connection if its last call failed. Throws if it
  // cannot connect.
  Caller& caller(int number);
  void drop(int number) { callers_[static_cast<size_t>(number)].reset(); }
  Lengths lengths(int number) const;

  bool is_right(int64_t first_row, const Answer& answer) const {
    return wanted().is_right(first_row, rows_, answer);
  }

 private:
  const Workload& wanted() const { return twin_ == nullptr ? workload_ : *twin_; }

  const Workload& workload_;
  std::unique_ptr<Workload> twin_;  // set if the approach has its own expected answers
  int64_t rows_ = 1;
  std::unique_ptr<Approach> approach_;
  std::vector<std::unique_ptr<Caller>> callers_;
  double first_answer_s_ = 0;
};

}  // namespace bench
