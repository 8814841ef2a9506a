// Splits the path or file: URI of a local model into the path of the file and the chosen engine.
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
  std::optional<int32_t> engine;  // set by a query such as ?engine=native
};

// Reads a path ("fraud.onnx") or a URI ("file:///m/fraud.onnx"). Either may end with the query
// ?engine=auto, ?engine=native or ?engine=onnxruntime. Any other "?" is part of the path. To detect
// a mistyped query, a path whose last "?" is in the name of the file must name an existing file.
//
// Throws INVALID_ARGUMENT for a malformed URI or a query that is none of the three, UNSUPPORTED for
// a scheme other than file.
FileUri read_file_uri(const std::string& uri);

}  // namespace sidecall
