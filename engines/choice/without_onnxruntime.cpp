// Stands in for engines/onnxruntime in a build with SIDECALL_NATIVE_ONLY: there is no ONNX Runtime.
#include "core/error.h"
#include "engines/onnxruntime/engine.h"
#include "engines/onnxruntime/library.h"

namespace sidecall {
namespace {

// The status is that of a machine without the library, so "auto" takes the native engine.
[[noreturn]] void fail() {
  throw Error(SIDECALL_ENGINE_NOT_FOUND,
              "this build of sidecall has no ONNX Runtime: use a build without "
              "SIDECALL_NATIVE_ONLY, or serve the model with one and open its shm: address");
}

}  // namespace

std::unique_ptr<Engine> open_ort_engine(const OnnxFile&, const std::string&,
                                        const sidecall_model_options&) {
  fail();
}

const OrtLibrary& load_ort_library(const char*, const char*) { fail(); }

std::string describe_ort_library(const OrtLibrary&) { fail(); }

}  // namespace sidecall
