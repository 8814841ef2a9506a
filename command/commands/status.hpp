// Formats the counters of a server for Prometheus; used by status.cpp.
#pragma once

#include <string>

#include "formats/json.hpp"

namespace sidecall::cli {

// Returns the counters in the text exposition format of Prometheus, version 0.0.4.
std::string prometheus_text(const Json& status);

}  // namespace sidecall::cli
