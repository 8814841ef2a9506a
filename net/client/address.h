// Reads the URI of a model on a server that speaks the Open Inference Protocol; net/PROTOCOL.md has
// the grammar.
#pragma once

#include <string>
#include <vector>

namespace sidecall::net {

enum class Protocol { kHttp, kGrpc };
enum class Format { kAuto, kBinary, kJson };  // of tensors over HTTP

constexpr size_t kMaxHosts = 64;  // in a URI

struct Host {
  std::string name;  // as in the URI, so an IPv6 address is in brackets
  int port = 0;
  bool is_literal = false;  // `name` is an IP address
};

struct Address {
  Protocol protocol = Protocol::kHttp;
  bool is_secure = false;   // TLS
  std::vector<Host> hosts;  // at least one, unless it is a socket
  std::string socket;       // the path of a Unix socket, or ""
  std::string prefix;       // of all paths of the server: "" or "/serving"
  std::string model;        // decoded
  std::string version;      // "" for the server's choice
  Format format = Format::kAuto;
  std::string contract;       // path of an .onnx file, or ""
  std::string ca, cert, key;  // paths of PEM files, or ""
  std::string token;          // path of a file with a bearer token, or ""
  std::string label;          // for messages: "server 'http://triton:8000/fraud'"
};

// Throws INVALID_ARGUMENT.
Address read_address(const std::string& uri);

}  // namespace sidecall::net
