// Implements the engine behind http: and grpc: URIs; see engine.h.
#include "engine.h"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <thread>
#include <utility>

#include "binding.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/onnx_file.h"
#include "core/platform.h"
#include "library.h"

namespace sidecall {
namespace {

constexpr std::string_view kSchemes[] = {
    "http://", "https://", "http+unix:", "grpc://", "grpcs://", "grpc+unix:"};
constexpr int64_t kFirstAttempt = INT64_C(2) * 1000 * 1000 * 1000;
constexpr std::chrono::milliseconds kRetryPause{50};

class NetworkEngine final : public Engine {
 public:
  NetworkEngine(std::unique_ptr<NetworkShared> shared, std::string label)
      : shared_(std::move(shared)), label_(std::move(label)) {}

  void describe(std::vector<TensorSpec>* inputs, std::vector<TensorSpec>* outputs) const override {
    *inputs = shared_->inputs;
    *outputs = shared_->outputs;
  }
  void expect_refusals() override { has_refusals_ = true; }
  std::unique_ptr<Binding> bind(bool /*is_lazy*/) const override {
    return std::make_unique<NetworkBinding>(shared_.get(), has_refusals_);
  }
  std::string version() const override { return label_; }
  std::string model_id() const override { return shared_->model_id(); }

 private:
  const std::unique_ptr<NetworkShared> shared_;
  const std::string label_;  // "server 'http://triton:8000/fraud'"
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

std::string contract_of_file(const std::string& path) {
  const OnnxFile file(platform::read_file(path, kMaxMessageBytes),
                      platform::folder_of(platform::real_path(path)), path);
  const auto contract = file.metadata("sidecall.contract");
  if (!contract)
    throw Error(SIDECALL_NO_CONTRACT, "file '" + path +
                                          "': expected a file with a contract, because the URI "
                                          "names it as one, got one without");
  return std::string(*contract);
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
  return std::any_of(std::begin(kSchemes), std::end(kSchemes), [&](std::string_view scheme) {
    return uri.size() >= scheme.size() &&
           std::equal(scheme.begin(), scheme.end(), uri.begin(), [](char a, char b) {
             return a == (b >= 'A' && b <= 'Z' ? b - 'A' + 'a' : b);
           });
  });
}

std::shared_ptr<const Model> open_network(const std::string& uri,
                                          const sidecall_model_options& options) {
  auto shared = std::make_unique<NetworkShared>(net_library(), uri);
  Origin origin;
  origin.label = "server '" + uri.substr(0, uri.find('?')) + "'";
  origin.title = shared->api.model(shared->client);
  if (const char* const path = shared->api.contract_path(shared->client))
    origin.contract = contract_of_file(path);
  const sidecall_net_metadata metadata = describe(shared.get(), options.wait_ns);
  if (!origin.contract && metadata.contract != nullptr) origin.contract = metadata.contract;
  shared->inputs = specs_of(metadata.inputs, origin.contract.has_value());
  shared->outputs = specs_of(metadata.outputs, origin.contract.has_value());
  shared->set_model_id(metadata.inputs.model_id);
  origin.deadline = deadline_after(kDefaultTimeoutNs);
  NetworkShared* const state = shared.get();
  auto model = Model::from_engine(std::make_unique<NetworkEngine>(std::move(shared), origin.label),
                                  origin, options);
  state->is_pure = model->contract() != nullptr && !model->contract()->id.empty();
  return model;
}

}  // namespace sidecall
