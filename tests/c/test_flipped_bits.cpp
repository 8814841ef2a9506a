// Exported files in which one bit is flipped: none may open. `make bench-reliability` flips more
// bits, also of larger files.
#include <catch2/catch_test_macros.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "support.h"
#include "vectors/vector_case.h"

using support::error;

namespace {

namespace fs = std::filesystem;

// No golden row runs, so only the id can tell that the file has changed.
sidecall_model_options without_golden_rows() {
  sidecall_model_options options;
  sidecall_model_options_init(&options);
  options.verify = SIDECALL_VERIFY_OFF;
  return options;
}

bool is_refused(sidecall_status status, sidecall_model* model) {
  sidecall_model_close(model);
  return status >= SIDECALL_FILE_NOT_FOUND && status <= SIDECALL_FILE_FORBIDDEN;
}

bool opens(const std::string& bytes) {
  const sidecall_model_options options = without_golden_rows();
  sidecall_model* model = nullptr;
  const sidecall_status status =
      sidecall_model_open_bytes(bytes.data(), bytes.size(), &options, &model, error());
  return !is_refused(status, model);
}

bool opens_file(const fs::path& path) {
  const sidecall_model_options options = without_golden_rows();
  sidecall_model* model = nullptr;
  const sidecall_status status = sidecall_model_open(path.c_str(), &options, &model, error());
  return !is_refused(status, model);
}

// Returns the first bit whose flip `opens` does not notice; -1 if there is none.
template <typename Opens>
int64_t find_unnoticed(std::string* bytes, size_t step, Opens opens) {
  for (size_t bit = 0; bit < 8 * bytes->size(); bit += step) {
    char& byte = (*bytes)[bit / 8];
    const char before = byte;
    byte = static_cast<char>(byte ^ 1 << bit % 8);
    if (opens(*bytes)) return static_cast<int64_t>(bit);
    byte = before;
  }
  return -1;
}

void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace

TEST_CASE("a file with one flipped bit does not open") {
  const std::pair<const char*, size_t> files[] = {
      {"matrix.onnx", 1},       {"closed.onnx", 1},   {"text.onnx", 1}, {"dates.onnx", 1},
      {"label_string.onnx", 1}, {"penguins.onnx", 7}, {"gbm.onnx", 97}, {"spam.onnx", 97}};
  for (const auto& [name, step] : files) {
    std::string bytes = vectors::read_file(test_paths::model(name));
    INFO(name);
    // From the third time on, the process knows the bytes without hashing them.
    for (int i = 0; i < 3; ++i) CHECK(opens(bytes));
    CHECK(find_unnoticed(&bytes, step, opens) == -1);
  }
}

TEST_CASE("a file does not open if one bit of it or of its external data is flipped") {
  const fs::path folder =
      fs::temp_directory_path() / ("sidecall-flipped-" + std::to_string(getpid()));
  fs::create_directory(folder);
  std::string model = vectors::read_file(test_paths::model("external/with_id.onnx"));
  std::string weights = vectors::read_file(test_paths::model("external/weights.bin"));
  write(folder / "model.onnx", model);
  write(folder / "weights.bin", weights);
  CHECK(opens_file(folder / "model.onnx"));
  const auto opens_with = [&](const char* name) {
    return [&folder, name](const std::string& bytes) {
      write(folder / name, bytes);
      return opens_file(folder / "model.onnx");
    };
  };
  CHECK(find_unnoticed(&model, 1, opens_with("model.onnx")) == -1);
  write(folder / "model.onnx", model);
  CHECK(find_unnoticed(&weights, 1, opens_with("weights.bin")) == -1);
  write(folder / "weights.bin", weights);
  CHECK(opens_file(folder / "model.onnx"));
  fs::remove_all(folder);
}
