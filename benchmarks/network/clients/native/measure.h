// The closed loop and the open loop. Used by main.cpp.
#pragma once

#include <cstdint>
#include <string>

#include "histogram.h"
#include "session.h"

namespace bench {

struct Plan {
  int clients = 1;
  double rate = 0;         // calls per second of all clients together; 0: closed loop
  bool is_random = false;  // whether calls are due at random times (Poisson), not at fixed ones
  double seconds = 1;
  int64_t warm_up = 0;  // calls of each client that are not counted
  int64_t first = 0;    // the row of call 0
};

struct Measurement {
  Histogram times;  // of the calls that were answered
  int64_t wrong = 0;
  int64_t lost = 0;
  double seconds = 0;
  double cpu_s = 0;   // CPU time of this process, without the checks
  std::string error;  // error of the first lost call
  Lengths lengths;
};

Measurement measure(Session& session, const Plan& plan);

}  // namespace bench
