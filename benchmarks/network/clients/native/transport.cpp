// The registered transports by name, and an Approach that adds bodies to transports that move
// bytes.
#include "transport.h"

#include <map>
#include <stdexcept>

#include "body.h"

namespace bench {
namespace {

class BodyCaller : public Caller {
 public:
  BodyCaller(std::unique_ptr<Body> body, std::unique_ptr<Transport> transport)
      : body_(std::move(body)), transport_(std::move(transport)) {}

  void call(int64_t first_row, Answer& answer) override {
    request_.clear();
    response_.clear();
    body_->encode(first_row, request_);
    transport_->call(request_, response_);
    response_bytes_ = static_cast<int64_t>(response_.size());
    body_->decode(response_, answer);
  }

  Lengths lengths() const override {
    return {static_cast<int64_t>(request_.size()), response_bytes_};
  }

 private:
  std::unique_ptr<Body> body_;
  std::unique_ptr<Transport> transport_;
  std::string request_;
  std::string response_;
  int64_t response_bytes_ = 0;
};

class BodyApproach : public Approach {
 public:
  BodyApproach(const Opening& opening, std::unique_ptr<Connector> connector)
      : workload_(opening.workload),
        rows_(opening.rows),
        body_(opening.body),
        connector_(std::move(connector)) {}

  std::unique_ptr<Caller> connect() override {
    return std::make_unique<BodyCaller>(make_body(body_, workload_, rows_), connector_->connect());
  }

 private:
  const Workload& workload_;
  int64_t rows_;
  std::string body_;
  std::unique_ptr<Connector> connector_;
};

// These are functions, so that the maps exist before the static objects that fill them.
std::map<std::string, OpenApproach>& approaches() {
  static std::map<std::string, OpenApproach> all;
  return all;
}

std::map<std::string, OpenConnector>& connectors() {
  static std::map<std::string, OpenConnector> all;
  return all;
}

}  // namespace

RegisterApproach::RegisterApproach(const char* name, OpenApproach open) {
  approaches()[name] = open;
}
RegisterTransport::RegisterTransport(const char* name, OpenConnector open) {
  connectors()[name] = open;
}

std::unique_ptr<Approach> open_approach(const std::string& transport, const Opening& opening) {
  if (const auto found = approaches().find(transport); found != approaches().end())
    return found->second(opening);
  if (const auto found = connectors().find(transport); found != connectors().end())
    return std::make_unique<BodyApproach>(opening, found->second(opening));
  throw std::runtime_error("transport '" + transport + "' was not built");
}

std::string Opening::text(const char* name) const {
  if (!has(name) || !at[name].IsString())
    throw std::runtime_error(std::string("at.") + name + ": expected a string");
  return at[name].GetString();
}

std::vector<std::string> Opening::texts(const char* name) const {
  const std::string expected = std::string("at.") + name + ": expected a list of strings";
  if (!has(name) || !at[name].IsArray()) throw std::runtime_error(expected);
  std::vector<std::string> found;
  for (const rapidjson::Value& text : at[name].GetArray()) {
    if (!text.IsString()) throw std::runtime_error(expected);
    found.emplace_back(text.GetString());
  }
  if (found.empty()) throw std::runtime_error(expected + ", got an empty one");
  return found;
}

int Opening::number(const char* name) const {
  if (!has(name) || !at[name].IsInt())
    throw std::runtime_error(std::string("at.") + name + ": expected a whole number");
  return at[name].GetInt();
}

}  // namespace bench
