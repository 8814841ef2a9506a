// Queries an exported model for records, one JSON object per line. Used by demo.py.
//   ./demo-cpp MODEL RECORDS CALLS
//
// Prints one answer per record, and finally the time of a call in microseconds.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sidecall/sidecall.hpp>
#include <string>
#include <vector>

namespace {

constexpr int kRounds = 25;  // short rounds, some of which nothing interrupts; the fastest counts

std::vector<std::string> read_lines(const char* path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

double time_calls(const sidecall::Model& model, const std::vector<std::string>& records,
                  size_t calls) {
  using clock = std::chrono::steady_clock;
  double best = 1e300;
  for (int round = 0; round < kRounds; ++round) {
    const clock::time_point start = clock::now();
    for (size_t i = 0; i < calls; ++i) model.predict_json(records[i % records.size()]);
    best = std::min(best, std::chrono::duration<double, std::micro>(clock::now() - start).count() /
                              static_cast<double>(calls));
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> records =
      argc == 4 ? read_lines(argv[2]) : std::vector<std::string>();
  const int calls = argc == 4 ? std::atoi(argv[3]) : 0;
  if (records.empty() || calls < 1) {
    std::fprintf(stderr, "usage: %s MODEL RECORDS CALLS\n", argv[0]);
    return 2;
  }
  try {
    const sidecall::Model model(argv[1]);
    for (const std::string& record : records)
      std::printf("%s\n", model.predict_json(record).c_str());
    std::printf("%.2f\n", time_calls(model, records, static_cast<size_t>(calls)));
  } catch (const sidecall::Error& error) {
    std::fprintf(stderr, "%s (%s)\n", error.what(), error.status_name());
    return 1;
  }
  return 0;
}
