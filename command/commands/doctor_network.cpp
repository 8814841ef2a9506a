// Looks at the network route for doctor; see doctor_network.hpp.
#include "doctor_network.hpp"

#include "model/model.hpp"

namespace sidecall::cli {
namespace {

constexpr int64_t kTimeoutNs = INT64_C(30) * 1000 * 1000 * 1000;

JsonDocument describe(const char* uri, sidecall_status* status, std::string* problem) {
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_text* raw = nullptr;
  *status = sidecall_network_describe(uri, kTimeoutNs, &raw, &err);
  const Text text(raw);
  if (text) return parse_json({text->data, text->length});
  *problem = err.message;
  return JsonDocument(rapidjson::kObjectType);
}

// What remains after the metadata of some server was read: the contract and the golden rows.
void open_model_of(const std::string& uri, std::vector<NetworkStep>* steps) {
  const auto add = [&](const char* step, sidecall_status status, const std::string& text) {
    steps->push_back({"", step, status, sidecall_status_name(status), text});
  };
  ModelOptions options;
  options.verify = "error";
  sidecall_error err = SIDECALL_ERROR_INIT;
  Model model;
  const sidecall_status opened = try_open_model(uri, options, model, err);
  if (opened == SIDECALL_VERIFICATION_FAILED) {
    add("contract", SIDECALL_OK, "fits the server's metadata");
    add("golden rows", opened, err.message);
    return;
  }
  if (opened != SIDECALL_OK) return add("contract", opened, err.message);
  size_t length = 0;
  if (sidecall_model_contract(model.get(), &length) == nullptr)
    return add("contract", SIDECALL_OK, "none, so the model takes tensors and no records");
  add("contract", SIDECALL_OK, std::string("of the model ") + sidecall_model_name(model.get()));
  sidecall_text* raw = nullptr;
  const sidecall_status verified = sidecall_model_verify(model.get(), &raw, &err);
  const Text text(raw);
  if (verified != SIDECALL_OK) return add("golden rows", verified, err.message);
  const JsonDocument report = parse_json({text->data, text->length});
  add("golden rows", SIDECALL_OK, text_at(report, "rows") + " rows, all as recorded");
}

}  // namespace

NetworkFindings look_at_network() {
  NetworkFindings findings;
  sidecall_status status = SIDECALL_OK;
  findings.library = describe(nullptr, &status, &findings.problem);
  return findings;
}

void add_network(Table& table, const NetworkFindings& findings) {
  if (!findings.problem.empty()) {
    table.add({"network", "not available: " + findings.problem});
    return;
  }
  table.add({"network", "libsidecall-net.so " + text_at(findings.library, "version")});
  table.add({"", text_at(findings.library, "path")});
  std::string libraries;
  for (const auto& each : at(findings.library, "libraries").GetObject())
    libraries += (libraries.empty() ? "" : ", ") + std::string(text_of(each.name)) + " " +
                 std::string(text_of(each.value));
  table.add({"", "contains " + libraries});
  const std::string ca = text_at(findings.library, "ca");
  table.add(
      {"", ca.empty()
               ? "no file with trusted authorities was found; set SSL_CERT_FILE, or "
                 "name one with ?ca=FILE"
               : "trusts the authorities in " + ca +
                     (true_at(findings.library, "ca_readable") ? "" : ", which cannot be read")});
}

std::vector<NetworkStep> try_network_model(const std::string& uri) {
  std::vector<NetworkStep> steps;
  sidecall_status status = SIDECALL_OK;
  std::string problem;
  const JsonDocument found = describe(uri.c_str(), &status, &problem);
  if (status != SIDECALL_OK)
    return {{"", "address", status, sidecall_status_name(status), problem}};
  bool is_described = false;
  for (const Json& each : at(found, "steps").GetArray()) {
    const std::string name = text_at(each, "status");
    const auto code = static_cast<sidecall_status>(at(each, "code").GetInt());
    steps.push_back(
        {text_at(each, "server"), text_at(each, "step"), code, name, text_at(each, "text")});
    is_described = is_described || (steps.back().step == "metadata" && code == SIDECALL_OK);
  }
  if (is_described) open_model_of(uri, &steps);
  return steps;
}

void add_steps(Table& table, const std::vector<NetworkStep>& steps) {
  for (const NetworkStep& step : steps)
    table.add({"", step.step + (step.server.empty() ? "" : " of " + step.server) + ": " +
                       (step.status == SIDECALL_OK ? "" : step.status_name + ": ") + step.text});
}

void write_steps(JsonWriter& json, const std::vector<NetworkStep>& steps) {
  json.StartArray();
  for (const NetworkStep& step : steps) {
    json.StartObject();
    json.Key("server");
    if (step.server.empty()) json.Null();
    else write_text(json, step.server);
    write_member(json, "step", step.step);
    write_member(json, "status", step.status_name);
    write_member(json, "text", step.text);
    json.EndObject();
  }
  json.EndArray();
}

ExitCode exit_code_of_steps(const std::vector<NetworkStep>& steps) {
  for (const NetworkStep& step : steps)
    if (step.status != SIDECALL_OK) return exit_code_of(step.status);
  return kOk;
}

}  // namespace sidecall::cli
