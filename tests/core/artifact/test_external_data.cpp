// External data: confined to the model's folder, read once, and inlined into the model that the
// engine gets.
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/artifact/confined_folder.h"
#include "core/artifact/onnx_file.h"
#include "onnx_builder.h"
#include "tests/core/records_model.h"

using fake::status_of;
using onnx::bytes;
using onnx::hash_of;
using onnx::number;
using sidecall::ConfinedFile;
using sidecall::ConfinedFolder;
using sidecall::EngineInput;
using sidecall::OnnxFile;

namespace fs = std::filesystem;

namespace {

// A temporary folder that contains `m`, the folder of the model, and beside `m` a file that the
// model must not reach.
class Folder {
 public:
  Folder()
      : root_(fs::canonical(fs::temp_directory_path()) /
              ("sidecall-external-" + std::to_string(::getpid()))),
        path_(root_ / "m") {
    fs::remove_all(root_);
    fs::create_directories(path_ / "sub" / "deep");
    write("w.bin", std::string(300, 'w'));
    write("sub/s.bin", "0123456789abcdef");
    std::ofstream(root_ / "outside.bin") << "secret";
  }
  ~Folder() { fs::remove_all(root_); }
  void write(const std::string& name, const std::string& content) const {
    std::ofstream(path_ / name, std::ios::trunc) << content;
  }
  void link(const std::string& name, const fs::path& target) const {
    fs::create_symlink(target, path_ / name);
  }
  fs::path operator/(const std::string& name) const { return path_ / name; }
  std::string path() const { return path_.string(); }

