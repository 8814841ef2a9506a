// Finding ONNX Runtime: none, one too old, foreign libraries. Each in a process of its own, because an engine is found once per process.
#include <array>
#include <catch2/catch_test_macros.hpp>
#include <cstdio>
#include <memory>

#include "support.h"

namespace {

// What open_model prints, run with the environment given as "A=1 B=2".
std::string open_model(const std::string& environment, const std::string& arguments) {
  const std::string command = "env " + environment + " '" OPEN_MODEL "' " + arguments + " 2>&1";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  REQUIRE(pipe != nullptr);
  std::string out;
  std::array<char, 4096> buffer;
  while (const size_t got = fread(buffer.data(), 1, buffer.size(), pipe.get())) out.append(buffer.data(), got);
  return out;
}

std::string add() { return "'" + test_paths::model("add.onnx") + "'"; }

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("the engine that the environment names is used, and nothing is printed") {
  CHECK(open_model("SIDECALL_ONNXRUNTIME='" + test_paths::onnxruntime() + "'", add()) == "OK\n\n");
  const std::string engine = open_model("SIDECALL_ONNXRUNTIME='" + test_paths::onnxruntime() + "'", "--engine");
  CHECK(has(engine, "\"engine\""));
  CHECK(has(engine, "\"version\""));
  CHECK(has(engine, "SIDECALL_ONNXRUNTIME"));
  CHECK(has(engine, "\"telemetry\": \"off\"") + has(engine, "\"telemetry\":\"off\"") == 1);
}

TEST_CASE("a path that is not there") {
  const std::string out = open_model("SIDECALL_ONNXRUNTIME=/nonexistent/libonnxruntime.so", add());
  CHECK(out.substr(0, 17) == "ENGINE_NOT_FOUND\n");
  CHECK(has(out, "/nonexistent/libonnxruntime.so"));
  CHECK(has(open_model("SIDECALL_ONNXRUNTIME=/nonexistent", add()), "ENGINE_NOT_FOUND"));
  CHECK(has(open_model("SIDECALL_ONNXRUNTIME='" + test_paths::onnxruntime() + "'", "--engine /nonexistent"), "ENGINE_NOT_FOUND"));
}

TEST_CASE("the option comes before the environment") {
  const std::string out = open_model("SIDECALL_ONNXRUNTIME=/nonexistent", "--engine '" + test_paths::onnxruntime() + "'");
  CHECK(has(out, "\nOK\n"));
  CHECK(has(out, "option"));
}

TEST_CASE("a library that is too old") {
  const std::string out = open_model("SIDECALL_ONNXRUNTIME='" FAKE_OLD "'", add());
  CHECK(out.substr(0, 15) == "ENGINE_TOO_OLD\n");
  CHECK(has(out, "1.10.0"));
  CHECK(has(out, "expected"));
  CHECK(has(open_model("SIDECALL_ONNXRUNTIME='" FAKE_OLD "'", "--engine"), "ENGINE_TOO_OLD"));
}

TEST_CASE("a library without a version that can be read") {
  const std::string out = open_model("SIDECALL_ONNXRUNTIME='" FAKE_ODD "'", add());
  CHECK(out.substr(0, 7) == "ENGINE_");
  CHECK(has(out, "expected"));
}

TEST_CASE("a file that is no library, and a library that is no ONNX Runtime") {
  CHECK(has(open_model("SIDECALL_ONNXRUNTIME=" + add(), add()), "ENGINE_NOT_FOUND"));
  CHECK(has(open_model("SIDECALL_ONNXRUNTIME=libm.so.6", add()), "ENGINE_NOT_FOUND"));
  CHECK(has(open_model("SIDECALL_ONNXRUNTIME=/tmp", add()), "ENGINE_NOT_FOUND"));
}

TEST_CASE("a file that is missing is told before an engine is looked for, or at least told") {
  const std::string out = open_model("SIDECALL_ONNXRUNTIME='" + test_paths::onnxruntime() + "'", "/no/such.onnx");
  CHECK(out.substr(0, 15) == "FILE_NOT_FOUND\n");
}
