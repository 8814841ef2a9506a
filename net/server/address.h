// Reads the address at which a server listens; net/PROTOCOL.md has the grammar.
#pragma once

#include <string>
#include <vector>

namespace sidecall::net {

struct ServerAddress {
  bool is_grpc = false;
  bool is_secure = false;      // TLS
  std::string host;            // a name or an IP address without brackets, unless it is a socket
  int port = 0;                // 0 for any free one
  std::string socket;          // the path of a Unix socket, or ""
  std::string name;            // of the model in paths, or "" for its own
  std::string cert, key;       // paths of PEM files, or ""
  std::string client_ca;       // clients need a certificate of these authorities; a path, or ""
  std::string tokens;          // clients need a token of this file; a path, or ""
  bool is_insecure = false;    // anyone may call
  bool is_repeatable = false;  // a run may be executed twice
  std::vector<std::string> host_names;  // that a browser may use for this server; "*" for any
  std::string label;                    // without the options: "http://127.0.0.1:8000"
};

// Throws INVALID_ARGUMENT, and DENIED for an address beyond this host that lets anyone call.
ServerAddress read_server_address(const std::string& at);

}  // namespace sidecall::net
