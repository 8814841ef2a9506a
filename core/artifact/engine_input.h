// The model as the engine receives it: without external data. Made by onnx_file.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/shapes.h"
#include "external_data.h"
#include "onnx_reader.h"

namespace sidecall {

// An initializer of the main graph that is passed to the engine separately from the model. Its data
// are in the memory of the OnnxFile.
struct MemoryInitializer {
  std::string name;
  int32_t dtype;
  Dims dims;
  std::string_view data;
};

struct EngineInput {
  std::string_view file;  // the model as it was read, if it names no other file
  std::string written;    // otherwise the rewritten model
  std::vector<MemoryInitializer> initializers;
  std::string_view model() const { return written.empty() ? file : written; }
};

// The largest size of a protobuf message.
constexpr uint64_t kMaxMessageBytes = (UINT64_C(1) << 31) - 1;

// Writes the data of each tensor into the tensor's message. If the model would then be longer than
// `max_bytes`, those initializers of the main graph that have at least 1 KiB are passed separately.
// Throws FILE_TOO_LARGE if that is not enough.
EngineInput write_engine_input(std::string_view bytes, const OnnxContent& content,
                               const ExternalData& data, const std::string& label,
                               uint64_t max_bytes);

}  // namespace sidecall
