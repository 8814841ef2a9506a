// Opens models for the functions that do so at once (model.cpp) or in a queue (queue.cpp).
#pragma once

#include <sidecall/sidecall.h>

#include <string>

namespace sidecall {

// The options with their defaults, checked. Throws INVALID_ARGUMENT.
sidecall_model_options read_model_options(const sidecall_model_options* options);
sidecall_model* open_model(const char* uri, const sidecall_model_options& options);
sidecall_model* open_model_bytes(std::string bytes, const sidecall_model_options& options);

}  // namespace sidecall
