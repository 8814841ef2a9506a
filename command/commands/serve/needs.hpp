// What `sidecall serve --sandbox` must still be able to do after its files are confined.
#pragma once

#include <sidecall/server.h>

#include <string>
#include <vector>

#include "terminal/sandbox.hpp"

namespace sidecall::cli {

// What the addresses need. Replaces host names in `http` and `grpc` by IP addresses and adds them
// to `host_names`, and loads the library for HTTP and gRPC, because neither is possible later.
// `uri` names the model in messages.
Needs needs_of_addresses(const std::string& at, std::vector<std::string>* http,
                         std::vector<std::string>* grpc, std::vector<std::string>* host_names,
                         const std::string& uri, const sidecall_model* model);

// Adds the folders of a file that is read again when it changes: the one in its path, and the one
// that it is in if links lead there. A new file takes the place of the old one in either of them.
// Throws Failure for a folder that many programs share, because the model could read their files.
void add_read_folders(const char* option, const std::string& path, Needs* needs);

}  // namespace sidecall::cli
