// Fuzzes the reader of ONNX files with any bytes. An accepted file stays confined to the model's
// folder and keeps its id; the model that the engine gets names no file.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <sidecall/sidecall.h>

#include "core/artifact/in_place_safety.h"
#include "core/artifact/onnx_file.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/model_folder.h"

namespace {

// The model that the engine gets names no file, and is unchanged when it is read and written again.
void check_engine_input(const sidecall::OnnxFile& file) {
  const sidecall::EngineInput input = file.engine_input();
  fuzz::require(input.initializers.empty(), "nothing beside a small model");
  const sidecall::OnnxFile again(std::string(input.model()), "", "again");
  fuzz::require(again.external_files().empty(), "no external data in what the engine gets");
  fuzz::require(again.engine_input().model() == input.model(), "the same output of the same input");
  fuzz::require(again.num_nodes() == file.num_nodes(), "the same nodes");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string folder = fuzz::make_folder();
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  fuzz::run([&] {
    sidecall::OnnxFile file(bytes, folder, "fuzz");
    for (const sidecall::ExternalData::File& external : file.external_files()) {
      const std::string_view content = external.content->view();
      fuzz::require(content.find_first_not_of('w') == std::string_view::npos,
                    "external data of the folder's own file");
    }
    fuzz::require(file.bytes() == bytes, "the bytes as given");
    file.metadata("sidecall.contract");
    file.has_output_shape("y");
    sidecall::readable_in_place(file, {{"x", SIDECALL_DTYPE_FLOAT32, {2}, {}}});
    check_engine_input(file);
    const std::string id = file.compute_id();
    const std::string fingerprint = file.fingerprint();
    const sidecall::OnnxFile moved = std::move(file);
    fuzz::require(moved.compute_id() == id && moved.fingerprint() == fingerprint,
                  "the same id after a move");
  });
  fuzz::run([&] {
    const sidecall::OnnxFile file(bytes, "", "fuzz");
    fuzz::require(file.external_files().empty(), "no external data without a folder");
  });
  return 0;
}
