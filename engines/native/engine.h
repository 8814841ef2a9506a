// Our own engine: runs graphs of preprocessing, trees and linear models without any other library.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>

#include "core/engine.h"
#include "core/onnx_file.h"

namespace sidecall {

// Compiles the graph of a file. Pass this function to Model::open(). Throws UNSUPPORTED, whose
// message names the node that this engine cannot run; FILE_INVALID for a graph that contradicts
// itself; OUT_OF_MEMORY.
std::unique_ptr<Engine> open_native_engine(const OnnxFile& file, const std::string& label,
                                           const sidecall_model_options& options);

}  // namespace sidecall
