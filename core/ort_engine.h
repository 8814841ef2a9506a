// ONNX Runtime behind engine.h: the in-process route.
#pragma once

#include <memory>

#include "engine.h"
#include "onnx_file.h"

namespace sidecall {

// Creates a session of its own: one thread, no spinning, silent. `library` and `package` are those of
// load_ort_library.
// Throws ENGINE (the model is refused), UNSUPPORTED (sequences, maps, optionals), ENGINE_NOT_FOUND, ENGINE_TOO_OLD.
std::unique_ptr<Engine> open_ort_engine(const OnnxFile& file, const std::string& label, const char* library, const char* package);

}  // namespace sidecall
