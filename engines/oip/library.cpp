// Finds libsidecall-net.so; see library.h.
#include "library.h"

#include <sidecall/sidecall.h>

#include <cstring>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/platform.h"

namespace sidecall {
namespace {

constexpr const char* kName = "libsidecall-net.so";
#ifdef __aarch64__
constexpr const char* kNpmPackage = "@sidecall/linux-arm64-net";
#else
constexpr const char* kNpmPackage = "@sidecall/linux-x64-net";
#endif

#define TEXT_OF(number) #number
#define DOTTED(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)
constexpr const char* kVersion =
    DOTTED(SIDECALL_VERSION_MAJOR, SIDECALL_VERSION_MINOR, SIDECALL_VERSION_PATCH);

// In the order of the search. The library lies beside libsidecall, in the folder lib of a command,
// in the package sidecall_net beside the Python package or in the environment whose folder bin has
// the command, or in @sidecall/linux-x64-net beside @sidecall/linux-x64 or its slim package.
std::vector<std::string> candidates() {
  const char* const named = platform::environment("SIDECALL_NET");
  if (named != nullptr && *named != '\0') return {named};
  const std::string folder = platform::folder_of(platform::own_path());
  std::string package = folder;
  constexpr std::string_view kSlim = "-slim";
  if (package.size() > kSlim.size() &&
      package.compare(package.size() - kSlim.size(), kSlim.size(), kSlim) == 0)
    package.resize(package.size() - kSlim.size());
  std::vector<std::string> found = {folder + "/" + kName, folder + "/../lib/" + kName,
                                    folder + "/../sidecall_net/" + kName};
  for (const std::string& python : platform::list_folders(folder + "/../lib", "python3")) {
    // Debian's name of site-packages outside of virtual environments is dist-packages.
    for (const char* const packages : {"/site-packages", "/dist-packages"}) {
      const std::string path = python + packages + "/sidecall_net/" + kName;
      if (platform::is_file(path)) found.push_back(path);
    }
  }
  constexpr std::string_view kNpm = "/linux-";
  const size_t slash = package.rfind('/');
  if (slash != std::string::npos && package.compare(slash, kNpm.size(), kNpm) == 0)
    found.push_back(package + "-net/" + kName);
  found.emplace_back(kName);
  return found;
}

struct Library {
  const sidecall_net_api* client = nullptr;
  const sidecall_net_server_api* server = nullptr;
  std::string path;
};

Library load() {
  std::string tried;
  for (const std::string& path : candidates()) {
    std::string why;
    void* const library = platform::load_library(path, &why);
    if (library == nullptr) {
      tried += (tried.empty() ? "" : "; ") + why;  // dlerror() names the path
      continue;
    }
    const auto client = reinterpret_cast<const sidecall_net_api* (*)()>(
        platform::find_symbol(library, "sidecall_net"));
    const auto server = reinterpret_cast<const sidecall_net_server_api* (*)()>(
        platform::find_symbol(library, "sidecall_net_serving"));
    if (client == nullptr || server == nullptr)
      throw Error(SIDECALL_UNSUPPORTED, path + ": this library is not libsidecall-net.so");
    if (std::strcmp(client()->version, kVersion) != 0)
      throw Error(SIDECALL_UNSUPPORTED,
                  path + ": expected version " + kVersion + ", got " + client()->version);
    // Two builds of one version differ while it is being developed.
    if (std::strcmp(client()->interface_hash, SIDECALL_NET_INTERFACE) != 0)
      throw Error(SIDECALL_UNSUPPORTED,
                  path +
                      ": expected the library that was built together with this one, got one "
                      "of version " +
                      kVersion + " with another interface");
    // A path without a folder was found by the system's loader.
    const bool has_folder = path.find('/') != std::string::npos;
    return {client(), server(), has_folder ? path : platform::find_resident_library(kName)};
  }
  throw Error(SIDECALL_UNSUPPORTED,
              "models on other hosts need libsidecall-net.so, which was not found: install it with "
              "'pip install sidecall[net]' for Python or with 'npm install " +
                  std::string(kNpmPackage) +
                  "' for Node.js, or set SIDECALL_NET to its path (tried " + tried + ")");
}

const Library& loaded() {
  static std::mutex mutex;
  static Library library;
  const std::lock_guard lock(mutex);
  if (library.client == nullptr) library = load();
  return library;
}

}  // namespace

const sidecall_net_api& net_library() { return *loaded().client; }
const std::string& net_library_path() { return loaded().path; }
const sidecall_net_server_api& net_serving_library() { return *loaded().server; }

}  // namespace sidecall
