// The echo as iceoryx sees it: fixed structs and a service per waiting mode. Used by its client and server.
#pragma once

#include <cstdio>
#include <iceoryx_posh/capro/service_description.hpp>
#include <string>

#include "peer.h"

struct Row {
  float values[PEER_ROW];
};

struct Answer {
  float values[PEER_ANSWER];
};

inline iox::capro::ServiceDescription service_of(const std::string& mode) {
  return {"bench", "echo", iox::capro::IdString_t(iox::cxx::TruncateToCapacity, mode)};
}
