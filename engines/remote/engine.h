// Opens models in other processes, for shm: and exec: URIs. Used by the C ABI.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>
#include <string>

#include "core/model.h"

namespace sidecall {

// Whether a URI names a model in another process.
bool is_remote(const std::string& uri) noexcept;

// Throws the errors that sidecall_model_open documents.
std::shared_ptr<const Model> open_remote(const std::string& uri,
                                         const sidecall_model_options& options);

}  // namespace sidecall
