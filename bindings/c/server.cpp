// sidecall_server_*: checks pointers, puts a model or a function behind the channel, and forwards to shm/server/server.h.
#include <sidecall/server.h>

#include "core/contract.h"
#include "core/error.h"
#include "core/first_readers.h"
#include "core/model.h"
#include "core/sha256.h"
#include "core/signature_json.h"
#include "engines/remote/errors.h"
#include "guard.h"
#include "handles.h"
#include "serving/function.h"
#include "serving/log.h"
#include "serving/model.h"
#include "serving/options.h"
#include "shm/client/client.h"
#include "shm/client/endpoint.h"
#include "structs.h"
#include "texts.h"

using sidecall::Error;
using sidecall::guard;
using sidecall::Model;
using sidecall::require;
using sidecall::ServerLog;
using sidecall::with_core_errors;

struct sidecall_server {
  sidecall_server(const std::shared_ptr<const Model>& served, sidecall::shm::Service service, sidecall::shm::ServerOptions options,
                  std::shared_ptr<sidecall::ServerLog> given_log)
      : log(std::move(given_log)), handler(served), server(std::move(service), &handler, std::move(options)) {}

  std::shared_ptr<sidecall::ServerLog> log;
  sidecall::ModelHandler handler;
  sidecall::shm::Server server;  // ends before the handler does
};

namespace sidecall {
namespace {

std::vector<shm::TensorSpec> channel_specs(const std::vector<TensorSpec>& specs) {
  std::vector<shm::TensorSpec> result;
  for (const TensorSpec& spec : specs) result.push_back({spec.name, spec.dtype, spec.dims, spec.is_shaped});
  return result;
}

std::array<uint8_t, 32> digest_of(const std::string& text) {
  Sha256 sha;
  sha.update(text);
  const std::string hex = sha.hex();
  std::array<uint8_t, 32> digest{};
  for (size_t i = 0; i < digest.size(); ++i) digest[i] = static_cast<uint8_t>(std::stoul(hex.substr(2 * i, 2), nullptr, 16));
  return digest;
}

// Ids that are not SHA-256 are left out.
std::string id_of(const Model& model) {
  const std::string id = model.id();
  const bool is_digest = id.size() == 64 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
  return is_digest ? id : "";
}

shm::Service describe_service(const Model& model, std::vector<bool> in_place) {
  shm::Service service;
  const Contract* contract = model.contract();
  service.signature = signature_text(model.signature());
  service.signature_digest = digest_of(service.signature);
  service.model_id = id_of(model);
  service.inputs = channel_specs(model.signature().inputs);
  service.outputs = channel_specs(model.signature().outputs);
  service.in_place = std::move(in_place);
  if (contract == nullptr) return service;
  service.name = contract->name;
  service.version = contract->version;
  service.contract = contract->text;
  service.is_verified = model.is_verified();
  return service;
}

sidecall_server* open_server(const char* at, const std::shared_ptr<const Model>& model, std::vector<bool> in_place,
                             const sidecall_server_options& options, const std::shared_ptr<ServerLog>& log) {
  if (options.copy_inputs == SIDECALL_COPY_ALWAYS) in_place.assign(model->signature().inputs.size(), false);
  return with_core_errors([&] {
    const std::string address = at == nullptr ? "" : address_of(at);
    const int control = at == nullptr ? inherited_control_socket() : -1;
    auto server = std::make_unique<sidecall_server>(model, describe_service(*model, std::move(in_place)),
                                                    channel_options(options, log_function(log)), log);
    try {
      if (at == nullptr) {
        server->server.control(control, options.drain_ns == 0 ? kDefaultDrainNs : options.drain_ns);
      } else {
        server->server.listen(address);
      }
    } catch (...) {
      log->silence();
      throw;
    }
    return server.release();
  });
}

std::string given_text(const char* text, size_t length) { return text == nullptr ? std::string() : std::string(text, length); }

// A function with a signature, a contract, or both, as a model of core: golden rows run through it here.
std::shared_ptr<const Model> model_of(const sidecall_service& service, int32_t verify, shm::LogFunction log) {
  std::vector<TensorSpec> inputs, outputs;
  const std::string contract = given_text(service.contract, service.contract_length);
  if (service.signature != nullptr) {
    read_signature_text(given_text(service.signature, service.signature_length), "signature", SIDECALL_CONTRACT_INVALID, &inputs, &outputs);
  } else {
    require(service.contract != nullptr, "service: expected a signature or a contract, got neither");
    tensors_of_contract(contract, "contract", &inputs, &outputs);
  }
  Origin origin;
  origin.label = "contract";
  if (service.contract != nullptr) origin.contract = contract;
  sidecall_model_options options = default_model_options();
  options.verify = verify;
  auto engine = std::make_unique<FunctionEngine>(std::move(inputs), std::move(outputs), service.handler, service.context, std::move(log));
  return Model::from_engine(std::move(engine), std::move(origin), options);
}

shm::Server& use(const sidecall_server* server) {
  require(server != nullptr, "server must not be NULL");
  return const_cast<sidecall_server*>(server)->server;
}

}  // namespace
}  // namespace sidecall

