// What a path or a file: URI names: a file, and the engine that runs it. Used to open models.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sidecall {

// The SIDECALL_ENGINE_* value of "auto", "native" or "onnxruntime"; nullopt for another word.
std::optional<int32_t> engine_named(std::string_view word) noexcept;

struct FileUri {
  std::string path;
  std::optional<int32_t> engine;  // of a query such as ?engine=native
};

// Reads "fraud.onnx" or "file:///m/fraud.onnx", either of them with or without a query. Only
// ?engine=auto, ?engine=native and ?engine=onnxruntime at the end are queries; any other "?" is a
// part of the path. To find mistyped queries, it must then be in the name of a folder, or in the
// name of a file that exists. Throws INVALID_ARGUMENT, UNSUPPORTED.
FileUri read_file_uri(const std::string& uri);

}  // namespace sidecall
