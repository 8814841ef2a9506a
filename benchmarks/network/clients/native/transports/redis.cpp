// Redis lists as a queue, with hiredis: RPUSH and BLPOP are sent together, on one connection per
// worker.
#include <hiredis/hiredis.h>

#include <cstdio>
#include <random>
#include <stdexcept>

#include "transport.h"

namespace bench {
namespace {

struct ContextCloser {
  void operator()(redisContext* context) const { redisFree(context); }
};
struct ReplyCloser {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using Reply = std::unique_ptr<redisReply, ReplyCloser>;

class Redis : public Transport {
 public:
  Redis(int port, std::string list) : list_(std::move(list)), client_(std::random_device()()) {
    context_.reset(redisConnectWithTimeout("127.0.0.1", port, {kPatienceSeconds, 0}));
    if (context_ == nullptr || context_->err != 0) fail();
    redisSetTimeout(context_.get(), {kPatienceSeconds + 1, 0});  // slightly longer than BLPOP waits
  }

  void call(const std::string& request, std::string& response) override {
    char reply_name[24];
    std::snprintf(reply_name, sizeof reply_name, "reply.%08x%08x", client_, ++calls_);
    const std::string_view id(reply_name + 6, 16);
    message_.assign(id);
    message_ += request;
    append({"RPUSH", list_, message_});
    append({"BLPOP", reply_name, std::to_string(kPatienceSeconds)});
    if (const Reply pushed = next(); pushed->type != REDIS_REPLY_INTEGER)
      throw std::runtime_error("redis: expected a number from RPUSH");
    const Reply taken = next();
    if (taken->type != REDIS_REPLY_ARRAY || taken->elements != 2)
      throw std::runtime_error("redis: no answer came in time");
    response.assign(taken->element[1]->str, taken->element[1]->len);
  }

 private:
  void append(std::initializer_list<std::string_view> words) {
    const char* texts[3];
    size_t lengths[3];
    int count = 0;
    for (const std::string_view word : words) {
      texts[count] = word.data();
      lengths[count++] = word.size();
    }
    if (redisAppendCommandArgv(context_.get(), count, texts, lengths) != REDIS_OK) fail();
  }

  Reply next() {
    void* reply = nullptr;
    if (redisGetReply(context_.get(), &reply) != REDIS_OK || reply == nullptr) fail();
    return Reply(static_cast<redisReply*>(reply));
  }

  [[noreturn]] void fail() const {
    throw std::runtime_error(std::string("redis: ") +
                             (context_ == nullptr ? "no memory" : context_->errstr));
  }

  std::string list_;
  unsigned client_;
  unsigned calls_ = 0;
  std::unique_ptr<redisContext, ContextCloser> context_;
  std::string message_;
};

class RedisConnector : public Connector {
 public:
  explicit RedisConnector(const Opening& opening)
      : port_(opening.number("port")), list_("requests." + opening.workload.name) {}
  std::unique_ptr<Transport> connect() override { return std::make_unique<Redis>(port_, list_); }

 private:
  int port_;
  std::string list_;
};

const RegisterTransport kRedis("redis", [](const Opening& opening) -> std::unique_ptr<Connector> {
  return std::make_unique<RedisConnector>(opening);
});

}  // namespace
}  // namespace bench
