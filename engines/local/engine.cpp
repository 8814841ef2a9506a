// Chooses the engine that runs a file; see engine.h.
#include "engine.h"

#include <optional>

#include "core/error.h"
#include "core/platform.h"
#include "core/text.h"
#include "core/uri.h"
#include "engines/native/engine.h"
#include "engines/onnxruntime/engine.h"

namespace sidecall {
namespace {

int32_t chosen_engine(int32_t option) {
  const char* text = platform::environment("SIDECALL_ENGINE");
  if (text == nullptr || *text == '\0') return option;
  if (const std::optional<int32_t> engine = engine_named(text)) return *engine;
  throw Error(
      SIDECALL_INVALID_ARGUMENT,
      "SIDECALL_ENGINE: expected auto, native or onnxruntime, got '" + printable(text) + "'");
}

}  // namespace

std::unique_ptr<Engine> open_local_engine(const OnnxFile& file, const std::string& label,
                                          const sidecall_model_options& options) {
  return chosen_engine(options.engine) == SIDECALL_ENGINE_NATIVE
             ? open_native_engine(file, label, options)
             : open_ort_engine(file, label, options);
}

}  // namespace sidecall
