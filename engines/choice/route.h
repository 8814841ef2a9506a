// Chooses the route to a model by the scheme of its URI. Used by the C ABI.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>
#include <string>

#include "core/model.h"

namespace sidecall {

// `uri` is a path, or a URI of any route. Throws the errors that sidecall_model_open() documents.
std::shared_ptr<const Model> open_uri(const std::string& uri,
                                      const sidecall_model_options& options);

}  // namespace sidecall
