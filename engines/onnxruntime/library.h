// Finds and loads ONNX Runtime, once per process and path. Never linked: its one symbol is version-locked, and the host
// may have a copy of its own.
#pragma once

#include <cstdint>
#include <string>

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

// `option` is a path, or nullptr to search; `package` is one more place of the search, or nullptr. The result lives until
// the process ends. Throws ENGINE_NOT_FOUND, ENGINE_TOO_OLD, ENGINE.
const OrtLibrary& load_ort_library(const char* option, const char* package);

// The JSON of sidecall_engine_describe.
std::string describe_ort_library(const OrtLibrary& library);

}  // namespace sidecall
