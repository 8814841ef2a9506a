// Runs the test vectors over shared memory, HTTP or gRPC: this process serves each model, and
// another backend opens the model through the server's socket.
#include <sidecall/server.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "vector_runner.h"

namespace vectors {
namespace {

void check(sidecall_status status, const sidecall_error& error) {
  if (status != SIDECALL_OK) throw Failure{error};
}

int num_servers = 0;

// A server of one model, at an address of its own. If SIDECALL_TEST_SERVE names the sidecall
// command, it serves over shared memory in its sandbox; otherwise this process serves.
class Server {
 public:
  // A faulty model file fails here, before anything is served. The error must be the same as in
  // process.
  Server(const std::string& scheme, const Case& one)
      : is_shm_(scheme == "shm"),
        path_("/tmp/sidecall-vectors-" + std::to_string(getpid()) + "-" +
              std::to_string(++num_servers) + ".sock"),
        address_(scheme + (is_shm_ ? ":" : "+unix:") + path_) {
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
    const char* const command = std::getenv("SIDECALL_TEST_SERVE");
    const sidecall_status status =
        command != nullptr && is_shm_
            ? start(command, one, &error)
            : sidecall_server_open((address_ + (is_shm_ ? "" : "?name=model")).c_str(), model,
                                   nullptr, &server_, &error);
    sidecall_model_close(model);
    check(status, error);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    sidecall_server_close(server_);
    if (process_ > 0) {
      kill(process_, SIGTERM);
      waitpid(process_, nullptr, 0);
    }
    unlink((path_ + ".lock").c_str());  // servers leave it
  }

  std::string uri() const { return is_shm_ ? address_ : address_ + "/model"; }

 private:
  sidecall_status start(const char* command, const Case& one, sidecall_error* error) {
    process_ = fork();
    if (process_ == 0) {
      const char* const verify[] = {"error", "warn", "off"};
      setenv("SIDECALL_VERIFY", verify[one.verify], 1);
      execl(command, command, "serve", one.uri.c_str(), "--at", address_.c_str(),
            "--sandbox=require", "--log-level=error", nullptr);
      _exit(127);
    }
    sidecall_text* text = nullptr;
    const sidecall_status status =
        sidecall_server_query(address_.c_str(), int64_t{10} * 1000 * 1000 * 1000, &text, error);
    sidecall_text_close(text);
    return status;
  }

  const bool is_shm_;
  const std::string path_, address_;
  sidecall_server* server_ = nullptr;
  pid_t process_ = 0;
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

class ServedBackend : public Backend {
 public:
  ServedBackend(std::string scheme, std::unique_ptr<Backend> inner)
      : scheme_(std::move(scheme)), inner_(std::move(inner)) {}

  std::unique_ptr<Model> open(const Case& one) override {
    auto server = std::make_unique<Server>(scheme_, one);
    Case over = one;
    over.uri = server->uri();
    over.as_bytes = false;
    auto model = inner_->open(over);
    return std::make_unique<ServedModel>(std::move(server), std::move(model));
  }

 private:
  const std::string scheme_;
  std::unique_ptr<Backend> inner_;
};

}  // namespace

std::unique_ptr<Backend> over(const std::string& scheme, std::unique_ptr<Backend> inner) {
  return std::make_unique<ServedBackend>(scheme, std::move(inner));
}

}  // namespace vectors
