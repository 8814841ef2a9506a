// Implements the engine behind http: and grpc: URIs; see engine.h.
#include "engine.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "base/process/fork_generation.h"
#include "base/text/uri.h"
#include "context.h"
#include "core/artifact/file_contract.h"
#include "core/artifact/onnx_file.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/platform.h"
#include "core/verify.h"
#include "library.h"

namespace sidecall {
namespace {

constexpr int64_t kFirstAttempt = INT64_C(2) * 1000 * 1000 * 1000;
constexpr std::chrono::milliseconds kRetryPause{50};

// A server that is being verified.
class OpenReplica {
 public:
  // The next server that was described; get() is nullptr if there is none. Throws Error.
  explicit OpenReplica(NetworkShared* shared) : shared_(shared) {
    sidecall_net_error error{};
    if (shared->api.next_replica(shared->client, &replica_, &error) != SIDECALL_OK)
      throw_network_error(error);
  }
  ~OpenReplica() {
    // In a forked child a thread of the parent may hold a lock of the client.
    if (replica_ != nullptr && shared_->generation == fork_generation())
      shared_->api.close_replica(replica_, is_accepted_ ? 1 : 0);
  }
  OpenReplica(const OpenReplica&) = delete;
  OpenReplica& operator=(const OpenReplica&) = delete;
  void accept() { is_accepted_ = true; }
  const sidecall_net_replica* get() const { return replica_; }
  std::string label() const { return shared_->api.replica_label(replica_); }

 private:
  NetworkShared* const shared_;
  sidecall_net_replica* replica_ = nullptr;
  bool is_accepted_ = false;
};

class NetworkEngine final : public Engine {
 public:
  NetworkEngine(std::shared_ptr<NetworkShared> shared, std::string label,
                std::shared_ptr<const OpenReplica> replica = nullptr, bool has_refusals = false)
      : shared_(std::move(shared)),
        label_(std::move(label)),
        replica_(std::move(replica)),
        has_refusals_(has_refusals) {}

  void describe(std::vector<TensorSpec>* inputs, std::vector<TensorSpec>* outputs) const override {
    *inputs = shared_->inputs;
    *outputs = shared_->outputs;
  }
  Route route() const noexcept override { return Route::kNetwork; }
  void expect_refusals() override { has_refusals_ = true; }
  std::unique_ptr<ExecutionContext> make_context(bool /*lends_connection*/) const override {
    return std::make_unique<NetworkContext>(shared_.get(), has_refusals_,
                                            replica_ != nullptr ? replica_->get() : nullptr);
  }
  std::string version() const override { return label_; }
  std::string model_id() const override { return shared_->model_id(); }

  std::vector<Replica> unverified_replicas() const override {
    std::vector<Replica> replicas;
    const bool is_alone = shared_->api.num_replicas(shared_->client) == 1;
    for (;;) {
      const auto replica = std::make_shared<OpenReplica>(shared_.get());
      if (replica->get() == nullptr) return replicas;
      const std::string label = is_alone ? label_ : label_ + " at " + replica->label();
      replicas.push_back({std::make_unique<NetworkEngine>(shared_, label, replica, has_refusals_),
                          [replica] { replica->accept(); }});
    }
  }

  // Verifies servers that appear later; see Verifier::Check. `has_rows`: golden rows run.
  Clock::time_point check(const Model& model, bool has_rows) const {
    const int64_t next_ns =
        shared_->api.check(shared_->client, ns_of(deadline_after(kDefaultTimeoutNs)));
    std::vector<Replica> replicas = unverified_replicas();
    for (Replica& replica : replicas) {
      try {
        const Clock::time_point deadline = deadline_after(kDefaultTimeoutNs);
        if (!has_rows || run_golden_rows(model, *replica.engine, deadline).failure.empty())
          replica.accept();
      } catch (const Error&) {
        // It has ended, or has another model by now.
      }
    }
    if (!replicas.empty()) return Clock::now();  // some may be due after a failure
    return next_ns == INT64_MAX ? Clock::time_point::max()
                                : Clock::time_point(std::chrono::nanoseconds(next_ns));
  }

