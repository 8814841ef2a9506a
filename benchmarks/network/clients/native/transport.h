// Defines a transport: a file of transports/ that registers itself by name. Used by session.cpp and
// transports/.
//
// Most transports move bytes; they implement Transport and Connector, and register with
// RegisterTransport. Transports whose users never see bytes (sidecall, gRPC, generated code)
// implement Approach and register with RegisterApproach.
#pragma once

#include <rapidjson/document.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "workload.h"

namespace bench {

constexpr int kPatienceSeconds = 30;  // an answer that has not arrived by then is lost

struct Opening {
  const Workload& workload;
  int64_t rows;
  std::string body;
  const rapidjson::Value& at;

  // Returns a member of `at`; throws if it is missing.
  std::string text(const char* name) const;
  std::vector<std::string> texts(const char* name) const;
  int number(const char* name) const;
  bool has(const char* name) const { return at.IsObject() && at.HasMember(name); }
};

struct Lengths {
  int64_t request = 0;
  int64_t response = 0;
};

// The connection of one worker. Only one thread at a time uses a caller.
class Caller {
 public:
  virtual ~Caller() = default;
  // Converts the caller's row to the caller's answer; `answer` is empty before. Throws
  // std::exception if the call fails.
  virtual void call(int64_t first_row, Answer& answer) = 0;
  // The lengths of the bodies of the last call.
  virtual Lengths lengths() const { return {}; }
};

// The state that all workers share: a model, a channel, or nothing. It outlives its callers.
class Approach {
 public:
  virtual ~Approach() = default;
  // Several threads may connect at once: a worker makes a new connection after a lost call.
  virtual std::unique_ptr<Caller> connect() = 0;
  // The file in the workload's folder with the expected answers of this approach; null: the usual
  // file.
  virtual const char* expected() const { return nullptr; }
};

// A connection that moves bytes.
class Transport {
 public:
  virtual ~Transport() = default;
  // Sends `request` and waits for its answer. Throws std::exception if no answer arrives.
  virtual void call(const std::string& request, std::string& response) = 0;
};

// The state that the transports of one opening share. It outlives these transports. It also
// outlives the Opening, so it copies what it needs from there.
class Connector {
 public:
  virtual ~Connector() = default;
  // Several threads may connect at once.
  virtual std::unique_ptr<Transport> connect() = 0;
};

using OpenApproach = std::unique_ptr<Approach> (*)(const Opening&);
using OpenConnector = std::unique_ptr<Connector> (*)(const Opening&);

// Each file of transports/ has one static object of these types.
struct RegisterApproach {
  RegisterApproach(const char* name, OpenApproach open);
};
struct RegisterTransport {
  RegisterTransport(const char* name, OpenConnector open);
};

// Throws if this program was built without the transport.
std::unique_ptr<Approach> open_approach(const std::string& transport, const Opening& opening);

}  // namespace bench
