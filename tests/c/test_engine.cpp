// Finding ONNX Runtime: no library, a version that is too old, foreign libraries. Each test starts
// processes of its own, because a process looks for the engine only once.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

#include "support.h"

namespace {

// What `program` prints when it runs with the given environment, for example "A=1 B=2".
std::string run_program(const std::string& program, const std::string& environment,
                        const std::string& arguments) {
  const std::string command = "env " + environment + " '" + program + "' " + arguments + " 2>&1";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  REQUIRE(pipe != nullptr);
  std::string out;
  std::array<char, 4096> buffer;
  while (const size_t got = fread(buffer.data(), 1, buffer.size(), pipe.get()))
    out.append(buffer.data(), got);
  return out;
}

std::string open_model(const std::string& environment, const std::string& arguments) {
  return run_program(OPEN_MODEL, environment, arguments);
}

std::string label() { return "'" + test_paths::model("label_string.onnx") + "'"; }
std::string add() { return "'" + test_paths::model("add.onnx") + "'"; }

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("the engine that the environment names is used, and nothing is printed") {
  CHECK(open_model("SIDECALL_ONNXRUNTIME='" + test_paths::onnxruntime() + "'", add()) == "OK\n\n");
  const std::string engine =
      open_model("SIDECALL_ONNXRUNTIME='" + test_paths::onnxruntime() + "'", "--engine");
  CHECK(has(engine, "\"engine\""));
  CHECK(has(engine, "\"version\""));
  CHECK(has(engine, "SIDECALL_ONNXRUNTIME"));
  CHECK(has(engine, "\"telemetry\": \"off\"") + has(engine, "\"telemetry\":\"off\"") == 1);
}

// open_model as a setgid program: it runs with another group than its caller's primary group.
class WithAnotherGroup {
 public:
  WithAnotherGroup() {
    std::vector<gid_t> groups(static_cast<size_t>(getgroups(0, nullptr)));
    getgroups(static_cast<int>(groups.size()), groups.data());
    if (geteuid() == 0) groups.push_back(65534);
    const auto other =
        std::find_if(groups.begin(), groups.end(), [](gid_t group) { return group != getgid(); });
    if (other == groups.end()) return;
    std::filesystem::copy_file(OPEN_MODEL, path_,
                               std::filesystem::copy_options::overwrite_existing);
    is_made_ = chown(path_.c_str(), geteuid(), *other) == 0 && chmod(path_.c_str(), 02755) == 0;
  }
  ~WithAnotherGroup() { std::filesystem::remove(path_); }
  WithAnotherGroup(const WithAnotherGroup&) = delete;
  WithAnotherGroup& operator=(const WithAnotherGroup&) = delete;
  bool is_made() const { return is_made_; }
  std::string run(const std::string& environment, const std::string& arguments) const {
    return run_program(path_, environment, arguments);
  }

