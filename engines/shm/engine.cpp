// Implements the engine behind shm: and exec: URIs; see engine.h.
#include "engine.h"

#include <string_view>
#include <utility>

#include "base/text/uri.h"
#include "context.h"
#include "core/clock.h"
#include "core/contract/signature_json.h"
#include "core/engine.h"
#include "core/error.h"
#include "errors.h"
#include "shm/client/endpoint.h"

namespace sidecall {
namespace {

constexpr std::string_view kExec = "exec";

class RemoteEngine final : public Engine {
 public:
  RemoteEngine(std::unique_ptr<RemoteShared> shared, std::string label)
      : shared_(std::move(shared)), label_(std::move(label)) {}

  void describe(std::vector<TensorSpec>* inputs, std::vector<TensorSpec>* outputs) const override {
    *inputs = shared_->inputs;
    *outputs = shared_->outputs;
  }
  Route route() const noexcept override { return Route::kOtherProcess; }
  std::unique_ptr<ExecutionContext> make_context(bool lends_connection) const override {
    return std::make_unique<ShmContext>(shared_.get(), lends_connection);
  }
  std::string version() const override { return label_; }
  std::string model_id() const override { return shared_->client.model_id(); }

 private:
  const std::unique_ptr<RemoteShared> shared_;
  const std::string label_;  // "server 'shm:fraud'"
};

std::unique_ptr<shm::Endpoint> endpoint_of(const std::string& uri,
                                           const sidecall_model_options& options) {
  if (const auto address = shm_address(uri)) return shm::make_socket_endpoint(*address);
  if (options.allow_exec == 0) {
    throw Error(
        SIDECALL_INVALID_ARGUMENT,
        "uri 'exec:': expected allow_exec = 1, got 0: opening an exec: model starts a program");
  }
  return shm::make_child_endpoint(*after_scheme(uri, kExec));
}

// The title of a model without a name: "fraud" for shm:fraud and shm:/run/app/fraud.sock, "" for
// exec:.
std::string title_of(const std::string& uri) {
  if (!shm_address(uri)) return "";
  std::string name = uri.substr(uri.find_last_of(":/") + 1);
  constexpr std::string_view kEnding = ".sock";
  if (name.size() > kEnding.size() &&
      name.compare(name.size() - kEnding.size(), kEnding.size(), kEnding) == 0)
    name.resize(name.size() - kEnding.size());
  return name;
}

}  // namespace

std::optional<std::string_view> shm_address(std::string_view uri) noexcept {
  return after_scheme(uri, "shm");
}

bool is_remote(const std::string& uri) noexcept {
  return shm_address(uri) || after_scheme(uri, kExec);
}

namespace {

// `origin` has the label and the title. The rest of it comes from the server.
std::shared_ptr<const Model> open(std::unique_ptr<shm::Endpoint> endpoint, Origin origin,
                                  const sidecall_model_options& options) {
  return with_core_errors([&] {
    shm::ClientOptions client_options;
    client_options.wait_ns = options.wait_ns;
    shm::Deadline deadline = shm::Deadline::after(client_options.timeout_ns);
    auto shared = std::make_unique<RemoteShared>(std::move(endpoint), client_options);
    // With wait_ns the program may have waited longer than timeout_ns for a server to start. The
    // rest of the opening then gets the whole timeout_ns from here on.
    if (options.wait_ns != 0) deadline = shm::Deadline::after(client_options.timeout_ns);
    const shm::Served& served = shared->client.served();
    origin.is_verified = served.is_verified;
    if (served.has_contract) origin.contract = served.contract;
    const std::string_view signature = served.signature;
    read_signature_text(signature.substr(0, signature.find('\n')), origin.label, SIDECALL_PROTOCOL,
                        &shared->inputs, &shared->outputs);
    shared->client.set_outputs(shared->outputs);
    origin.deadline = deadline_after(deadline.left_ns());
    const auto model = Model::from_engine(
        std::make_unique<RemoteEngine>(std::move(shared), origin.label), origin, options);
    if (deadline.passed())
      throw Error(SIDECALL_TIMEOUT, origin.label + ": the model could not be opened in time");
    return model;
  });
}

}  // namespace

std::shared_ptr<const Model> open_remote(const std::string& uri,
                                         const sidecall_model_options& options) {
  Origin origin;
  origin.label = "server '" + (shm_address(uri) ? uri : std::string("exec:")) + "'";
  origin.title = title_of(uri);
  return open(with_core_errors([&] { return endpoint_of(uri, options); }), std::move(origin),
              options);
}

std::shared_ptr<const Model> open_direct(const std::string& label, shm::Direct direct,
                                         sidecall_model_options options) {
  Origin origin;
  origin.label = label;
  options.verify = SIDECALL_VERIFY_OFF;
  return open(shm::make_direct_endpoint(label, std::move(direct)), std::move(origin), options);
}

}  // namespace sidecall
