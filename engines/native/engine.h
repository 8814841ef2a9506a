// The native engine: sidecall's own engine, which runs preprocessing, tree ensembles and linear
// models without any other library.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>

#include "core/artifact/onnx_file.h"
#include "core/engine.h"

namespace sidecall {

// Increase this whenever a change can alter any bit of an answer. The contract of a file names the
// version with which the export checked the answers. With another version, "auto" does not choose
// this engine (engines/choice). A file whose golden rows passed is verified again after a change of
// the version.
constexpr const char* kNativeNumerics = "2";

// Compiles the graph of a file.
//
// Throws UNSUPPORTED if the engine cannot run a node, whose name is in the message; FILE_INVALID if
// the graph is inconsistent; ENGINE if its shapes do not fit; OUT_OF_MEMORY.
std::unique_ptr<Engine> open_native_engine(const OnnxFile& file, const std::string& label,
                                           const sidecall_model_options& options);

}  // namespace sidecall
