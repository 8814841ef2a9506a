// Opens models in other processes, for shm: and exec: URIs. Used by the C ABI and by serving/.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/model.h"
#include "shm/common/direct.h"

namespace sidecall {

// What follows "shm:", if the URI begins with it.
std::optional<std::string_view> shm_address(std::string_view uri) noexcept;

// Whether a URI names a model in another process.
bool is_remote(const std::string& uri) noexcept;

// Throws the errors that sidecall_model_open documents.
std::shared_ptr<const Model> open_remote(const std::string& uri,
                                         const sidecall_model_options& options);

// Opens the model of a server, or of the workers of a supervisor, in this process. Its golden rows
// do not run again. `label` stands for the address in messages.
std::shared_ptr<const Model> open_direct(const std::string& label, shm::Direct direct,
                                         sidecall_model_options options);

}  // namespace sidecall
