// The backend of the test vectors over shared memory: this process serves each model, and another
// backend opens it through its socket.
#include <sidecall/server.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "vector_runner.h"

namespace vectors {
namespace {

void check(sidecall_status status, const sidecall_error& error) {
  if (status != SIDECALL_OK) throw Failure{error};
}

// A server of one model, at its own address.
class Server {
 public:
  // A failure here is a failure of the model file, before anything is served. It must be the same
  // as in process.
  explicit Server(const Case& one)
      : address_("shm:/tmp/sidecall-vectors-" + std::to_string(getpid()) + ".sock") {
    sidecall_error error = SIDECALL_ERROR_INIT;
    sidecall_model_options options;
    sidecall_model_options_init(&options);
    options.verify = one.verify;
    sidecall_model* model = nullptr;
    const std::string bytes = one.as_bytes ? read_file(one.uri) : "";
    check(one.as_bytes
              ? sidecall_model_open_bytes(bytes.data(), bytes.size(), &options, &model, &error)
              : sidecall_model_open(one.uri.c_str(), &options, &model, &error),
          error);
    const sidecall_status status =
        sidecall_server_open(address_.c_str(), model, nullptr, &server_, &error);
    sidecall_model_close(model);
    check(status, error);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() { sidecall_server_close(server_); }

  const std::string& address() const { return address_; }

 private:
  const std::string address_;
  sidecall_server* server_ = nullptr;
};

class ServedModel : public Model {
 public:
  ServedModel(std::unique_ptr<Server> server, std::unique_ptr<Model> model)
      : server_(std::move(server)), model_(std::move(model)) {}
  Named run(const Named& inputs) override { return model_->run(inputs); }
  std::string predict_json(const std::string& json) override { return model_->predict_json(json); }
  rapidjson::Document predict(const rapidjson::Value& record) override {
    return model_->predict(record);
  }

 private:
  std::unique_ptr<Server> server_;
  std::unique_ptr<Model> model_;  // destroyed first
};

class ShmBackend : public Backend {
 public:
  explicit ShmBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

  std::unique_ptr<Model> open(const Case& one) override {
    auto server = std::make_unique<Server>(one);
    Case over = one;
    over.uri = server->address();
    over.as_bytes = false;
    auto model = inner_->open(over);
    return std::make_unique<ServedModel>(std::move(server), std::move(model));
  }

 private:
  std::unique_ptr<Backend> inner_;
};

}  // namespace

std::unique_ptr<Backend> over_shm(std::unique_ptr<Backend> inner) {
  return std::make_unique<ShmBackend>(std::move(inner));
}

}  // namespace vectors
