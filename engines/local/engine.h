// Chooses the engine that runs a file in this process. Used by the C ABI.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>
#include <string>

#include "core/engine.h"
#include "core/onnx_file.h"

namespace sidecall {

// Opens the file with the engine that the environment variable SIDECALL_ENGINE names or, if it is
// not set, with that of options.engine. Pass this function to Model::open(). Throws
// INVALID_ARGUMENT if the variable names no engine, and whatever opening the engine throws.
std::unique_ptr<Engine> open_local_engine(const OnnxFile& file, const std::string& label,
                                          const sidecall_model_options& options);

}  // namespace sidecall
