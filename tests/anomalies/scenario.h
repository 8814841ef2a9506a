// A scenario of the campaign: a few calls of the C API that must end in success or in a typed
// error, whichever allocation or system call fails.
#pragma once

#include <sidecall/server.h>
#include <sidecall/sidecall.h>

#include <functional>
#include <string>
#include <vector>

namespace anomalies {

struct Outcome {
  sidecall_status status = SIDECALL_OK;
  std::string text;  // the message of an error, or what is wrong with an answer
  bool is_wrong = false;
};

struct Scenario {
  std::string name;
  // Prepares what `run` needs, without failures. Runs once in each process.
  std::function<void()> before;
  std::function<Outcome()> run;
  // True if a run takes long. Then only the first call at each call site fails, with each error. In
  // other scenarios every call fails.
  bool is_slow = false;
  // True if runs fill a cache that has a limit, such as the table with which HTTP/2 packs headers,
  // or connections that have ended and that libcurl has not looked at yet. Only more than such a
  // cache can hold counts as a leak then.
  bool fills_cache = false;
};

// `models` is the folder tests/vectors/models; `folder` is a new one for sockets; `program` is this
// program, which scenarios start as a server of their own.
std::vector<Scenario> make_scenarios(const std::string& models, const std::string& folder,
                                     const std::string& program);

// Serves the penguins model at the address until standard input ends; see Peer. Without an address,
// it is the child process of an exec: client and ends with it. Returns the exit code.
int serve_peer(const std::string& models, const std::string& address);

}  // namespace anomalies
