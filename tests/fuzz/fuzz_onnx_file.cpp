// Fuzzes the reader of ONNX files: any bytes. What it accepts must be confined to the model's folder and keep its id.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include <sidecall/sidecall.h>

#include "check.h"
#include "core/first_readers.h"
#include "core/onnx_file.h"

namespace {

// A folder with one file of external data and one link that leads out of it.
std::string make_folder() {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / "sidecall-fuzz-onnx";
  std::filesystem::create_directories(folder / "sub");
  std::ofstream(folder / "w.bin", std::ios::trunc) << std::string(64, 'w');
  if (!std::filesystem::is_symlink(std::filesystem::symlink_status(folder / "out")))
    std::filesystem::create_symlink("/etc/hostname", folder / "out");
  return std::filesystem::canonical(folder).string();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string folder = make_folder();
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  fuzz::run([&] {
    sidecall::OnnxFile file(bytes, folder, "fuzz");
    for (const sidecall::ExternalFile& external : file.external_files()) {
      fuzz::require(external.path.compare(0, folder.size() + 1, folder + "/") == 0, "external data inside the folder");
    }
    fuzz::require(file.bytes() == bytes, "the bytes as given");
    file.metadata("sidecall.contract");
    sidecall::readable_in_place(file, {{"x", SIDECALL_FLOAT32, {2}, {}}});
    const std::string id = file.compute_id();
    const std::string fingerprint = file.fingerprint();
    const sidecall::OnnxFile moved = std::move(file);
    fuzz::require(moved.compute_id() == id && moved.fingerprint() == fingerprint, "the same id after a move");
  });
  fuzz::run([&] {
    const sidecall::OnnxFile file(bytes, "", "fuzz");
    fuzz::require(file.external_files().empty(), "no external data without a folder");
  });
  return 0;
}
