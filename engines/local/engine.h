// Chooses the engine that runs a file in this process. Used by the C ABI.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>
#include <string>

#include "core/engine.h"
#include "core/onnx_file.h"

namespace sidecall {

// Opens the engine that options.engine names, or the environment variable SIDECALL_ENGINE, which
// takes precedence. Pass this function to Model::open(). Throws INVALID_ARGUMENT for another value
// of the variable, and the errors of the engine.
std::unique_ptr<Engine> open_local_engine(const OnnxFile& file, const std::string& label,
                                          const sidecall_model_options& options);

}  // namespace sidecall