 private:
  const std::shared_ptr<NetworkShared> shared_;
  const std::string label_;                           // "server 'http://triton:8000/fraud'"
  const std::shared_ptr<const OpenReplica> replica_;  // the server of all runs, or nullptr
  bool has_refusals_ = false;
};

// The protocol has no names for dimensions. `shares_rows`: a first dimension that is free is the
// number of rows, the same for all tensors, because there is a contract.
std::vector<TensorSpec> specs_of(const sidecall_net_tensors& tensors, bool shares_rows) {
  std::vector<TensorSpec> specs;
  for (size_t i = 0; i < tensors.count; ++i) {
    const sidecall_net_tensor& tensor = tensors.items[i];
    TensorSpec spec;
    spec.name = tensor.name;
    spec.dtype = tensor.dtype;
    spec.dims.assign(tensor.dims, tensor.dims + tensor.rank);
    spec.dim_names.resize(spec.dims.size());
    if (shares_rows && spec.has_rows()) spec.dim_names[0] = "N";
    specs.push_back(std::move(spec));
  }
  return specs;
}

FileContract contract_of_file(const std::string& path) {
  const OnnxFile file(platform::read_file(path, kMaxMessageBytes),
                      platform::folder_of(platform::real_path(path)), path);
  const std::string where = "file '" + path + "'";
  auto contract = read_file_contract(file, where);
  if (!contract)
    throw Error(SIDECALL_NO_CONTRACT, where +
                                          ": expected a file with a contract, because the URI "
                                          "names it as one, got one without");
  return *std::move(contract);
}

// Asks the server what the model takes and returns. As long as `wait_ns` allows, tries again if
// there is no server yet, or none that has the model.
sidecall_net_metadata describe(NetworkShared* shared, int64_t wait_ns) {
  const Clock::time_point end = wait_ns < 0 ? Clock::time_point::max() : deadline_after(wait_ns);
  // With a wait, a server that does not answer is asked again after a while, because another one
  // may have taken its place.
  int64_t attempt_ns = wait_ns == 0 ? kDefaultTimeoutNs : kFirstAttempt;
  for (;; attempt_ns = std::min(2 * attempt_ns, kDefaultTimeoutNs)) {
    sidecall_net_metadata metadata{};
    sidecall_net_error error{};
    if (shared->api.describe(shared->client, ns_of(deadline_after(attempt_ns)), &metadata,
                             &error) == SIDECALL_OK)
      return metadata;
    const bool may_start = error.status == SIDECALL_UNREACHABLE ||
                           error.status == SIDECALL_PEER_DIED || error.status == SIDECALL_TIMEOUT;
    if (!may_start || Clock::now() + kRetryPause >= end) throw_network_error(error);
    std::this_thread::sleep_for(kRetryPause);
  }
}

}  // namespace

// Upper case counts too. Such a URI is refused later; a path would be shown whole, with a password
// that it may have.
bool is_network(const std::string& uri) noexcept {
  constexpr size_t kLongestStart = 10;  // "grpc+unix:"
  std::string start = uri.substr(0, kLongestStart);
  for (char& c : start) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return network_scheme(start) != nullptr;
}

std::shared_ptr<const Model> open_network(const std::string& uri,
                                          const sidecall_model_options& options) {
  auto shared = std::make_shared<NetworkShared>(net_library(), uri);
  Origin origin;
  origin.label = "server '" + uri.substr(0, uri.find('?')) + "'";
  origin.title = shared->api.model(shared->client);
  if (const char* const path = shared->api.contract_path(shared->client)) {
    FileContract found = contract_of_file(path);
    origin.contract = std::move(found.text);
    origin.id = std::move(found.id);
  }
  const sidecall_net_metadata metadata = describe(shared.get(), options.wait_ns);
  if (!origin.contract && metadata.contract != nullptr) origin.contract = metadata.contract;
  shared->inputs = specs_of(metadata.inputs, origin.contract.has_value());
  shared->outputs = specs_of(metadata.outputs, origin.contract.has_value());
  shared->set_model_id(metadata.inputs.model_id);
  origin.deadline = deadline_after(kDefaultTimeoutNs);
  auto model =
      Model::from_engine(std::make_unique<NetworkEngine>(shared, origin.label), origin, options);
  // A contract and an id describe a file, unless the server says that it runs something else.
  const bool has_id = model->contract() != nullptr && !model->id().empty();
  shared->is_repeatable = has_id && std::string_view(metadata.repeatable) != "no";
  const bool has_rows = model->is_verified() || !model->warning().empty();
  shared->verifier.set_check(
      [weak = std::weak_ptr<const Model>(model), has_rows]() -> std::optional<Clock::time_point> {
        const auto opened = weak.lock();
        if (opened == nullptr) return std::nullopt;
        return static_cast<const NetworkEngine&>(opened->engine()).check(*opened, has_rows);
      });
  return model;
}

}  // namespace sidecall
