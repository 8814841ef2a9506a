// What sidecall must know of an ONNX file before ONNX Runtime sees it: where the graph lies, its metadata, and its
// external data. Reads protobuf's wire format at the top, no schema.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sidecall {

// A file that holds part of the weights.
struct ExternalFile {
  std::string location;  // as the graph names it
  std::string path;      // absolute, inside the model's folder
};

class OnnxFile {
 public:
  // Takes the bytes of a model. `folder` is where external data may lie, empty when there is no such place; `label` names the model in errors.
  // Throws FILE_INVALID, FILE_FORBIDDEN, FILE_NOT_FOUND, FILE_UNREADABLE.
  OnnxFile(std::string bytes, const std::string& folder, const std::string& label);

  const std::string& bytes() const { return bytes_; }
  const std::vector<ExternalFile>& external_files() const { return external_files_; }
  const std::string& folder() const { return folder_; }
  int64_t num_nodes() const { return num_nodes_; }  // of all graphs in it

  // The value of a key of metadata_props; nullptr when there is none.
  const std::string* metadata(std::string_view key) const;

  // Whether the graph gives its output of that name a shape; a scalar has one.
  bool has_output_shape(std::string_view name) const;

  // docs/contract.md, model.id.
  std::string compute_id() const;

  // Recognises the same content within one process; cheap, not cryptographic.
  std::string fingerprint() const;

 private:
  void add_metadata(std::pair<std::string, std::string> entry, const std::string& label);

  std::string bytes_;
  std::string folder_;
  size_t graph_at_ = 0;  // in bytes_; a view would not survive a move of short bytes
  size_t graph_bytes_ = 0;
  int64_t num_nodes_ = 0;
  std::vector<std::pair<std::string, std::string>> metadata_;
  std::vector<ExternalFile> external_files_;
};

}  // namespace sidecall