extern "C" {

sidecall_status sidecall_server_open(const char* at, const sidecall_model* model, const sidecall_server_options* options,
                                     sidecall_server** out_server, sidecall_error* err) {
  if (out_server != nullptr) *out_server = nullptr;
  return guard(err, [&] {
    require(model != nullptr && out_server != nullptr, "model and out_server must not be NULL");
    const sidecall::OnnxFile* file = model->model->file();
    std::vector<bool> in_place;
    if (file != nullptr) in_place = sidecall::readable_in_place(*file, model->model->signature().inputs);
    const sidecall_server_options known = sidecall::checked_options(options);
    *out_server = sidecall::open_server(at, model->model, std::move(in_place), known, std::make_shared<ServerLog>(known));
  });
}

sidecall_status sidecall_server_open_service(const char* at, const sidecall_service* service, int32_t verify,
                                             const sidecall_server_options* options, sidecall_server** out_server, sidecall_error* err) {
  if (out_server != nullptr) *out_server = nullptr;
  return guard(err, [&] {
    require(service != nullptr && out_server != nullptr, "service and out_server must not be NULL");
    const sidecall_service served = sidecall::read_struct(service, sidecall_service(), "service");
    require(served.handler != nullptr, "service.handler must not be NULL");
    require(verify >= SIDECALL_VERIFY_ERROR && verify <= SIDECALL_VERIFY_OFF,
            "verify: expected a SIDECALL_VERIFY_* value, got another number");
    const sidecall_server_options known = sidecall::checked_options(options);
    const auto log = std::make_shared<ServerLog>(known);
    const std::shared_ptr<const Model> model = sidecall::model_of(served, verify, sidecall::log_function(log));
    // The function was told what it may be given. A bool that is neither 0 nor 1 breaks compilers' and libraries' rules, so it must stay as checked.
    std::vector<bool> in_place;
    for (const sidecall::TensorSpec& input : model->signature().inputs) in_place.push_back(input.dtype != SIDECALL_BOOL);
    *out_server = sidecall::open_server(at, model, std::move(in_place), known, log);
  });
}

sidecall_status sidecall_server_status(const sidecall_server* server, sidecall_text** out, sidecall_error* err) {
  if (out != nullptr) *out = nullptr;
  return guard(err, [&] {
    require(out != nullptr, "out must not be NULL");
    *out = with_core_errors([&] { return sidecall::make_text(sidecall::use(server).status()); });
  });
}

sidecall_status sidecall_server_query(const char* at, int64_t wait_ns, sidecall_text** out, sidecall_error* err) {
  if (out != nullptr) *out = nullptr;
  return guard(err, [&] {
    require(at != nullptr && out != nullptr, "at and out must not be NULL");
    require(wait_ns >= -1, "wait_ns: expected 0 or more, or -1, got less");
    constexpr int64_t kAnswerNs = INT64_C(2) * 1000 * 1000 * 1000;
    *out = with_core_errors([&] {
      using sidecall::shm::Deadline;
      const auto endpoint = sidecall::shm::make_socket_endpoint(sidecall::address_of(at));
      const Deadline patience = Deadline::after(wait_ns);
      const Deadline deadline = wait_ns < 0 ? Deadline::never() : Deadline::after(wait_ns + kAnswerNs);
      return sidecall::make_text(sidecall::shm::fetch_status(*endpoint, patience, deadline));
    });
  });
}

int32_t sidecall_server_fd(const sidecall_server* server) { return server == nullptr ? -1 : server->server.ended_fd(); }

sidecall_status sidecall_server_drain(sidecall_server* server, int64_t timeout_ns, sidecall_error* err) {
  return guard(err, [&] {
    require(timeout_ns >= -1, "timeout_ns: expected 0 or more, or -1, got less");
    const bool is_done = with_core_errors([&] { return sidecall::use(server).drain(sidecall::shm::Deadline::after(timeout_ns)); });
    if (!is_done) throw Error(SIDECALL_TIMEOUT, "drain: expected every call to end in time, got some that were still running");
  });
}

void sidecall_server_close(sidecall_server* server) { delete server; }

}  // extern "C"
