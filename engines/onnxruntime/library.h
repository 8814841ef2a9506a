// Finds and loads ONNX Runtime at run time, once per process and path. sidecall does not link ONNX
// Runtime, for two reasons. The only symbol that ONNX Runtime exports has a symbol version, which
// would bind sidecall to one release. And the host program may have a copy of its own. Used by
// engine.cpp and the C ABI.
#pragma once

#include <cstdint>
#include <string>

#include "core/platform.h"

struct OrtApi;
struct OrtEnv;

namespace sidecall {

struct OrtLibrary {
  const OrtApi* api;
  OrtEnv* env;
  std::string path;
  std::string found_by;
  std::string version;
  uint32_t api_version;
};

// Whether the caller (`option`) or the environment names the one library to use.
inline bool names_ort_library(const char* option) {
  const char* path = platform::environment("SIDECALL_ONNXRUNTIME");
  return option != nullptr || (path != nullptr && *path != '\0');
}

// `option` is the path of the library, or nullptr to search. `package` is one more place to search,
// or nullptr. The result lives until the process ends. Throws ENGINE_NOT_FOUND, ENGINE_TOO_OLD,
// ENGINE.
const OrtLibrary& load_ort_library(const char* option, const char* package);

// The JSON that sidecall_engine_describe returns.
std::string describe_ort_library(const OrtLibrary& library);

}  // namespace sidecall
