// The paths of the test data and libraries. CMake passes the source folder.
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace test_paths {

inline std::string vectors() { return SIDECALL_TEST_SOURCE_DIR "/tests/vectors"; }

inline std::string model(const std::string& name) { return vectors() + "/models/" + name; }

// The ONNX Runtime to test with. Without one every test fails: a test must not pass because its
// engine is missing.
inline std::string onnxruntime() {
  const char* path = std::getenv("SIDECALL_ONNXRUNTIME");
  if (path == nullptr || *path == '\0')
    throw std::runtime_error(
        "set SIDECALL_ONNXRUNTIME to the ONNX Runtime library that the tests use");
  return path;
}

}  // namespace test_paths
