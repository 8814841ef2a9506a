// Searches for ONNX Runtime in the order that sidecall.h documents, loads it and creates its
// environment; see library.h.
#include "library.h"

#define ORT_API_MANUAL_INIT
#include <onnxruntime_c_api.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/json/json.h"
#include "base/process/process_end.h"
#include "core/error.h"
#include "core/platform.h"
#include "fork_guard.h"

namespace sidecall {
namespace {

#if defined(__aarch64__)
constexpr const char* kTriplet = "aarch64-linux-gnu";
#else
constexpr const char* kTriplet = "x86_64-linux-gnu";
#endif
// Version 1.21, which Debian 13 ships, prints hundreds of lines to stderr and takes three times as
// long to load.
constexpr uint32_t kOldestVersion = 22;
static_assert(ORT_API_VERSION >= 21, "headers of ONNX Runtime 1.21 or newer are needed");
constexpr const char* kLibraryPrefix = "libonnxruntime.so";

struct Candidate {
  std::string path;
  const char* found_by;
};

std::string oldest_version() { return "1." + std::to_string(kOldestVersion); }

void add_files(std::vector<Candidate>* candidates, const std::string& folder,
               const char* found_by) {
  for (const std::string& path : platform::list_files(folder, kLibraryPrefix))
    candidates->push_back({path, found_by});
}

// Adds the places where Python's package managers put the library. `own_folder` is the folder of
// this code: a package in site-packages, or the bin folder of an environment.
void add_packages(std::vector<Candidate>* candidates, const std::string& own_folder) {
  const char* found_by = "beside the package";
  add_files(candidates, own_folder + "/../onnxruntime/capi", found_by);
  for (const std::string& python : platform::list_folders(own_folder + "/../lib", "python3")) {
    add_files(candidates, python + "/site-packages/onnxruntime/capi", found_by);
    // Debian's name of site-packages outside of virtual environments.
    add_files(candidates, python + "/dist-packages/onnxruntime/capi", found_by);
  }
}

std::vector<Candidate> list_candidates(const char* option, const char* package) {
  if (option != nullptr) return {{option, "option"}};
  if (const char* path = platform::environment("SIDECALL_ONNXRUNTIME");
      path != nullptr && *path != '\0') {
    return {{path, "SIDECALL_ONNXRUNTIME"}};
  }
  std::vector<Candidate> candidates;
  if (const std::string resident = platform::find_resident_library(kLibraryPrefix);
      !resident.empty()) {
    candidates.push_back({resident, "resident in the process"});
  }
  const std::string folder = platform::folder_of(platform::own_path());
  add_files(&candidates, folder, "beside libsidecall");
  add_files(&candidates, folder + "/../lib", "beside libsidecall");
  add_files(&candidates, folder + "/../lib/" + kTriplet, "beside libsidecall");
  if (package != nullptr) candidates.push_back({package, "beside the package"});
  add_packages(&candidates, folder);
  candidates.push_back({kLibraryPrefix, "the loader's path"});
  candidates.push_back({std::string(kLibraryPrefix) + ".1", "the loader's path"});
  return candidates;
}

uint32_t minor_version(const std::string& version) {
  uint32_t minor = 0;
  const size_t dot = version.find('.');
  if (dot == std::string::npos || version.compare(0, dot, "1") != 0) return 0;
  std::from_chars(version.data() + dot + 1, version.data() + version.size(), minor);
  return minor;
}

// The environment is a singleton of ONNX Runtime. If the host program has already created it, this
// returns the environment of the host, with the host's logger and threads.
OrtEnv* create_env(const OrtApi* api) {
  OrtEnv* env = nullptr;
  platform::set_environment_if_unset("ORT_DISABLE_TELEMETRY", "1");
  if (OrtStatus* status = api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "sidecall", &env)) {
    const std::string text = api->GetErrorMessage(status);
    api->ReleaseStatus(status);
    throw Error(SIDECALL_ENGINE, "onnxruntime: " + text);
  }
  return env;
}

// Returns nullptr and sets `why` if this candidate cannot be used.
std::unique_ptr<OrtLibrary> load(const Candidate& candidate, std::string* why, bool* is_too_old) {
  void* handle = platform::load_library(candidate.path, why);
  if (handle == nullptr) return nullptr;
  const auto get_base =
      reinterpret_cast<const OrtApiBase* (*)()>(platform::find_symbol(handle, "OrtGetApiBase"));
  if (get_base == nullptr) {
    *why = "it has no OrtGetApiBase";
    return nullptr;
  }
  const OrtApiBase* base = get_base();
  const std::string version = base->GetVersionString();
  const uint32_t offered = minor_version(version);
  const uint32_t api_version = std::min<uint32_t>(ORT_API_VERSION, offered);
  const OrtApi* api = offered < kOldestVersion ? nullptr : base->GetApi(api_version);
  if (api == nullptr) {
    *why = "expected version " + oldest_version() + " or newer, got " + version;
    *is_too_old = true;
    return nullptr;
  }
  return std::make_unique<OrtLibrary>(
      OrtLibrary{api, create_env(api), candidate.path, candidate.found_by, version, api_version});
}

std::unique_ptr<OrtLibrary> find(const char* option, const char* package) {
  std::string tried;
  bool is_too_old = false;
  for (const Candidate& candidate : list_candidates(option, package)) {
    std::string why;
    if (auto library = load(candidate, &why, &is_too_old)) return library;
    tried += (tried.empty() ? "" : "; ") + std::string(candidate.found_by) + " '" + candidate.path +
             "': " + why;
  }
  const std::string found = is_too_old ? "only an ONNX Runtime library that is too old was found"
                                       : "no ONNX Runtime library was found";
  // If a library is named, a package would not be searched.
  const std::string install = names_ort_library(option)
                                  ? ""
                                  : "install it with 'pip install onnxruntime' for Python or with "
                                    "'npm install onnxruntime-node' for Node.js, or ";
  throw Error(is_too_old ? SIDECALL_ENGINE_TOO_OLD : SIDECALL_ENGINE_NOT_FOUND,
              found + ": " + install +
                  "set SIDECALL_ONNXRUNTIME to the path of a libonnxruntime.so of version " +
                  oldest_version() +
                  " or newer, for example from github.com/microsoft/onnxruntime/releases (tried " +
                  tried + ")");
}

}  // namespace

