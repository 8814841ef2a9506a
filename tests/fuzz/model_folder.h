// Makes the folder in which the targets `onnx_file` and `model` open a model.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace fuzz {

// A folder with one file of external data, 64 times the letter w, and one link that leads out of
// the folder. Several fuzzers may make it at the same time.
inline std::string make_folder() {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / "sidecall-fuzz-onnx";
  std::filesystem::create_directories(folder / "sub");
  const std::filesystem::path unfinished = folder / ("w.bin." + std::to_string(getpid()));
  std::ofstream(unfinished, std::ios::trunc) << std::string(64, 'w');
  std::filesystem::rename(unfinished, folder / "w.bin");
  std::error_code exists;
  std::filesystem::create_symlink("/etc/hostname", folder / "out", exists);
  return std::filesystem::canonical(folder).string();
}

}  // namespace fuzz
