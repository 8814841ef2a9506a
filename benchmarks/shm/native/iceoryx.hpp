// The echo for iceoryx: fixed structs and one service per waiting mode and place. Used by its
// client and server.
#pragma once

#include <cstdio>
#include <iceoryx_hoofs/log/logmanager.hpp>
#include <iceoryx_posh/capro/service_description.hpp>
#include <string>

#include "peer.h"

struct Row {
  float values[PEER_ROW];
};

struct Answer {
  float values[PEER_ANSWER];
};

inline iox::capro::ServiceDescription service_of(const std::string& name) {
  return {"bench", "echo", iox::capro::IdString_t(iox::cxx::TruncateToCapacity, name)};
}

// Hides iceoryx's log, because it would be mixed with the report.
inline void keep_quiet() {
  iox::log::LogManager::GetLogManager().SetDefaultLogLevel(iox::log::LogLevel::kError,
                                                           iox::log::LogLevelOutput::kHideLogLevel);
}