const OrtLibrary& load_ort_library(const char* option, const char* package) {
  const ForkGuard guard;  // so that a forked child never finds the mutex locked
  // The two objects are never destroyed: sessions may outlive any static object, and the static
  // destructors of ONNX Runtime must not find an environment that is partly released.
  static auto* mutex = new std::mutex;
  static auto* loaded = new std::map<std::string, std::unique_ptr<OrtLibrary>>;
  const char* environment = platform::environment("SIDECALL_ONNXRUNTIME");
  const std::string key =
      option != nullptr
          ? std::string("option:") + option
          : std::string("env:") + (environment ? environment : "") + "|" + (package ? package : "");
  const std::lock_guard lock(*mutex);
  std::unique_ptr<OrtLibrary>& library = (*loaded)[key];
  if (library == nullptr) {
    library = find(option, package);
    watch_process_end();  // which destroys objects that threads of ONNX Runtime use
  }
  return *library;
}

std::string describe_ort_library(const OrtLibrary& library) {
  const char* telemetry = std::getenv("ORT_DISABLE_TELEMETRY");  // ONNX Runtime reads it this way
  json::Buffer buffer;
  json::Writer writer(buffer);
  const auto text = [&](const char* key, const std::string& value) {
    writer.Key(key);
    writer.String(value.c_str(), static_cast<rapidjson::SizeType>(value.size()));
  };
  writer.StartObject();
  text("engine", "onnxruntime");
  text("version", library.version);
  writer.Key("api");
  writer.Uint(library.api_version);
  text("path", library.path);
  text("found_by", library.found_by);
  text("oldest", oldest_version());
  text("telemetry", telemetry != nullptr && std::string(telemetry) == "1" ? "off" : "host");
  writer.EndObject();
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace sidecall
