// The scenarios of the network route: clients and servers over HTTP and gRPC.
#pragma once

#include <string>
#include <vector>

#include "scenario.h"

namespace anomalies {

// The arguments are those of make_scenarios().
std::vector<Scenario> make_network_scenarios(const std::string& models, const std::string& folder,
                                             const std::string& program);

}  // namespace anomalies
