// What doctor finds out about models on other hosts: libsidecall-net.so, and the way to a server.
#pragma once

#include <sidecall/sidecall.h>

#include <string>
#include <vector>

#include "command.hpp"
#include "formats/json.hpp"
#include "terminal/output.hpp"

namespace sidecall::cli {

// The object that sidecall_network_describe documents, without its steps.
struct NetworkFindings {
  JsonDocument library{rapidjson::kObjectType};
  std::string problem;  // why the library cannot be used; "" if it can
};

// One step on the way to the answers of a model.
struct NetworkStep {
  std::string server, step;
  sidecall_status status;
  std::string status_name, text;
};

NetworkFindings look_at_network();
void add_network(Table& table, const NetworkFindings& findings);

// Tries the way to each server of the model, and then opens the model, with its contract and its
// golden rows. The first step that fails is the last one of its server.
std::vector<NetworkStep> try_network_model(const std::string& uri);
void add_steps(Table& table, const std::vector<NetworkStep>& steps);
void write_steps(JsonWriter& json, const std::vector<NetworkStep>& steps);
// That of the first step that failed.
ExitCode exit_code_of_steps(const std::vector<NetworkStep>& steps);

}  // namespace sidecall::cli
