// The echo as iceoryx sees it: fixed structs and a service per waiting mode and place. Used by its client and server.
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

// Its log goes where the report goes.
inline void keep_quiet() {
  iox::log::LogManager::GetLogManager().SetDefaultLogLevel(iox::log::LogLevel::kError,
                                                           iox::log::LogLevelOutput::kHideLogLevel);
}
