// sidecall-anomalies MODELS [--only SCENARIO] [--share N] [--max-defects N] [--report FILE]
//
// Runs every scenario with every failure. Prints a line for each scenario and each defect. Exits
// with 1 if there are defects. Needs LD_PRELOAD=libsidecall-inject.so.
//
//   MODELS           the folder tests/vectors/models
//   --only SCENARIO  runs only this scenario
//   --share N        only every N-th call of each function fails
//   --max-defects N  gives a scenario up after N defects; the default is 20
//   --report FILE    writes the results and the call sites as JSON
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "campaign.h"
#include "inject.h"

namespace {

struct Arguments {
  std::string models, only, report;
  long share = 1;
  size_t max_defects = 20;
};

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char each : text) {
    if (each == '"' || each == '\\') result += '\\';
    if (static_cast<unsigned char>(each) >= 0x20) result += each;
  }
  return result + '"';
}

void write_report(const std::string& path, const std::vector<anomalies::Result>& results) {
  std::ofstream file(path);
  file << "{\"scenarios\": [";
  const char* separator = "";
  for (const anomalies::Result& result : results) {
    file << separator << "\n  {\"name\": " << quoted(result.scenario)
         << ", \"runs\": " << result.runs << ", \"refused\": " << result.refused
         << ", \"seconds\": " << result.seconds << ", \"defects\": [";
    separator = "";
    for (const std::string& defect : result.defects) {
      file << separator << quoted(defect);
      separator = ", ";
    }
    file << "]}";
    separator = ",";
  }
  file << "\n], \"sites\": [";
  separator = "";
  std::vector<sidecall_inject_site> sites(sidecall_inject_sites(nullptr, 0));
  sites.resize(std::min(sites.size(), sidecall_inject_sites(sites.data(), sites.size())));
  for (const sidecall_inject_site& site : sites) {
    if (site.is_usual == 0) continue;
    for (uint32_t i = 0; sidecall_inject_errors(site.function)[i] != 0; ++i) {
      file << separator << "\n  {\"place\": \"" << site.module << "+" << site.offset
           << "\", \"function\": \"" << sidecall_inject_name(site.function)
           << "\", \"error\": " << sidecall_inject_errors(site.function)[i]
           << ", \"has_failed\": " << ((site.errors >> i & 1) != 0 ? "true" : "false") << "}";
      separator = ",";
    }
  }
  file << "\n]}\n";
}

// Runs this program again with SIDECALL_INJECT_STATE set, so that a command that a scenario starts
// follows the plan too. Returns its exit code.
int run_with_state_file(char** argv) {
  std::string path = "/tmp/sidecall-inject-" + std::string(6, 'X');
  const int fd = mkstemp(path.data());
  if (fd < 0 || ftruncate(fd, static_cast<off_t>(sidecall_inject_state_bytes())) != 0) return 2;
  close(fd);
  setenv("SIDECALL_INJECT_STATE", path.c_str(), 1);
  const pid_t child = fork();
  if (child == 0) {
    execv("/proc/self/exe", argv);
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  unlink(path.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc == 4 && std::strcmp(argv[1], "--peer") == 0)
    return anomalies::serve_peer(argv[2], argv[3]);
  if (argc == 3 && std::strcmp(argv[1], "--child") == 0) return anomalies::serve_peer(argv[2], "");
  if (argc < 2 || argc % 2 != 0) return 2;
  Arguments arguments;
  arguments.models = argv[1];
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--only") arguments.only = argv[i + 1];
    if (name == "--report") arguments.report = argv[i + 1];
    if (name == "--share") arguments.share = std::atol(argv[i + 1]);
    if (name == "--max-defects") arguments.max_defects = std::strtoul(argv[i + 1], nullptr, 10);
  }
  if (getenv("SIDECALL_INJECT_STATE") == nullptr) return run_with_state_file(argv);
  char program[4096] = "";
  std::string folder = "/tmp/sidecall-anomalies-" + std::string(6, 'X');
  if (readlink("/proc/self/exe", program, sizeof program - 1) < 0 ||
      mkdtemp(folder.data()) == nullptr)
    return 2;
  std::vector<anomalies::Result> results;
  size_t num_defects = 0;
  for (const auto& scenario : anomalies::make_scenarios(arguments.models, folder, program)) {
    if (!arguments.only.empty() && arguments.only != scenario.name) continue;
    results.push_back(anomalies::run_campaign(scenario, arguments.share, arguments.max_defects));
    const anomalies::Result& result = results.back();
    std::printf("%-24s %6ld failures, %6ld refused, %5.0f s, %zu defects\n", scenario.name.c_str(),
                result.runs, result.refused, result.seconds, result.defects.size());
    for (const std::string& defect : result.defects) std::printf("  %s\n", defect.c_str());
    std::fflush(stdout);
    num_defects += result.defects.size();
  }
  if (!arguments.report.empty()) write_report(arguments.report, results);
  // A server that ends may remove its socket at the same time, which makes one attempt fail.
  std::error_code error;
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::filesystem::remove_all(folder, error);
    if (!error) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return num_defects == 0 ? 0 : 1;
}
