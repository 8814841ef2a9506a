// Reads the data of tensors that lie in other files of the model's folder; used by onnx_file.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "confined_folder.h"
#include "onnx_reader.h"

namespace sidecall {

class ExternalData {
 public:
  ExternalData() = default;

  // Reads each file that a tensor names, once and completely, into memory. An empty `folder` allows
  // no external data. Throws FILE_FORBIDDEN, FILE_NOT_FOUND, FILE_UNREADABLE, FILE_INVALID,
  // FILE_TOO_LARGE.
  ExternalData(const std::vector<ExternalTensor>& tensors, const std::string& folder,
               const std::string& label);

  // The bytes of a tensor, by its index; valid as long as this object.
  std::string_view of(size_t tensor) const { return ranges_[tensor]; }

  // The files, by the names in the tensors, in the order in which each name occurs first. A file
  // with two names occurs twice.
  struct File {
    std::string location;
    std::shared_ptr<const Content> content;
  };
  const std::vector<File>& files() const { return files_; }

 private:
  std::vector<File> files_;
  std::vector<std::string_view> ranges_;
};

}  // namespace sidecall
