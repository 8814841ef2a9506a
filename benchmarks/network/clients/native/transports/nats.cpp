// NATS request-reply with nats.c. All workers share one connection, as the documentation of nats.c
// recommends; the connection sends each request immediately.
#include <nats/nats.h>

#include <stdexcept>

#include "transport.h"

namespace bench {
namespace {

void check(natsStatus status, const char* what) {
  if (status != NATS_OK)
    throw std::runtime_error(std::string("nats: ") + what + ": " + natsStatus_GetText(status));
}

struct Closer {
  void operator()(natsOptions* options) const { natsOptions_Destroy(options); }
  void operator()(natsConnection* connection) const { natsConnection_Destroy(connection); }
  void operator()(natsMsg* message) const { natsMsg_Destroy(message); }
};
using Connection = std::unique_ptr<natsConnection, Closer>;

class Nats : public Transport {
 public:
  Nats(natsConnection* connection, std::string subject)
      : connection_(connection), subject_(std::move(subject)) {}

  void call(const std::string& request, std::string& response) override {
    natsMsg* replied = nullptr;
    check(natsConnection_Request(&replied, connection_, subject_.c_str(), request.data(),
                                 static_cast<int>(request.size()), kPatienceSeconds * 1000),
          "request");
    const std::unique_ptr<natsMsg, Closer> reply(replied);
    response.assign(natsMsg_GetData(replied), static_cast<size_t>(natsMsg_GetDataLength(replied)));
  }

 private:
  natsConnection* connection_;
  std::string subject_;
};

class NatsConnector : public Connector {
 public:
  explicit NatsConnector(const Opening& opening) : subject_("predict." + opening.workload.name) {
    natsOptions* made = nullptr;
    check(natsOptions_Create(&made), "options");
    const std::unique_ptr<natsOptions, Closer> options(made);
    check(natsOptions_SetURL(made, opening.text("url").c_str()), "url");
    check(natsOptions_SetSendAsap(made, true), "options");
    check(natsOptions_SetAllowReconnect(made, false), "options");
    natsConnection* connected = nullptr;
    check(natsConnection_Connect(&connected, made), "connect");
    connection_.reset(connected);
  }

  std::unique_ptr<Transport> connect() override {
    return std::make_unique<Nats>(connection_.get(), subject_);
  }

 private:
  std::string subject_;
  Connection connection_;
};

const RegisterTransport kNats("nats", [](const Opening& opening) -> std::unique_ptr<Connector> {
  return std::make_unique<NatsConnector>(opening);
});

}  // namespace
}  // namespace bench
