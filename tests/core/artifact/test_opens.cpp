// Which files are opened while a model opens: sidecall reads the model itself, ONNX Runtime opens
// no file.
//
// A seccomp filter reports each call of the open family, by the opening thread and by the threads
// that it starts, to the main thread.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/model.h"
#include "engines/onnxruntime/engine.h"
#include "onnx_builder.h"
#include "tests/core/records_model.h"

using fake::status_of;
using sidecall::OnnxFile;

namespace fs = std::filesystem;

namespace {

using Paths = std::vector<std::string>;

// The library under test: SIDECALL_ONNXRUNTIME, or the oldest supported version. `make test` sets
// both.
const char* onnxruntime() {
  const char* const name = std::getenv("SIDECALL_TEST_OLDEST") != nullptr
                               ? "SIDECALL_ONNXRUNTIME_OLDEST"
                               : "SIDECALL_ONNXRUNTIME";
  const char* const path = std::getenv(name);
  if (path == nullptr || *path == '\0')
    throw std::runtime_error(std::string("set ") + name +
                             " to the path of an ONNX Runtime library, as make test does");
  return path;
}

// Makes the kernel report each call that opens a file (SECCOMP_RET_USER_NOTIF). Returns the
// descriptor that delivers the reports.
int install_filter() {
  std::vector<sock_filter> program = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const long number : {
           static_cast<long>(SYS_openat),
           437L,  // openat2
           static_cast<long>(SYS_open_by_handle_at),
#ifdef SYS_open
           static_cast<long>(SYS_open),
           static_cast<long>(SYS_creat),
#endif
       }) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter = {static_cast<unsigned short>(program.size()), program.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return static_cast<int>(
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter));
}

// The path argument of a call. The pointer is valid because the calling thread belongs to this
// process and is stopped.
std::string path_of(const seccomp_data& call) {
  const bool has_folder = call.nr == SYS_openat || call.nr == 437;
  if (call.nr == SYS_open_by_handle_at) return "open_by_handle_at";
  return reinterpret_cast<const char*>(call.args[has_folder ? 1 : 0]);
}

// Runs `body` on its own thread and returns the paths that it opened, in order. Every call is
// permitted.
Paths opened_by(const std::function<void()>& body) {
  std::promise<int> installed;
  std::promise<void> done;
  std::thread subject([&] {
    const int listener = install_filter();
    installed.set_value(listener < 0 ? -errno : listener);
    if (listener >= 0) body();
    done.set_value();
  });
  const int listener = installed.get_future().get();
  if (listener < 0) {
    subject.join();
    const char* const required = std::getenv("SIDECALL_REQUIRE");
    if (required != nullptr && std::string(required) == "all")
      FAIL("seccomp: " << std::strerror(-listener));
    SKIP("the system does not let a seccomp filter report calls to this process: "
         << std::strerror(-listener));
  }
  Paths paths;
  const auto is_over = done.get_future();
  for (bool last = false; !last;) {
    last = is_over.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    for (pollfd ready = {listener, POLLIN, 0};
         ::poll(&ready, 1, 10) == 1 && (ready.revents & POLLIN) != 0;) {
      seccomp_notif report{};
      if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &report) != 0) continue;
      const std::string path = path_of(report.data);
      // glibc's malloc reads this file when it first returns a thread's memory to the system.
      if (path != "/proc/sys/vm/overcommit_memory") paths.push_back(path);
      seccomp_notif_resp answer{};
      answer.id = report.id;
      answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
      ::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
  }
  subject.join();
  ::close(listener);
  return paths;
}

std::string model_path(const std::string& name) {
  return SIDECALL_TEST_SOURCE_DIR "/tests/vectors/models/" + name;
}

sidecall_model_options options() {
  sidecall_model_options made;
  sidecall_model_options_init(&made);
  made.onnxruntime = onnxruntime();
  return made;
}

// Opens every file with ONNX Runtime.
sidecall::ChosenEngine open_engine(const OnnxFile& file, const std::string& label,
                                   const sidecall_model_options& options,
                                   const sidecall::ContractDocument*) {
  return {sidecall::open_ort_engine(file, label, options), ""};
}

// The status of an open, and the paths that were opened.
struct Opening {
  int32_t status = SIDECALL_OK;
  Paths paths;
};

Opening open_file(const std::string& path) {
  Opening opening;
  opening.paths = opened_by([&] {
    opening.status = status_of([&] { sidecall::Model::open(path, options(), open_engine); });
  });
  return opening;
}

Opening open_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  Opening opening;
  opening.paths = opened_by([&] {
    opening.status = status_of([&] { sidecall::Model::open_bytes(bytes, options(), open_engine); });
  });
  return opening;
}

// The first model that a process opens also loads ONNX Runtime, and loading opens files. So a test
// does this before it records paths.
void load_library() { sidecall::Model::open(model_path("add.onnx"), options(), open_engine); }

}  // namespace

