// Written by tools/generate_options.py from serving/options.json.
//
// The options of `sidecall serve` for models that run without Python.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace sidecall::cli {

struct ServeOptions {
  std::string at;
  std::vector<std::string> http;
  std::vector<std::string> grpc;
  std::string tls_cert;
  std::string tls_key;
  std::string tls_client_ca;
  std::string tokens;
  bool insecure = false;
  std::vector<std::string> allow_host;
  std::string name;
  int32_t threads = 1;
  std::vector<uint32_t> allow_uid;
  std::string group;
  std::string copy = "auto";
  int32_t max_connections = 1024;
  int32_t max_connections_per_user = 512;
  double max_call_mib = 256;
  double max_memory_mib = 4096;
  double max_memory_per_user_mib = 0;  // 0: not given
  double timeout_s = 30;
  double unready_after_s = 5;
  double drain_timeout_s = 10;
  bool json_log = false;
  std::string log_level = "info";
  std::string sandbox = "off";
};

void add_serve_options(CLI::App& app, ServeOptions& options);

}  // namespace sidecall::cli
