// RabbitMQ's direct reply-to with librabbitmq: one connection and channel per worker, transient
// messages, no acknowledgements.
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/tcp_socket.h>

#include <stdexcept>

#include "transport.h"

namespace bench {
namespace {

constexpr amqp_channel_t kChannel = 1;
const timeval kPatience{kPatienceSeconds, 0};

struct StateCloser {
  void operator()(amqp_connection_state_t state) const { amqp_destroy_connection(state); }
};

amqp_bytes_t bytes_of(const std::string& text) {
  return {text.size(), const_cast<char*>(text.data())};
}

class Amqp : public Transport {
 public:
  Amqp(const std::string& host, int port, std::string queue)
      : queue_(std::move(queue)), state_(amqp_new_connection()) {
    amqp_socket_t* socket =
        // state_ owns the socket; librabbitmq turns Nagle's algorithm off
        amqp_tcp_socket_new(state_.get());
    if (socket == nullptr) throw std::runtime_error("amqp: no memory");
    check(amqp_socket_open_noblock(socket, host.c_str(), port, &kPatience), "connect");
    check(amqp_login(state_.get(), "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest"),
          "login");
    amqp_channel_open(state_.get(), kChannel);
    check(amqp_get_rpc_reply(state_.get()), "channel");
    amqp_basic_consume(state_.get(), kChannel, bytes_of(kReplies), amqp_empty_bytes, 0, 1, 0,
                       amqp_empty_table);
    check(amqp_get_rpc_reply(state_.get()), "consume");
  }

  void call(const std::string& request, std::string& response) override {
    const std::string id = std::to_string(++calls_);
    amqp_basic_properties_t properties{};
    properties._flags =
        AMQP_BASIC_REPLY_TO_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG;
    properties.reply_to = bytes_of(kReplies);
    properties.correlation_id = bytes_of(id);
    properties.delivery_mode = AMQP_DELIVERY_NONPERSISTENT;
    check(amqp_basic_publish(state_.get(), kChannel, amqp_empty_bytes, bytes_of(queue_), 0, 0,
                             &properties, bytes_of(request)),
          "publish");
    amqp_maybe_release_buffers(state_.get());
    amqp_envelope_t envelope;
    check(amqp_consume_message(state_.get(), &envelope, &kPatience, 0), "answer");
    const amqp_bytes_t got = envelope.message.properties.correlation_id;
    const bool is_ours = std::string_view(static_cast<const char*>(got.bytes), got.len) == id;
    response.assign(static_cast<const char*>(envelope.message.body.bytes),
                    envelope.message.body.len);
    amqp_destroy_envelope(&envelope);
    if (!is_ours) throw std::runtime_error("amqp: expected our correlation id, got another");
  }

 private:
  static void check(int status, const char* what) {
    if (status != AMQP_STATUS_OK)
      throw std::runtime_error(std::string("amqp: ") + what + ": " + amqp_error_string2(status));
  }

  static void check(const amqp_rpc_reply_t& reply, const char* what) {
    if (reply.reply_type == AMQP_RESPONSE_NORMAL) return;
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) check(reply.library_error, what);
    throw std::runtime_error(std::string("amqp: ") + what + ": refused by the server");
  }

  const std::string kReplies = "amq.rabbitmq.reply-to";
  std::string queue_;
  std::unique_ptr<std::remove_pointer_t<amqp_connection_state_t>, StateCloser> state_;
  uint64_t calls_ = 0;
};

class AmqpConnector : public Connector {
 public:
  explicit AmqpConnector(const Opening& opening)
      : host_(opening.text("host")),
        port_(opening.number("port")),
        queue_(opening.text("queue") + "." + opening.workload.name) {}
  std::unique_ptr<Transport> connect() override {
    return std::make_unique<Amqp>(host_, port_, queue_);
  }

 private:
  std::string host_;
  int port_;
  std::string queue_;
};

const RegisterTransport kAmqp("amqp", [](const Opening& opening) -> std::unique_ptr<Connector> {
  return std::make_unique<AmqpConnector>(opening);
});

}  // namespace
}  // namespace bench
