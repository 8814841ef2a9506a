// Finds folders and ports of a server that confines itself; see needs.hpp.
#include "needs.hpp"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>

#include "base/process/socket_folder.h"
#include "base/text/percent.h"
#include "model/model.hpp"
#include "terminal/output.hpp"

namespace sidecall::cli {
namespace {

// The folder in which the server makes the socket of an shm: address.
std::string folder_of(const std::string& at) {
  const std::string address = at.substr(at.find(':') + 1);
  if (address.empty() || address[0] != '/') {
    const std::string folder = socket_folder();
    ::mkdir(folder.c_str(), 0700);  // the server checks it
    return folder;
  }
  const char* fault = nullptr;
  const std::string path = decode_socket_path(address, &fault);
  return path.substr(0, path.rfind('/') + 1);
}

// Folders that hold much besides the files of one server.
bool is_shared_folder(const std::string& folder) {
  for (const char* shared : {"/",
                             "/boot",
                             "/dev",
                             "/etc",
                             "/etc/pki/tls/certs",
                             "/etc/pki/tls/private",
                             "/etc/ssl",
                             "/etc/ssl/certs",
                             "/etc/ssl/private",
                             "/home",
                             "/media",
                             "/mnt",
                             "/opt",
                             "/proc",
                             "/root",
                             "/run",
                             "/run/secrets",
                             "/run/user",
                             "/srv",
                             "/sys",
                             "/tmp",
                             "/usr",
                             "/var",
                             "/var/lib",
                             "/var/run",
                             "/var/tmp"})
    if (folder == shared) return true;
  const auto is_below = [&](std::string_view parent) {
    return std::string_view(folder).substr(0, parent.size()) == parent;
  };
  constexpr std::string_view kUsers = "/run/user/";  // logind makes a folder for each user there
  if (is_below("/proc/")) return true;
  if (is_below(kUsers) && folder.find('/', kUsers.size()) == std::string::npos) return true;
  struct stat status{};
  const bool is_open_to_all = ::stat(folder.c_str(), &status) == 0 && (status.st_mode & S_IWOTH);
  const char* const home = std::getenv("HOME");
  return is_open_to_all || (home != nullptr && folder == home);
}

void require_own_folder(const char* what, const std::string& folder) {
  if (is_shared_folder(folder))
    throw Failure(kUsage, "serve: --sandbox: expected " + std::string(what) +
                              " in a folder of its own, because the model can read what is in "
                              "this folder, got one in '" +
                              printable(folder) + "'");
}

// HOST:PORT with each IP address of the host, because its name cannot be looked up once the files
// are confined. Other texts stay as they are.
std::vector<std::string> with_ip_addresses(const std::string& where,
                                           std::vector<std::string>* names) {
  const size_t colon = where.rfind(':');
  if (where.empty() || where.front() == '/' || where.front() == '[' || colon == std::string::npos)
    return {where};
  const std::string host = where.substr(0, colon);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return {where};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, &::freeaddrinfo);
  const std::string port = where.substr(colon);
  std::vector<std::string> all;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    std::array<char, NI_MAXHOST> ip{};
    if (::getnameinfo(each->ai_addr, each->ai_addrlen, ip.data(), ip.size(), nullptr, 0,
                      NI_NUMERICHOST) != 0 ||
        host == ip.data())
      return {where};
    const std::string text = ip.data();
    const std::string place = (each->ai_family == AF_INET6 ? "[" + text + "]" : text) + port;
    if (std::find(all.begin(), all.end(), place) == all.end()) all.push_back(place);
    if (port == ":0") break;  // the addresses would get different ports
  }
  names->push_back(host);
  return all;
}

}  // namespace

void add_read_folders(const char* option, const std::string& path, Needs* needs) {
  if (path.empty()) return;
  std::error_code failure;
  const auto named = std::filesystem::absolute(path, failure);
  for (const auto& file : {named, std::filesystem::canonical(named, failure)}) {
    if (file.empty()) continue;  // opening the server tells that there is no such file
    const std::string folder = std::filesystem::canonical(file.parent_path(), failure);
    if (folder.empty()) continue;
    require_own_folder(option, folder);
    needs->read_folders.push_back(folder);
  }
  // The threads that may read there may also read where the sockets are.
  for (const std::string& folder : needs->socket_folders) {
    const std::string there = std::filesystem::canonical(folder, failure);
    require_own_folder("the socket", there);
  }
}

Needs needs_of_addresses(const std::string& at, std::vector<std::string>* http,
                         std::vector<std::string>* grpc, std::vector<std::string>* host_names,
                         const std::string& uri, const sidecall_model* model) {
  Needs needs;
  if (!at.empty()) needs.socket_folders.push_back(folder_of(at));
  if (http->empty() && grpc->empty()) return needs;
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_server* none = nullptr;
  // Loads the library. Nothing is opened, because the address is not complete.
  const sidecall_status status = sidecall_server_open("http://", model, nullptr, &none, &err);
  if (status != SIDECALL_INVALID_ARGUMENT) throw failure_of(uri, status, err);
  for (auto* const places : {http, grpc}) {
    std::vector<std::string> found;
    for (const std::string& where : *places) {
      const std::vector<std::string> all = with_ip_addresses(where, host_names);
      found.insert(found.end(), all.begin(), all.end());
    }
    places->swap(found);
    for (const std::string& where : *places) {
      if (!where.empty() && where.front() == '/') {
        needs.socket_folders.push_back(where.substr(0, where.rfind('/') + 1));
        continue;
      }
      uint64_t port = 0;
      const size_t start = where.rfind(':') + 1;
      std::from_chars(where.data() + start, where.data() + where.size(), port);
      needs.ports.push_back(port);
    }
  }
  return needs;
}

}  // namespace sidecall::cli
