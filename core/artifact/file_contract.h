// Reads the contract of a model file, after comparing the bytes of the file and of its external
// data with the id that the export wrote. Used by model.cpp and by the engine of http: and grpc:,
// whose URIs may name a file for its contract.
#pragma once

#include <optional>
#include <string>

#include "onnx_file.h"

namespace sidecall {

struct FileContract {
  std::string text;
  std::string id;
};

// Returns nullopt if the file was not exported. Error messages begin with `where`, for example
// "file 'fraud.onnx'". Throws FILE_INVALID if the bytes differ from those of the export, or if only
// one of contract and id is there.
std::optional<FileContract> read_file_contract(const OnnxFile& file, const std::string& where);

}  // namespace sidecall
