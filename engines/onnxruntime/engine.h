// Implements core/engine.h with ONNX Runtime: the engine of the in-process route. Used by the C
// ABI.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>

#include "core/artifact/onnx_file.h"
#include "core/engine.h"

namespace sidecall {

// Creates an engine with its own session: one thread, no spinning, no log output. Reads only the
// options that say which ONNX Runtime to load.
// Throws ENGINE (ONNX Runtime refuses the model), UNSUPPORTED (sequences, maps, optionals),
// ENGINE_NOT_FOUND, ENGINE_TOO_OLD.
std::unique_ptr<Engine> open_ort_engine(const OnnxFile& file, const std::string& label,
                                        const sidecall_model_options& options);

}  // namespace sidecall