 private:
  const std::string path_ = std::string(OPEN_MODEL) + "-setgid";
  bool is_made_ = false;
};

TEST_CASE("the environment of the caller does not choose what a setgid program loads and opens") {
  const WithAnotherGroup program;
  if (!program.is_made())
    SKIP("a setgid program needs a second group, or root: this user has one group and is not root");
  const std::string out =
      program.run("SIDECALL_ONNXRUNTIME=/tmp/evil/libonnxruntime.so", "--engine");
  CHECK_FALSE(has(out, "/tmp/evil"));
  CHECK_FALSE(has(
      program.run("SIDECALL_VERIFY=off SIDECALL_ONNXRUNTIME=/tmp/evil/libonnxruntime.so", add()),
      "/tmp/evil"));
  CHECK(has(open_model(
                "SIDECALL_VERIFY=nonsense SIDECALL_ONNXRUNTIME='" + test_paths::onnxruntime() + "'",
                label()),
            "SIDECALL_VERIFY"));
  CHECK_FALSE(has(program.run("SIDECALL_VERIFY=nonsense", label()), "SIDECALL_VERIFY"));
  CHECK(has(open_model("SIDECALL_ENGINE=nonsense", label()), "SIDECALL_ENGINE"));
  CHECK_FALSE(has(program.run("SIDECALL_ENGINE=nonsense", label()), "SIDECALL_ENGINE"));
  // In the default location, a socket folder that every user may write to is refused. The setgid
  // program ignores XDG_RUNTIME_DIR, so it does not look there.
  const std::string folder = "/tmp/sidecall-engine-tests-" + std::to_string(getpid());
  std::filesystem::create_directories(folder + "/sidecall");
  std::filesystem::permissions(folder + "/sidecall", std::filesystem::perms::all);
  CHECK(has(open_model("XDG_RUNTIME_DIR='" + folder + "'", "shm:sidecall-absent"), "DENIED"));
  CHECK(has(program.run("XDG_RUNTIME_DIR='" + folder + "'", "shm:sidecall-absent"), "UNREACHABLE"));
  std::filesystem::remove_all(folder);
}

TEST_CASE("a path without an engine is reported with the setting to change") {
  const std::string out = open_model("SIDECALL_ONNXRUNTIME=/nonexistent/libonnxruntime.so", add());
  CHECK(out.substr(0, 17) == "ENGINE_NOT_FOUND\n");
  CHECK(has(
      out, "set SIDECALL_ONNXRUNTIME to the path of a libonnxruntime.so of version 1.22 or newer"));
  CHECK(has(out, "for example from github.com/microsoft/onnxruntime/releases"));
  CHECK(has(out, "/nonexistent/libonnxruntime.so"));
  CHECK_FALSE(has(out, "pip install"));  // of no use where a library is named
  CHECK(has(open_model("SIDECALL_ONNXRUNTIME=/nonexistent", add()), "ENGINE_NOT_FOUND"));
  CHECK(has(open_model("SIDECALL_ONNXRUNTIME='" + test_paths::onnxruntime() + "'",
                       "--engine /nonexistent"),
            "ENGINE_NOT_FOUND"));
}

TEST_CASE("the option for the engine overrides the environment variable") {
  const std::string out = open_model("SIDECALL_ONNXRUNTIME=/nonexistent",
                                     "--engine '" + test_paths::onnxruntime() + "'");
  CHECK(has(out, "\nOK\n"));
  CHECK(has(out, "option"));
}

TEST_CASE("a library that is too old is refused") {
  const std::string out = open_model("SIDECALL_ONNXRUNTIME='" FAKE_OLD "'", add());
  CHECK(out.substr(0, 15) == "ENGINE_TOO_OLD\n");
  CHECK(has(out, "of version 1.22 or newer"));
  CHECK(has(out, "expected version 1.22 or newer, got 1.10.0"));
  CHECK(has(open_model("SIDECALL_ONNXRUNTIME='" FAKE_OLD "'", "--engine"), "ENGINE_TOO_OLD"));
}

TEST_CASE("a library without a readable version is refused") {
  const std::string out = open_model("SIDECALL_ONNXRUNTIME='" FAKE_ODD "'", add());
  CHECK(out.substr(0, 7) == "ENGINE_");
  CHECK(has(out, "expected"));
}

TEST_CASE("a file that is not a library is refused, and so is a library other than ONNX Runtime") {
  CHECK(has(open_model("SIDECALL_ONNXRUNTIME=" + add(), add()), "ENGINE_NOT_FOUND"));
  CHECK(has(open_model("SIDECALL_ONNXRUNTIME=libm.so.6", add()), "ENGINE_NOT_FOUND"));
  CHECK(has(open_model("SIDECALL_ONNXRUNTIME=/tmp", add()), "ENGINE_NOT_FOUND"));
}

TEST_CASE("the native engine opens a model where there is no ONNX Runtime") {
  const std::string none = "SIDECALL_ONNXRUNTIME=/nonexistent/libonnxruntime.so ";
  CHECK(open_model(none + "SIDECALL_ENGINE=native", add()) == "OK\n\n");
  CHECK(has(open_model(none + "SIDECALL_ENGINE=onnxruntime", add()), "ENGINE_NOT_FOUND"));
}

TEST_CASE("a missing model file is reported as FILE_NOT_FOUND") {
  const std::string out =
      open_model("SIDECALL_ONNXRUNTIME='" + test_paths::onnxruntime() + "'", "/no/such.onnx");
  CHECK(out.substr(0, 15) == "FILE_NOT_FOUND\n");
}