TEST_CASE("the filter reports what a thread and its children open") {
  const auto look = [] { std::ifstream("/proc/self/status").get(); };
  CHECK(opened_by([&] {
          look();
          std::thread(look).join();
          ::close(::openat(AT_FDCWD, "/nowhere", O_RDONLY));
        }) == Paths{"/proc/self/status", "/proc/self/status", "/nowhere"});
}

TEST_CASE("opening a model opens only its file and its external data") {
  load_library();
  const std::string folder = fs::canonical(model_path("external")).string();
  for (const std::string name : {"add.onnx", "gbm.onnx", "penguins.onnx"}) {
    INFO(name);
    const Opening opening = open_file(model_path(name));
    CHECK(opening.status == SIDECALL_OK);
    CHECK(opening.paths == Paths{model_path(name)});
    CHECK(open_bytes(model_path(name)).paths.empty());
  }
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"inside", "weights.bin"}, {"offset", "weights.bin"},
      {"branch", "weights.bin"}, {"subfolder", "sub/weights.bin"},
      {"dot", "./weights.bin"},  {"link_inside", "link_inside.bin"},
  };
  for (const auto& [name, data] : cases) {
    INFO(name);
    const Opening opening = open_file(model_path("external/" + name + ".onnx"));
    CHECK(opening.status == SIDECALL_OK);
    CHECK(opening.paths == Paths{model_path("external/" + name + ".onnx"), folder, data});
  }
}

TEST_CASE("a hostile model is refused before a file outside its folder is opened") {
  load_library();
  const std::vector<std::pair<std::string, int32_t>> cases = {
      {"external/hidden_location", SIDECALL_FILE_INVALID},
      {"external/address_in_memory", SIDECALL_FILE_FORBIDDEN},
      {"external/absolute", SIDECALL_FILE_FORBIDDEN},
      {"external/parent", SIDECALL_FILE_FORBIDDEN},
      {"external/parent_in_branch", SIDECALL_FILE_FORBIDDEN},
      {"external/parent_in_attribute", SIDECALL_FILE_FORBIDDEN},
      {"external/parent_in_function", SIDECALL_FILE_FORBIDDEN},
      {"external/nul_in_location", SIDECALL_FILE_FORBIDDEN},
      {"broken/group_in_output", SIDECALL_FILE_INVALID},
  };
  for (const auto& [name, status] : cases) {
    INFO(name);
    const std::string path = model_path(name + ".onnx");
    const Opening opening = open_file(path);
    CHECK(opening.status == status);
    CHECK(opening.paths == Paths{path});
    CHECK(open_bytes(path).paths.empty());
  }
  CHECK(open_bytes(model_path("external/inside.onnx")).status == SIDECALL_FILE_FORBIDDEN);
}

TEST_CASE("separate initializers of a model that is too large are used from memory") {
  constexpr int64_t kCount = 2000;
  const fs::path folder =
      fs::canonical(fs::temp_directory_path()) / ("sidecall-opens-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  const std::vector<float> weights(kCount, 2.5F);
  std::ofstream(folder / "w.bin", std::ios::binary) << onnx::raw(weights);
  // y = -(x + w): two nodes, so that ONNX Runtime's optimiser uses the initializer.
  const std::string weight =
      onnx::number(1, kCount) + onnx::number(2, SIDECALL_DTYPE_FLOAT32) + onnx::bytes(8, "w") +
      onnx::bytes(13, onnx::bytes(1, "location") + onnx::bytes(2, "w.bin")) + onnx::number(14, 1);
  onnx::Graph graph;
  graph.input("x", SIDECALL_DTYPE_FLOAT32, {kCount}).output("y", SIDECALL_DTYPE_FLOAT32, {kCount});
  graph.node("Add", {"x", "w"}, {"s"}).node("Neg", {"s"}, {"y"});
  const std::string model = onnx::number(1, 8) +
                            onnx::bytes(7, graph.message() + onnx::bytes(5, weight)) +
                            onnx::bytes(8, onnx::bytes(1, "") + onnx::number(2, 17));
  load_library();
  std::unique_ptr<OnnxFile> file;
  std::unique_ptr<sidecall::Engine> engine;
  const Paths paths = opened_by([&] {
    file = std::make_unique<OnnxFile>(model, folder.string(), "m", 2000);
    engine = sidecall::open_ort_engine(*file, "m", options());
  });
  CHECK(file->engine_input().initializers.size() == 1);
  CHECK(paths == Paths{folder.string(), "w.bin"});
  fs::remove_all(folder);

  const std::vector<float> x(kCount, 1);
  std::vector<float> y(kCount, 0);
  const sidecall::Dims dims{kCount};
  const auto context = engine->make_context(false);
  context->borrow_input(0, x.data(), dims);
  context->shape_output(0, &dims, y.data());
  context->claim();
  context->run(-1);
  CHECK(y == std::vector<float>(kCount, -3.5F));
}
