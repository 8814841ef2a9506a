// An ONNX file, read before ONNX Runtime opens it: its metadata, its external data, and the model
// that the engine receives.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine_input.h"
#include "external_data.h"
#include "onnx_reader.h"

namespace sidecall {

class OnnxFile {
 public:
  // The key of metadata_props under which an exported file holds its id.
  static constexpr std::string_view kIdKey = "sidecall.id";

  // Takes the bytes of a model and reads its external data; no file is read later. `folder` is the
  // only place where the external data may lie; if it is empty, external data are not allowed.
  // `label` names the model in errors. `max_message_bytes` is the size of the largest model that
  // the engine receives as one message; tests pass a smaller number. Throws FILE_INVALID,
  // FILE_FORBIDDEN, FILE_NOT_FOUND, FILE_UNREADABLE, FILE_TOO_LARGE.
  OnnxFile(std::string bytes, const std::string& folder, const std::string& label,
           uint64_t max_message_bytes = kMaxMessageBytes);

  // The model that the engine opens instead of the file. It holds views into this object and is
  // valid as long as this object. Throws FILE_TOO_LARGE.
  EngineInput engine_input() const {
    return write_engine_input(bytes_, content_, data_, label_, max_message_bytes_);
  }

  // The bytes as they were read. Every protobuf parser gives the same result for them (see
  // read_onnx()).
  std::string_view bytes() const { return bytes_; }
  const std::vector<ExternalData::File>& external_files() const { return data_.files(); }
  bool has_folder() const { return has_folder_; }
  int64_t num_nodes() const { return content_.num_nodes; }  // of all graphs and functions
  // Whether is_tree_operator() is true for every node.
  bool has_only_tree_nodes() const { return content_.num_tree_nodes == content_.num_nodes; }

  // The value of a key of metadata_props; nullopt if there is none. Valid as long as this object.
  std::optional<std::string_view> metadata(std::string_view key) const;

  // Whether the graph declares a shape for its output of that name; a scalar has a shape.
  bool has_output_shape(std::string_view name) const;

  // The id that belongs to the bytes of the file and of its external data ("The id" in
  // docs/contract.md). Reads all of them.
  std::string compute_id() const;

  // A key for a cache within one process: files with equal bytes have equal fingerprints. The hash
  // is seeded, so an attacker cannot create two files with the same fingerprint.
  std::string fingerprint() const;

 private:
  // Offsets in bytes_. A view into a short string would become invalid when the string is moved.
  struct Range {
    size_t begin = 0, size = 0;
  };
  void add_metadata(std::string_view key, std::string_view value);
  Range range_of(std::string_view part) const {
    if (part.empty()) return {};
    return {static_cast<size_t>(part.data() - bytes_.data()), part.size()};
  }
  std::string_view view(Range range) const {
    return std::string_view(bytes_).substr(range.begin, range.size);
  }
  std::string_view graph() const { return view(graph_); }

  std::string label_;
  std::string bytes_;
  bool has_folder_;
  uint64_t max_message_bytes_;
  OnnxContent content_;
  ExternalData data_;
  Range graph_;
  std::vector<std::pair<Range, Range>> metadata_;  // keys and values
};

}  // namespace sidecall
