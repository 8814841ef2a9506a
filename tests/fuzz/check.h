// The invariant of every fuzz target: an input succeeds, or fails with an Error of a known status
// and a message of one line of UTF-8.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/text/utf8.h"
#include "core/error.h"

namespace fuzz {

inline void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "invariant broken: %s\n", what);
  std::abort();
}

inline void check_faults(const sidecall::Error& error) {
  require(error.num_faults() >= error.faults().size(), "no more faults than were counted");
  for (const sidecall::Fault& fault : error.faults()) {
    require(sidecall::is_utf8(fault.name) && sidecall::is_utf8(fault.expected) &&
                sidecall::is_utf8(fault.got),
            "faults in UTF-8");
  }
}

inline void check(const sidecall::Error& error) {
  const std::string message = error.what();
  require(error.status() != SIDECALL_OK && error.status() != SIDECALL_INTERNAL,
          "a status of its own");
  require(std::strcmp(sidecall::status_name(error.status()), "UNKNOWN") != 0, "a known status");
  require(!message.empty() && sidecall::is_utf8(message), "a message in UTF-8");
  require(message.find('\n') == std::string::npos, "a message of one line");
  check_faults(error);
}

// Runs `body`. If it throws anything but an Error, the process ends. Returns true if it throws
// nothing.
template <typename Body>
bool run(Body body) {
  try {
    body();
    return true;
  } catch (const sidecall::Error& error) {
    check(error);
    return false;
  }
}

}  // namespace fuzz
