// What a transport is: one file of transports/, which registers itself by name. Used by session.cpp and transports/.
//
// Most transports move bytes: a Transport and `register_transport`. Those whose users never see bytes (sidecall, gRPC, generated code) are an Approach.
#pragma once

#include <rapidjson/document.h>

#include <cstdint>
#include <memory>
#include <string>

#include "workload.h"

namespace bench {

constexpr int kPatienceSeconds = 30;  // an answer that has not come by then is lost

struct Opening {
  const Workload& workload;
  int64_t rows;
  std::string body;
  const rapidjson::Value& at;

  // A member of `at`; throws where it is missing.
  std::string text(const char* name) const;
  int number(const char* name) const;
  bool has(const char* name) const { return at.IsObject() && at.HasMember(name); }
};

struct Lengths {
  int64_t request = 0;
  int64_t response = 0;
};

// What one worker calls with; made in its turn by one thread, used by one thread at a time.
class Caller {
 public:
  virtual ~Caller() = default;
  // From the caller's row to the caller's answer; `answer` is empty before. Throws std::exception where the call failed.
  virtual void call(int64_t first_row, Answer& answer) = 0;
  // The bodies of the last call.
  virtual Lengths lengths() const { return {}; }
};

// What all workers share: a model, a channel, or nothing. Outlives its callers.
class Approach {
 public:
  virtual ~Approach() = default;
  virtual std::unique_ptr<Caller> connect() = 0;
  // The file of the folder that holds what this approach must answer.
  virtual const char* expected() const { return nullptr; }
};

// A connection that moves bytes.
class Transport {
 public:
  virtual ~Transport() = default;
  // Sends `request` and waits for its answer. Throws std::exception where none came.
  virtual void call(const std::string& request, std::string& response) = 0;
};

// What the transports of one opening share. Outlives them, and not the Opening.
class Connector {
 public:
  virtual ~Connector() = default;
  virtual std::unique_ptr<Transport> connect() = 0;
};

using OpenApproach = std::unique_ptr<Approach> (*)(const Opening&);
using OpenConnector = std::unique_ptr<Connector> (*)(const Opening&);

// Static objects, one in each file of transports/.
struct RegisterApproach {
  RegisterApproach(const char* name, OpenApproach open);
};
struct RegisterTransport {
  RegisterTransport(const char* name, OpenConnector open);
};

// Throws where this program was built without the transport.
std::unique_ptr<Approach> open_approach(const std::string& transport, const Opening& opening);

}  // namespace bench
