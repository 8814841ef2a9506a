// What sidecall must know of an ONNX file before ONNX Runtime sees it: its metadata, its external
// data, and what the engine gets of it.
#pragma once

#include <cstdint>
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
  // Takes the bytes of a model and reads its external data. `folder` is where those may lie, empty
  // when there is no such place; `label` names the model in errors. Nothing is read again later.
  // `max_message_bytes`: of what the engine gets in one piece; tests give less. Throws
  // FILE_INVALID, FILE_FORBIDDEN, FILE_NOT_FOUND, FILE_UNREADABLE, FILE_TOO_LARGE.
  OnnxFile(std::string bytes, const std::string& folder, const std::string& label,
           uint64_t max_message_bytes = kMaxMessageBytes);

  // What the engine opens instead of the file; views into this object, and valid as long as it.
  // Throws FILE_TOO_LARGE.
  EngineInput engine_input() const {
    return write_engine_input(bytes_, content_, data_, label_, max_message_bytes_);
  }

  std::string_view bytes() const {
    return bytes_;
  }  // as they were read; every parser of protobuf reads the same in them
  const std::vector<ExternalData::File>& external_files() const { return data_.files(); }
  bool has_folder() const { return has_folder_; }
  int64_t num_nodes() const { return content_.num_nodes; }  // of all graphs in it
  bool has_only_tree_nodes() const {
    return content_.num_tree_nodes == content_.num_nodes;
  }  // as is_tree_operator() tells

  // The value of a key of metadata_props; nullptr when there is none.
  const std::string* metadata(std::string_view key) const;

  // Whether the graph gives its output of that name a shape; a scalar has one.
  bool has_output_shape(std::string_view name) const;

  // docs/contract.md, model.id.
  std::string compute_id() const;

  // Recognises the same content within one process; cheap, not cryptographic.
  std::string fingerprint() const;

 private:
  void add_metadata(std::pair<std::string, std::string> entry);
  std::string_view graph() const {
    return std::string_view(bytes_).substr(graph_at_, graph_bytes_);
  }

  std::string label_;
  std::string bytes_;
  bool has_folder_;
  uint64_t max_message_bytes_;
  OnnxContent content_;
  ExternalData data_;
  size_t graph_at_ = 0;  // in bytes_; a view would not survive a move of short bytes
  size_t graph_bytes_ = 0;
  std::vector<std::pair<std::string, std::string>> metadata_;
};

}  // namespace sidecall
