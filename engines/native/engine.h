// The native engine: sidecall's own engine, which runs preprocessing, tree ensembles and linear
// models without any other library.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>

#include "core/artifact/onnx_file.h"
#include "core/engine.h"

namespace sidecall {

// Increase this whenever a change can alter any bit of an answer. The contract of a file says with
// which version the export found the answers right, and "auto" takes no other (engines/choice). A
// file whose golden rows passed with one version is also verified again with the next.
constexpr const char* kNativeNumerics = "2";

// Compiles the graph of a file.
//
// Throws UNSUPPORTED if the engine cannot run a node, whose name is in the message; FILE_INVALID if
// the graph is inconsistent; ENGINE if its shapes do not fit; OUT_OF_MEMORY.
std::unique_ptr<Engine> open_native_engine(const OnnxFile& file, const std::string& label,
                                           const sidecall_model_options& options);

}  // namespace sidecall