 private:
  fs::path root_;
  fs::path path_;
};

std::string entry(const std::string& key, const std::string& value) {
  return bytes(13, bytes(1, key) + bytes(2, value));
}

std::string tensor(const std::string& name, int64_t elements, const std::string& location,
                   const std::string& more = "", int32_t dtype = SIDECALL_DTYPE_UINT8) {
  return number(1, elements) + number(2, dtype) + bytes(8, name) + entry("location", location) +
         more + number(14, 1);
}

std::string inlined(const std::string& name, int64_t elements, const std::string& data) {
  return number(1, elements) + number(2, SIDECALL_DTYPE_UINT8) + bytes(8, name) + bytes(9, data);
}

std::string model_of(const std::string& initializer, const std::string& more = "") {
  return number(1, 8) + bytes(7, bytes(2, "g") + bytes(5, initializer) + more) +
         bytes(14, bytes(1, "k") + bytes(2, "v"));
}

// The length in 8 bytes, little-endian, and the content.
std::string counted(const std::string& content) {
  std::string length(8, '\0');
  for (size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(content.size() >> (8 * i));
  return length + content;
}

}  // namespace

TEST_CASE("a confined folder opens files inside it, with and without openat2") {
  const Folder folder;
  folder.link("inside", "w.bin");
  folder.link("sub/up", "../w.bin");
  folder.link("absolute", folder / "sub/s.bin");
  folder.link("into", "sub");
  folder.link("into_absolute", folder / "sub");
  folder.link("chain", "into/up");
  for (const bool use_openat2 : {true, false}) {
    const ConfinedFolder confined(folder.path(), use_openat2);
    for (const std::string location :
         {"w.bin", "./w.bin", ".//w.bin", "inside", "sub/up", "into/up", "chain", "sub/../w.bin"}) {
      INFO(location << " " << use_openat2);
      const ConfinedFile file = confined.open(location);
      CHECK(file.error() == 0);
      CHECK(file.size() == 300);
    }
    for (const std::string location :
         {"sub/s.bin", "absolute", "into/s.bin", "into_absolute/s.bin", "sub//./s.bin"}) {
      INFO(location << " " << use_openat2);
      const ConfinedFile file = confined.open(location);
      CHECK(file.error() == 0);
      sidecall::Content content;
      CHECK(file.read(&content) == 0);
      CHECK(content.view() == "0123456789abcdef");
    }
  }
}

TEST_CASE("a confined folder opens only regular files inside it, with and without openat2") {
  const Folder folder;
  folder.link("out", "../outside.bin");
  folder.link("sub/out", "../../outside.bin");
  folder.link("out_absolute", folder / "../outside.bin");
  folder.link("out_folder", "..");
  folder.link("etc", "/etc");
  folder.link("itself", ".");
  folder.link("magic", "/proc/self/root");
  folder.link("dangling", "nothing");
  folder.link("dangling_outside", "../nothing");
  folder.link("loop", "loop");
  REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  const std::vector<std::pair<std::string, int>> refused = {
      {"../outside.bin", EXDEV},
      {"sub/../../outside.bin", EXDEV},
      {"out", EXDEV},
      {"sub/out", EXDEV},
      {"out_absolute", EXDEV},
      {"out_folder/outside.bin", EXDEV},
      {"etc/passwd", EXDEV},
      {"magic/etc/passwd", EXDEV},
      {".", EXDEV},
      {"./", EXDEV},
      {"itself", EXDEV},
      {"dangling_outside", EXDEV},
      {"dangling", ENOENT},
      {"nothing", ENOENT},
      {"nothing/w.bin", ENOENT},
      {"w.bin/", ENOTDIR},
      {"w.bin/.", ENOTDIR},
      {"w.bin/x", ENOTDIR},
      {"sub", EISDIR},
      {"sub/", EISDIR},
      {"fifo", ENOTSUP},
      {"loop", ELOOP},
      {std::string(256, 'x'), ENAMETOOLONG},
  };
  for (const bool use_openat2 : {true, false}) {
    const ConfinedFolder confined(folder.path(), use_openat2);
    for (const auto& [location, error] : refused) {
      INFO(location << " " << use_openat2);
      CHECK(confined.open(location).error() == error);
    }
  }
  CHECK(ConfinedFolder((folder / "nothing").string()).open("w.bin").error() == ENOENT);
}

TEST_CASE("external data are written into their tensors at every place of a model") {
  const Folder folder;
  const std::string w(300, 'w');
  // Tensors in an attribute, in a graph inside an attribute, in a sparse tensor and in a function.
  // Inlining makes each enclosing message longer.
  const auto everywhere = [](const std::string& tensor) {
    const std::string attribute = bytes(5, bytes(1, "value") + bytes(5, tensor) + number(20, 4));
    const std::string branch = bytes(
        5, bytes(1, "body") + bytes(6, bytes(1, attribute) + bytes(5, tensor)) + number(20, 5));
    const std::string sparse = bytes(15, bytes(1, tensor) + number(3, 300));
    return number(1, 8) +
           bytes(7, bytes(1, attribute + bytes(4, "If") + branch) + bytes(5, tensor) + sparse +
                        bytes(2, "g")) +
           bytes(25, bytes(1, "f") + bytes(7, attribute));
  };
  const OnnxFile file(everywhere(tensor("w", 300, "w.bin")), folder.path(), "m");
  const EngineInput input = file.engine_input();
  CHECK(input.model() == everywhere(inlined("w", 300, w)));
  CHECK(input.initializers.empty());
  CHECK(file.external_files().size() == 1);
  CHECK(OnnxFile(std::string(input.model()), "", "again").engine_input().model() == input.model());
}

TEST_CASE(
    "external data are cut by offset and length, or, if no length is given, by type and "
    "dimensions") {
  const Folder folder;
  const auto written = [&](const std::string& model) {
    return std::string(OnnxFile(model, folder.path(), "m").engine_input().model());
  };
  const std::string file = "sub/s.bin";
  CHECK(written(model_of(tensor("t", 4, file, entry("offset", "2") + entry("length", "4")))) ==
        model_of(inlined("t", 4, "2345")));
  CHECK(written(model_of(tensor("t", 4, file, entry("offset", "2")))) ==
        model_of(inlined("t", 4, "2345")));
  CHECK(written(model_of(tensor("t", 4, file, entry("length", "0")))) ==
        model_of(inlined("t", 4, "0123")));
  CHECK(written(model_of(tensor("t", 0, file, entry("offset", "16")))) ==
        model_of(inlined("t", 0, "")));
  CHECK(written(model_of(tensor("t", 16, file, entry("checksum", "00")))) ==
        model_of(inlined("t", 16, "0123456789abcdef")));
  // If a tensor names a file, elements in the tensor's own message are ignored.
  CHECK(written(model_of(tensor("t", 4, file, bytes(9, "zzzz") + bytes(5, "z")))) ==
        model_of(inlined("t", 4, "0123")));
}

TEST_CASE("data inside the message are used unless the tensor is marked as external") {
  const Folder folder;
  const std::string left_over = number(1, 1) + number(2, SIDECALL_DTYPE_UINT8) + bytes(9, "z");
  const OnnxFile file(model_of(left_over + entry("location", "w.bin")), folder.path(), "m");
  CHECK(file.engine_input().model() == model_of(left_over));
  CHECK(status_of([&] {
          OnnxFile(model_of(left_over + entry("location", "../outside.bin")), folder.path(), "m");
        }) == SIDECALL_FILE_FORBIDDEN);
  CHECK(OnnxFile(model_of(left_over + number(14, 0)), "", "m").engine_input().model() ==
        model_of(left_over + number(14, 0)));
}

TEST_CASE("external data beyond the file or with invalid numbers are refused") {
  const Folder folder;
  const auto status = [&](int64_t elements, const std::string& more,
                          int32_t dtype = SIDECALL_DTYPE_UINT8) {
    return status_of([&] {
      OnnxFile(model_of(tensor("t", elements, "sub/s.bin", more, dtype)), folder.path(), "m");
    });
  };
  CHECK(status(16, "") == SIDECALL_OK);
  CHECK(status(17, "") == SIDECALL_FILE_INVALID);
  CHECK(status(5, "", SIDECALL_DTYPE_FLOAT32) == SIDECALL_FILE_INVALID);
  CHECK(status(4, entry("offset", "13")) == SIDECALL_FILE_INVALID);
  CHECK(status(4, entry("length", "17")) == SIDECALL_FILE_INVALID);
  CHECK(status(4, entry("offset", "17") + entry("length", "0"), 99) == SIDECALL_FILE_INVALID);
  CHECK(status(4, entry("offset", "18446744073709551615") + entry("length", "1")) ==
        SIDECALL_FILE_INVALID);
  CHECK(status(4, entry("offset", "-1")) == SIDECALL_FILE_INVALID);
  CHECK(status(4, entry("offset", "1 ")) == SIDECALL_FILE_INVALID);
  CHECK(status(4, entry("offset", "1") + entry("offset", "2")) == SIDECALL_FILE_INVALID);
  CHECK(status(4, entry("offset", "") + entry("offset", "")) == SIDECALL_FILE_INVALID);
  CHECK(status(-1, "") == SIDECALL_FILE_INVALID);
  CHECK(status(INT64_MAX, number(1, 8)) == SIDECALL_FILE_INVALID);
  CHECK(status(INT64_MAX, "", SIDECALL_DTYPE_FLOAT64) == SIDECALL_FILE_INVALID);
}

TEST_CASE("initializers of a model that would be too large are passed separately") {
  const Folder folder;
  folder.write("w.bin", std::string(2000, 'w'));
  folder.write("v.bin", std::string(2000, 'v'));
  const std::string more =
      bytes(5, tensor("v", 2000, "v.bin")) + bytes(5, tensor("small", 16, "sub/s.bin"));
  const std::string model = model_of(tensor("w", 2000, "w.bin"), more);
  CHECK(OnnxFile(model, folder.path(), "m", 5000).engine_input().initializers.empty());
  const OnnxFile file(model, folder.path(), "m", 2000);
  const EngineInput input = file.engine_input();
  REQUIRE(input.initializers.size() == 2);
  CHECK(input.initializers[0].name == "w");
  CHECK(input.initializers[0].dims == sidecall::Dims{2000});
  CHECK(input.initializers[1].data == std::string(2000, 'v'));
  CHECK(input.model().find("0123456789abcdef") != std::string_view::npos);
  CHECK(input.model().find("w.bin") == std::string_view::npos);
  CHECK(status_of([&] { OnnxFile(std::string(input.model()), folder.path(), "m"); }) ==
        SIDECALL_FILE_UNREADABLE);

  const auto status = [&](const std::string& given) {
    return status_of([&] { OnnxFile(given, folder.path(), "m", 2000).engine_input(); });
  };
  CHECK(status(model_of(tensor("w", 2000, "w.bin"))) == SIDECALL_OK);
  CHECK(status(model_of(tensor("", 2000, "w.bin"))) == SIDECALL_FILE_TOO_LARGE);
  CHECK(status(model_of(tensor("w", 2000, "w.bin"), bytes(5, tensor("w", 2000, "v.bin")))) ==
        SIDECALL_FILE_TOO_LARGE);
  CHECK(status(model_of("", bytes(1, bytes(5, bytes(5, tensor("w", 2000, "w.bin")))))) ==
        SIDECALL_FILE_TOO_LARGE);
  CHECK(status(model_of(tensor("w", 3, "w.bin", entry("length", "2000")))) ==
        SIDECALL_FILE_TOO_LARGE);
  CHECK(status(model_of("", bytes(1, bytes(5, bytes(6, bytes(5, tensor("w", 2000, "w.bin"))))))) ==
        SIDECALL_FILE_TOO_LARGE);
}

TEST_CASE("the id is computed from the bytes that were read, even if the files change afterwards") {
  const Folder folder;
  const std::string w(300, 'w'), s = "0123456789abcdef";
  const std::string model =
      model_of(tensor("w", 300, "w.bin"),
               bytes(5, tensor("s", 16, "sub/s.bin")) + bytes(5, tensor("v", 1, "./w.bin")) +
                   bytes(5, tensor("u", 1, "w.bin", entry("offset", "9"))));
  const OnnxFile file(model, folder.path(), "m");
  REQUIRE(file.external_files().size() == 3);
  // A file with two names is read once.
  CHECK(file.external_files()[0].content == file.external_files()[2].content);
  const std::string all = model + counted(w) + counted(s) + counted(w);
  CHECK(file.compute_id() == hash_of(all));
  const std::string fingerprint = file.fingerprint();
  CHECK(OnnxFile(model, folder.path(), "other name").fingerprint() == fingerprint);
  folder.write("w.bin", std::string(300, 'x'));
  fs::remove(folder / "sub/s.bin");
  CHECK(file.compute_id() == hash_of(all));
  CHECK(file.fingerprint() == fingerprint);
  folder.write("sub/s.bin", s);
  CHECK(OnnxFile(model, folder.path(), "m").fingerprint() != fingerprint);
}

TEST_CASE("the id covers external data in the order in which the bytes of the model name them") {
  const Folder folder;
  const std::string w(300, 'w'), s = "0123456789abcdef";
  // A constant inside the function has its content in a file too.
  const std::string constant = bytes(5, bytes(1, "value") + bytes(5, tensor("c", 16, "sub/s.bin")));
  const std::string function = bytes(25, bytes(1, "f") + bytes(7, constant) + bytes(10, "d"));
  const std::string graph = bytes(7, bytes(2, "g") + bytes(5, tensor("w", 300, "w.bin")));
  const auto id_of = [&](const std::string& model) {
    return OnnxFile(model, folder.path(), "m").compute_id();
  };
  CHECK(id_of(graph) == hash_of(graph + counted(w)));
  CHECK(id_of(graph + function) == hash_of(graph + function + counted(w) + counted(s)));
  CHECK(id_of(function + graph) == hash_of(function + graph + counted(s) + counted(w)));
  folder.write("sub/s.bin", "0123456789abcdeF");
  CHECK(id_of(graph + function) != hash_of(graph + function + counted(w) + counted(s)));
}

TEST_CASE("a model with more files than a process can open is read") {
  const Folder folder;
  std::string more;
  for (int i = 0; i < 3000; ++i) {
    const std::string name = "f" + std::to_string(i);
    folder.write(name, "x");
    more += bytes(5, tensor(name, 1, name));
  }
  const OnnxFile file(model_of(tensor("w", 300, "w.bin"), more), folder.path(), "m");
  CHECK(file.external_files().size() == 3001);
}
