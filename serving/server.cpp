// Describes a model or function to the channel, and opens the address of the server; see server.h.
#include "server.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "core/artifact/sha256.h"
#include "core/contract/contract.h"
#include "core/contract/signature_json.h"
#include "core/error.h"
#include "engines/oip/engine.h"
#include "engines/shm/engine.h"
#include "engines/shm/errors.h"
#include "function.h"
#include "network.h"
#include "options.h"

namespace sidecall {
namespace {

std::array<uint8_t, 32> digest_of(const std::string& text) {
  Sha256 sha;
  sha.update(text);
  const std::string hex = sha.hex();
  std::array<uint8_t, 32> digest{};
  for (size_t i = 0; i < digest.size(); ++i)
    digest[i] = static_cast<uint8_t>(std::stoul(hex.substr(2 * i, 2), nullptr, 16));
  return digest;
}

// The id of the model, or "" if it is not a SHA-256 digest: the channel can only send digests.
std::string id_of(const Model& model) {
  const std::string& id = model.id();
  const bool is_digest =
      id.size() == 64 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
  return is_digest ? id : "";
}

shm::Service describe_service(const Model& model, std::vector<bool> in_place) {
  shm::Service service;
  const Contract* contract = model.contract();
  service.signature = signature_text(model.signature());
  service.signature_digest = digest_of(service.signature);
  service.model_id = id_of(model);
  service.inputs = model.signature().inputs;
  service.outputs = model.signature().outputs;
  service.in_place = std::move(in_place);
  if (contract == nullptr) return service;
  service.name = contract->name;
  service.version = contract->version;
  service.contract = contract->text;
  service.is_verified = model.is_verified();
  return service;
}

std::string given_text(const char* text, size_t length) {
  return text == nullptr ? std::string() : std::string(text, length);
}

// Makes a Model of core from a function and its signature, its contract, or both. Runs the golden
// rows of the contract through the function, unless `verification` turns that off.
std::shared_ptr<const Model> model_of(const sidecall_service& service,
                                      const sidecall_model_options& verification,
                                      shm::LogFunction log) {
  std::vector<TensorSpec> inputs, outputs;
  const std::string contract = given_text(service.contract, service.contract_length);
  if (service.signature != nullptr) {
    read_signature_text(given_text(service.signature, service.signature_length), "signature",
                        SIDECALL_CONTRACT_INVALID, &inputs, &outputs);
  } else {
    require(service.contract != nullptr,
            "service: expected a signature or a contract, got neither");
    tensors_of_contract(contract, "contract", &inputs, &outputs);
  }
  Origin origin;
  origin.label = "contract";
  if (service.contract != nullptr) origin.contract = contract;
  auto engine = std::make_unique<FunctionEngine>(std::move(inputs), std::move(outputs),
                                                 service.handler, service.context, std::move(log));
  return Model::from_engine(std::move(engine), origin, verification);
}

std::vector<bool> in_place_or_none(std::vector<bool> in_place, const Model& model,
                                   const sidecall_server_options& options) {
  if (options.copy_inputs == SIDECALL_COPY_ALWAYS)
    in_place.assign(model.signature().inputs.size(), false);
  return in_place;
}

// Only a worker, whose connections come from its supervisor, can be replaced.
void require_no_max_run(const char* at, const sidecall_server_options& options) {
  require(at == nullptr || options.max_run_ns == 0,
          "options.max_run_ns: expected 0, because no supervisor can replace the process of this "
          "server: set it for workers");
}

// A file has no effects. Its engine runs in this process; other models are in another one.
Execution execution_of(const Model& model) {
  const bool is_file = model.file() != nullptr;
  return {is_file, is_file, {}, {}};
}

// A server in front of another one, its backend, which drains it before it ends itself.
class Frontend final : public Server {
 public:
  Frontend(std::unique_ptr<Server> server, std::shared_ptr<Frontends> frontends)
      : server_(std::move(server)), frontends_(std::move(frontends)) {
    frontends_->add(server_.get());
  }
  // In a forked child another thread may have held the lock.
  ~Frontend() override {
    if (!mark_.is_forked()) frontends_->remove(server_.get());
  }
  std::string status() const override { return server_->status(); }
  void start() override { server_->start(); }
  bool drain(int64_t timeout_ns) override { return server_->drain(timeout_ns); }
  int ended_fd() const noexcept override { return server_->ended_fd(); }

 private:
  const std::unique_ptr<Server> server_;
  const std::shared_ptr<Frontends> frontends_;
  const shm::ForkMark mark_;
};

// A function that is served over the network only. It runs on the threads of a server without an
// address, as it does behind shm:, so that no more threads call it than the options say.
class ServerWithFrontend final : public Server {
 public:
  ServerWithFrontend(std::unique_ptr<ModelServer> backend, const char* at,
                     const sidecall_model_options& defaults, const sidecall_server_options& options,
                     const std::shared_ptr<ServerLog>& log)
      : backend_(std::move(backend)),
        frontend_(serve_frontend(at, &backend_->backend(), defaults, options, log)) {}

  std::string status() const override {
    std::string text = backend_->status();
    text.pop_back();  // the closing brace
    return text + ",\"network\":[" + frontend_->status() + "]}";
  }
  void start() override { frontend_->start(); }
  bool drain(int64_t timeout_ns) override { return backend_->drain(timeout_ns); }
  int ended_fd() const noexcept override { return backend_->ended_fd(); }
  Backend& backend() override { return backend_->backend(); }

