// Which engine runs a file: the environment, the query of the URI, the option, and their errors.
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <filesystem>

#include "support.h"
#include "vectors/vector_case.h"

using support::error;
using support::last;
using support::status;
using support::Variable;

namespace {

sidecall::Options with_engine(int32_t engine) {
  sidecall::Options options;
  options.engine = engine;
  return options;
}

// The engine of an open model, for example "native 2".
std::string engine_of(const sidecall::Model& model) {
  const std::string report = model.verify(), key = "\"engine\":\"";
  const size_t begin = report.find(key) + key.size();
  return report.substr(begin, report.find('"', begin) - begin);
}

// "native" or "onnxruntime", which runs matrix.onnx.
std::string chosen(const std::string& query, int32_t option = SIDECALL_ENGINE_AUTO) {
  const sidecall::Model model(test_paths::model("matrix.onnx") + query, with_engine(option));
  CHECK(model.predict_json(R"({"a": 1, "b": 2, "c": true, "d": 0.5})") == R"({"prediction":621})");
  const std::string engine = engine_of(model);
  CHECK(model.engine() == engine);
  CHECK(!model.engine_reason().empty());
  return engine.substr(0, engine.find(' '));
}

std::string open_status(const std::string& uri, int32_t option = SIDECALL_ENGINE_AUTO) {
  const sidecall::Options options = with_engine(option);
  sidecall_model* model = nullptr;
  const std::string out = status(sidecall_model_open(uri.c_str(), &options, &model, error()));
  sidecall_model_close(model);
  return out;
}

// A folder with copies of add.onnx, which is removed at the end.
class Folder {
 public:
  Folder() { std::filesystem::create_directories(path_); }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string add(const std::string& name) const {
    const std::string file = path_ + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
    std::filesystem::copy_file(test_paths::model("add.onnx"), file);
    return file;
  }

 private:
  const std::string path_ = std::filesystem::temp_directory_path() /
                            ("sidecall-engine-choice-" + std::to_string(getpid()));
};

}  // namespace

TEST_CASE("the option chooses the engine, and the report of the verification names it") {
  const Variable unset("SIDECALL_ENGINE", "");
  CHECK(chosen("") == "onnxruntime");
  CHECK(chosen("", SIDECALL_ENGINE_ONNXRUNTIME) == "onnxruntime");
  CHECK(chosen("", SIDECALL_ENGINE_NATIVE) == "native");
  const sidecall::Model model(test_paths::model("matrix.onnx"),
                              with_engine(SIDECALL_ENGINE_NATIVE));
  CHECK(engine_of(model) == "native 2");
  const std::string bytes = vectors::read_file(test_paths::model("matrix.onnx"));
  CHECK(engine_of(sidecall::Model::from_bytes(bytes.data(), bytes.size(),
                                              with_engine(SIDECALL_ENGINE_NATIVE))) == "native 2");
}

TEST_CASE(
    "the query of the URI overrides the option, and the environment variable overrides both") {
  const Variable unset("SIDECALL_ENGINE", "");
  CHECK(chosen("?engine=native") == "native");
  CHECK(chosen("?engine=native", SIDECALL_ENGINE_ONNXRUNTIME) == "native");
  CHECK(chosen("?engine=onnxruntime", SIDECALL_ENGINE_NATIVE) == "onnxruntime");
  CHECK(chosen("?engine=auto", SIDECALL_ENGINE_NATIVE) == "onnxruntime");
  {
    const Variable set("SIDECALL_ENGINE", "native");
    CHECK(chosen("?engine=onnxruntime", SIDECALL_ENGINE_ONNXRUNTIME) == "native");
  }
  {
    const Variable set("SIDECALL_ENGINE", "onnxruntime");
    CHECK(chosen("?engine=native", SIDECALL_ENGINE_NATIVE) == "onnxruntime");
  }
  {
    const Variable set("SIDECALL_ENGINE", "auto");
    CHECK(chosen("", SIDECALL_ENGINE_NATIVE) == "onnxruntime");
  }
  const sidecall::Model by_uri("file://" + test_paths::model("m%61trix.onnx?engine=native"));
  CHECK(engine_of(by_uri) == "native 2");
}

TEST_CASE("a wrong engine is refused with the legal values") {
  const Variable unset("SIDECALL_ENGINE", "");
  const std::string model = test_paths::model("add.onnx");
  for (const int32_t wrong : {-1, 3}) {
    CHECK(open_status(model, wrong) == "INVALID_ARGUMENT");
    CHECK(last().message ==
          "options.engine: expected a SIDECALL_ENGINE_* value, got " + std::to_string(wrong));
  }
  for (const char* wrong : {"?engine=fast", "?engine=Native", "?engine=", "?engine=native ",
                            "?motor=native", "?engine=native&x=1", "?native", "?"}) {
    for (const std::string& uri : {model + wrong, "file://" + model + wrong}) {
      CHECK(open_status(uri) == "INVALID_ARGUMENT");
      CHECK(last().message == "uri '" + uri +
                                  "': expected the path of a file, or the query ?engine=auto, "
                                  "?engine=native or ?engine=onnxruntime, got neither");
    }
  }
  for (const char* wrong : {"fast", "NATIVE", "1", " native"}) {
    const Variable set("SIDECALL_ENGINE", wrong);
    CHECK(open_status(model + "?engine=native") == "INVALID_ARGUMENT");
    CHECK(last().message == "SIDECALL_ENGINE: expected auto, native or onnxruntime, got '" +
                                std::string(wrong) + "'");
  }
  CHECK(open_status(test_paths::model("none.onnx?engine=native")) == "FILE_NOT_FOUND");
  CHECK(open_status("shm:fraud?engine=native") == "INVALID_ARGUMENT");
}

TEST_CASE("a file can be opened although its name contains a question mark") {
  const Variable unset("SIDECALL_ENGINE", "");
  const Folder folder;
  for (const char* name : {"what?.onnx", "a?engine=fast", "a?engine=native?b", "why?/add.onnx"}) {
    const std::string file = folder.add(name);
    CHECK(open_status(file) == "OK");
    CHECK(open_status("file://" + file) == "OK");
    CHECK(open_status(file + "?engine=native") == "OK");
  }
  // This name ends like a query, so the path names add.onnx, which does not exist. In a URI, %3F is
  // always a part of the name.
  const std::string odd = folder.add("add.onnx?engine=native");
  CHECK(open_status(odd) == "FILE_NOT_FOUND");
  CHECK(open_status(odd + "?engine=auto") == "OK");
  CHECK(open_status("file://" + odd.substr(0, odd.rfind('?')) + "%3Fengine=native") == "OK");
}

TEST_CASE("the native engine refuses a graph that it cannot run, and names the node") {
  const Variable unset("SIDECALL_ENGINE", "");
  const std::string uri = test_paths::model("nonzero.onnx") + "?engine=native";
  CHECK(open_status(uri) == "UNSUPPORTED");
  const std::string message = last().message;
  CHECK(message.find("file '" + uri + "'") != std::string::npos);
  CHECK(message.find("NonZero") != std::string::npos);
}
