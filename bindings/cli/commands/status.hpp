// A server's counters for whoever scrapes them; used by status.cpp.
#pragma once

#include <string>

#include "formats/json.hpp"

namespace sidecall::cli {

// The text exposition format of Prometheus, 0.0.4.
std::string prometheus_text(const Json& status);

}  // namespace sidecall::cli
