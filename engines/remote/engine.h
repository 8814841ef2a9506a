// Models in other processes: what shm: and exec: URIs open. Used by model.cpp.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>
#include <string>

#include "core/model.h"

namespace sidecall {

// Whether a URI leads to another process.
bool is_remote(const std::string& uri) noexcept;

// Throws what sidecall_model_open answers.
std::shared_ptr<const Model> open_remote(const std::string& uri,
                                         const sidecall_model_options& options);

}  // namespace sidecall