 private:
  std::unique_ptr<ModelServer> backend_;
  std::unique_ptr<Server> frontend_;  // destroyed first
};

}  // namespace

std::unique_ptr<Server> serve_frontend(const char* at, Backend* backend,
                                       const sidecall_model_options& defaults,
                                       const sidecall_server_options& options,
                                       std::shared_ptr<ServerLog> log) {
  if (!is_network(at))
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "at: expected an address for HTTP or gRPC, got '" + std::string(at) + "'");
  const Execution execution{false, false, backend->direct().is_ready, backend->direct().num_hung};
  return std::make_unique<Frontend>(
      std::make_unique<NetworkServer>(at, backend->model(defaults), execution, options,
                                      std::move(log)),
      backend->frontends());
}

void Frontends::add(Server* frontend) {
  const std::lock_guard lock(mutex_);
  frontends_.push_back(frontend);
}

void Frontends::remove(Server* frontend) noexcept {
  const std::lock_guard lock(mutex_);
  frontends_.erase(std::remove(frontends_.begin(), frontends_.end(), frontend), frontends_.end());
}

// Does not hold the lock while it waits, so that a server in front can be closed meanwhile.
bool Frontends::drain(shm::Deadline deadline) {
  constexpr int64_t kInterval = 5 * 1000 * 1000;
  for (;;) {
    bool is_done = true;
    {
      const std::lock_guard lock(mutex_);
      for (Server* const frontend : frontends_) is_done = frontend->drain(0) && is_done;
    }
    if (is_done || deadline.passed()) return is_done;
    shm::sleep_until(shm::Deadline::earlier(shm::Deadline::after(kInterval), deadline));
  }
}

std::shared_ptr<const Model> Backend::model(const sidecall_model_options& defaults) {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const Model> model = model_.lock();
  if (model == nullptr) model_ = model = open_direct("model", direct_, defaults);
  return model;
}

Backend& Server::backend() {
  throw Error(
      SIDECALL_UNSUPPORTED,
      "backend: this server has no address at shm: and serves no function: open one that does");
}

ModelServer::ModelServer(const char* at, const std::shared_ptr<const Model>& model,
                         std::vector<bool> in_place, const sidecall_server_options& options,
                         std::shared_ptr<ServerLog> log)
    : log_(std::move(log)),
      handler_(model),
      server_(describe_service(*model, in_place_or_none(std::move(in_place), *model, options)),
              &handler_, channel_options(options, log_function(log_))),
      backend_(server_.direct()) {
  try {
    if (at == nullptr) {
      // The parent process connects.
      server_.control(inherited_control_socket(),
                      options.drain_ns == 0 ? kDefaultDrainNs : options.drain_ns,
                      options.start_later == 0);
    } else if (at != kNoAddress) {
      server_.listen(address_of(at), options.start_later == 0);
    }
  } catch (...) {
    log_->silence();
    throw;
  }
}

std::string ModelServer::status() const {
  return with_core_errors([&] { return server_.status(); });
}

void ModelServer::start() {
  with_core_errors([&] { server_.accept(); });
}

bool ModelServer::drain(int64_t timeout_ns) {
  return with_core_errors([&] {
    const shm::Deadline deadline = shm::Deadline::after(timeout_ns);
    server_.drain_others();
    const bool is_done = backend_.frontends()->drain(deadline);
    return server_.drain(deadline) && is_done;
  });
}

std::unique_ptr<Server> serve_model(const char* at, const std::shared_ptr<const Model>& model,
                                    const sidecall_server_options& options,
                                    const std::shared_ptr<ServerLog>& log) {
  require_no_max_run(at, options);
  if (at != nullptr && is_network(at))
    return std::make_unique<NetworkServer>(at, model, execution_of(*model), options, log);
  std::vector<bool> in_place;
  if (const OnnxFile* file = model->file()) in_place = model->engine().readable_in_place(*file);
  return with_core_errors(
      [&] { return std::make_unique<ModelServer>(at, model, std::move(in_place), options, log); });
}

std::unique_ptr<Server> serve_function(const char* at, const sidecall_service& service,
                                       const sidecall_model_options& verification,
                                       const sidecall_server_options& options,
                                       const std::shared_ptr<ServerLog>& log) {
  require_no_max_run(at, options);
  const std::shared_ptr<const Model> model = model_of(service, verification, log_function(log));
  // Numeric inputs are read in place: server.h documents that a client may change them at any
  // moment. Bool inputs are copied all the same: a bool that is neither 0 nor 1 is undefined
  // behaviour for compilers and libraries, so the bytes must not change after they were checked.
  std::vector<bool> in_place;
  for (const TensorSpec& input : model->signature().inputs)
    in_place.push_back(input.dtype != SIDECALL_DTYPE_BOOL);
  const auto serve = [&](const char* where) {
    return with_core_errors([&] {
      return std::make_unique<ModelServer>(where, model, std::move(in_place), options, log);
    });
  };
  if (at == nullptr || !is_network(at)) return serve(at);
  return std::make_unique<ServerWithFrontend>(serve(ModelServer::kNoAddress), at, verification,
                                              options, log);
}

}  // namespace sidecall
