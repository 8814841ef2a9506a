// The model as the engine gets it: without external data; written by onnx_file.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dtype.h"
#include "external_data.h"
#include "onnx_reader.h"

namespace sidecall {

// An initializer of the main graph that is handed over beside the model, in the memory of its
// OnnxFile.
struct MemoryInitializer {
  std::string name;
  int32_t dtype;
  Dims dims;
  std::string_view data;
};

struct EngineInput {
  std::string_view file;  // the model as it was read, which names no other file; or
  std::string written;    // what was made of it, where it does
  std::vector<MemoryInitializer> initializers;
  std::string_view model() const { return written.empty() ? file : written; }
};

// A message of protobuf is at most this long.
constexpr uint64_t kMaxMessageBytes = (UINT64_C(1) << 31) - 1;

// Writes the data of each tensor into its message. Where the whole would be longer than
// `max_bytes`, the initializers of the main graph of 1 KiB and more go beside it. Throws
// FILE_TOO_LARGE where that is not enough.
EngineInput write_engine_input(std::string_view bytes, const OnnxContent& content,
                               const ExternalData& data, const std::string& label,
                               uint64_t max_bytes);

}  // namespace sidecall
