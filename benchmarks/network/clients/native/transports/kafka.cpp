// Request-reply over the Kafka protocol with librdkafka: one producer and one consumer for all
// workers; the key identifies a reply.
#include <librdkafka/rdkafka.h>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <random>
#include <stdexcept>
#include <thread>

#include "transport.h"

namespace bench {
namespace {

constexpr int kPatienceMs = kPatienceSeconds * 1000;

struct Closer {
  void operator()(rd_kafka_t* handle) const { rd_kafka_destroy(handle); }
  void operator()(rd_kafka_message_t* message) const { rd_kafka_message_destroy(message); }
  void operator()(rd_kafka_topic_partition_list_t* list) const {
    rd_kafka_topic_partition_list_destroy(list);
  }
};
using Handle = std::unique_ptr<rd_kafka_t, Closer>;

void check(rd_kafka_resp_err_t code, const char* what) {
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
    throw std::runtime_error(std::string("kafka: ") + what + ": " + rd_kafka_err2str(code));
}

Handle make(rd_kafka_type_t type, const std::map<std::string, std::string>& settings) {
  char error[512];
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  for (const auto& [name, value] : settings) {
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), error, sizeof error) ==
        RD_KAFKA_CONF_OK)
      continue;
    rd_kafka_conf_destroy(conf);
    throw std::runtime_error(std::string("kafka: ") + error);
  }
  rd_kafka_t* made = rd_kafka_new(type, conf, error, sizeof error);
  if (made == nullptr) {
    rd_kafka_conf_destroy(conf);
    throw std::runtime_error(std::string("kafka: ") + error);
  }
  return Handle(made);
}

// A call in progress.
struct Waiting {
  std::string* response = nullptr;
  bool is_answered = false;
  std::condition_variable answered;
};

class Broker : public Connector {
 public:
  explicit Broker(const Opening& opening)
      : topic_(opening.text("topic") + "-" + opening.workload.name), next_(first_id()) {
    const std::string bootstrap = opening.text("bootstrap");
    // Do not wait for a batch; fetches wait as clients/README.md says.
    producer_ = make(RD_KAFKA_PRODUCER, {{"bootstrap.servers", bootstrap},
                                         {"linger.ms", "0"},
                                         {"acks", "1"},
                                         {"message.max.bytes", "8388608"},
                                         {"socket.nagle.disable", "true"}});
    consumer_ = make(RD_KAFKA_CONSUMER, {{"bootstrap.servers", bootstrap},
                                         {"group.id", "bench-native"},
                                         {"enable.auto.commit", "false"},
                                         {"fetch.min.bytes", "1"},
                                         {"fetch.wait.max.ms", "1"},
                                         {"fetch.queue.backoff.ms", "0"},
                                         {"fetch.message.max.bytes", "8388608"},
                                         {"socket.nagle.disable", "true"}});
    listen(topic_ + "-replies");
    reader_ = std::thread([this] { read(); });
  }

  ~Broker() override {
    ends_ = true;
    reader_.join();
    rd_kafka_consumer_close(consumer_.get());
  }

  std::unique_ptr<Transport> connect() override;

  void call(const std::string& request, std::string& response) {
    const uint64_t id = next_++;
    Waiting waiting;
    waiting.response = &response;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      waiting_[id] = &waiting;
    }
    const auto code = rd_kafka_producev(
        producer_.get(), RD_KAFKA_V_TOPIC(topic_.c_str()), RD_KAFKA_V_PARTITION(0),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(&id, sizeof id),
        RD_KAFKA_V_VALUE(const_cast<char*>(request.data()), request.size()), RD_KAFKA_V_END);
    std::unique_lock<std::mutex> lock(mutex_);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
      waiting.answered.wait_for(lock, std::chrono::seconds(kPatienceSeconds),
                                [&] { return waiting.is_answered; });
    waiting_.erase(id);
    check(code, "produce");
    if (!waiting.is_answered) throw std::runtime_error("kafka: no answer came in time");
  }

 private:
  // Start at a random number, because replies to an earlier client may still be in the topic.
  static uint64_t first_id() { return static_cast<uint64_t>(std::random_device()()) << 32; }

  // Reads from the present end of the topic; older replies are for other clients.
  void listen(const std::string& topic) {
    int64_t low = 0;
    int64_t high = 0;
    check(rd_kafka_query_watermark_offsets(consumer_.get(), topic.c_str(), 0, &low, &high,
                                           kPatienceMs),
          topic.c_str());
    const std::unique_ptr<rd_kafka_topic_partition_list_t, Closer> assigned(
        rd_kafka_topic_partition_list_new(1));
    rd_kafka_topic_partition_list_add(assigned.get(), topic.c_str(), 0)->offset = high;
    rd_kafka_poll_set_consumer(consumer_.get());
    check(rd_kafka_assign(consumer_.get(), assigned.get()), "assign");
  }

  void read() {
    while (!ends_) {
      // handles delivery reports, which would otherwise accumulate
      rd_kafka_poll(producer_.get(), 0);
      const std::unique_ptr<rd_kafka_message_t, Closer> message(
          rd_kafka_consumer_poll(consumer_.get(), 50));
      uint64_t id = 0;
      if (message == nullptr || message->err != RD_KAFKA_RESP_ERR_NO_ERROR ||
          message->key_len != sizeof id)
        continue;
      std::memcpy(&id, message->key, sizeof id);
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto found = waiting_.find(id);
      if (found == waiting_.end()) continue;  // the reply arrived too late
      found->second->response->assign(static_cast<const char*>(message->payload), message->len);
      found->second->is_answered = true;
      found->second->answered.notify_one();
    }
  }

  std::string topic_;
  Handle producer_;
  Handle consumer_;
  std::atomic<uint64_t> next_;
  std::atomic<bool> ends_{false};
  std::mutex mutex_;  // protects waiting_ and the objects that it points to
  std::map<uint64_t, Waiting*> waiting_;
  std::thread reader_;
};

class Kafka : public Transport {
 public:
  explicit Kafka(Broker& broker) : broker_(broker) {}
  void call(const std::string& request, std::string& response) override {
    broker_.call(request, response);
  }

 private:
  Broker& broker_;
};

std::unique_ptr<Transport> Broker::connect() { return std::make_unique<Kafka>(*this); }

const RegisterTransport kKafka("kafka", [](const Opening& opening) -> std::unique_ptr<Connector> {
  return std::make_unique<Broker>(opening);
});

}  // namespace
}  // namespace bench
