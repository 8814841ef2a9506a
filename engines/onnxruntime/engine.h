// ONNX Runtime behind engine.h: the in-process route.
#pragma once

#include <sidecall/sidecall.h>

#include <memory>

#include "core/engine.h"
#include "core/onnx_file.h"

namespace sidecall {

// Creates a session of its own: one thread, no spinning, silent. Of the options it reads which ONNX Runtime to load. For Model::open().
// Throws ENGINE (the model is refused), UNSUPPORTED (sequences, maps, optionals), ENGINE_NOT_FOUND, ENGINE_TOO_OLD.
std::unique_ptr<Engine> open_ort_engine(const OnnxFile& file, const std::string& label,
                                        const sidecall_model_options& options);

}  // namespace sidecall
