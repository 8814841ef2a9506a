// Opens models on servers that speak the Open Inference Protocol, for http: and grpc: URIs. Used by
// the C ABI.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>
#include <string>

#include "core/model.h"

namespace sidecall {

// Whether a URI names a model that is reached over the network (or a socket with its protocols).
bool is_network(const std::string& uri) noexcept;

// Throws the errors that sidecall_model_open documents.
std::shared_ptr<const Model> open_network(const std::string& uri,
                                          const sidecall_model_options& options);

}  // namespace sidecall
