// The campaign; see campaign.h.
#include "campaign.h"

#include <dirent.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <netdb.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <map>

#include "inject.h"

namespace anomalies {
namespace {

// A run that takes longer counts as a hang. The longest wait, 30 s, is that for the answer of a
// server while a model is opened.
constexpr unsigned kHangSeconds = 40;
constexpr size_t kCacheBlocks = 400;
// How many connections that have ended libcurl may hold even so, and what each of them takes.
constexpr int kCacheConnections = 3;
constexpr size_t kConnectionBlocks = 60;

// How long to wait until the process holds no more than before a run. Threads and connections end a
// little later than the call that closes them.
constexpr int kSettleMs = 5000;

// Which call fails next.
struct Position {
  int function = 0;
  int error = 0;  // index in the errors of the function
  int mode = 0;   // 0: one call fails, 1: all later calls of the function fail too
  long n = 0;     // the number of the call, from 1; 0: this mode has not begun
  // Runs in this mode in which no call failed, because fewer than n calls were made.
  long misses = 0;
};

// What the parent process and the child process that runs the scenario share.
struct Progress {
  Position position;
  long runs, refused;
  bool is_done;
  bool is_ready;      // the scenario works without failures
  char failure[160];  // which call fails in this run
  size_t text_length;
  char text[1 << 20];  // the defects, one per line

  void add(const char* format, ...) __attribute__((format(printf, 2, 3)));
};

void Progress::add(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf(text + text_length, sizeof text - text_length, format, arguments);
  va_end(arguments);
  if (length > 0)
    text_length = std::min(text_length + static_cast<size_t>(length), sizeof text - 1);
}

size_t count_entries(const char* path) {
  size_t count = 0;
  DIR* const folder = opendir(path);
  if (folder == nullptr) std::abort();
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

size_t count_mappings() {
  std::ifstream maps("/proc/self/maps");
  size_t count = 0;
  for (std::string line; std::getline(maps, line);)
    count += line.find("memfd:sidecall") != std::string::npos ? 1 : 0;
  return count;
}

// What the process holds.
struct Held {
  size_t descriptors = count_entries("/proc/self/fd");
  size_t threads = count_entries("/proc/self/task");
  size_t mappings = count_mappings();
  size_t blocks = sidecall_inject_live_blocks();

  bool is_at_most(const Held& other) const {
    // A pool starts its threads when it needs them, perhaps after the first runs.
    return descriptors <= other.descriptors && threads <= other.threads + 2 &&
           mappings <= other.mappings && blocks <= other.blocks;
  }
  std::string text() const {
    return std::to_string(descriptors) + " descriptors, " + std::to_string(threads) + " threads, " +
           std::to_string(mappings) + " mappings, " + std::to_string(blocks) + " blocks";
  }
};

std::string name_threads() {
  std::string names;
  DIR* const folder = opendir("/proc/self/task");
  while (const dirent* const entry = readdir(folder)) {
    std::string name;
    std::getline(std::ifstream(std::string("/proc/self/task/") + entry->d_name + "/comm"), name);
    if (!name.empty()) names += " " + name;
  }
  closedir(folder);
  return names;
}

bool settles_at(const Held& most, int wait_ms = kSettleMs) {
  for (int i = 0; i < wait_ms; ++i) {
    if (Held().is_at_most(most)) return true;
    usleep(1000);
  }
  return false;
}

// How many times run_missed() goes through the call sites where no call has failed yet.
constexpr int kPassesOverMissed = 10;

// How many calls fail one after the other. In mode 1 these are all later calls, with two
// exceptions: a call that is always interrupted may be repeated forever, and a client waits 30 s
// for a server that cannot accept. So interrupted calls and accept4 fail 20 times.
long count_failures(int mode, int function, int error) {
  if (mode == 0) return 1;
  const bool is_passing =
      error == EINTR || std::strcmp(sidecall_inject_name(function), "accept4") == 0;
  return is_passing ? 20 : LONG_MAX / 2;
}

const char* name_of_error(int error) {
  if (error == SIDECALL_INJECT_SHORT) return "one byte only";
  return error < 0 ? gai_strerror(error) : strerrorname_np(error);
}

std::string name_of(const Position& position) {
  const int error = sidecall_inject_errors(position.function)[position.error];
  return std::string(sidecall_inject_name(position.function)) + " call " +
         std::to_string(position.n) + (position.mode == 0 ? "" : " and later") + " fails with " +
         name_of_error(error);
}

// Goes to the next call that may have to fail. Returns false if there is none.
bool advance(Position* position, long share, bool was_hit) {
  // The second run without a failure ends a mode. One is not enough, because several threads make
  // their calls in a varying order.
  if (position->n > 0 && !was_hit) ++position->misses;
  if (position->n > 0 && position->misses < 2) {
    position->n += share;
    return true;
  }
  if (position->n > 0) {
    position->misses = 0;
    position->n = 0;
    ++position->mode;
    if (position->mode == 2) {
      position->mode = 0;
      ++position->error;
      if (sidecall_inject_errors(position->function)[position->error] == 0) {
        position->error = 0;
        ++position->function;
      }
    }
  }
  if (sidecall_inject_name(position->function) == nullptr) return false;
  position->n = 1 + (position->function * 7 + position->error * 3 + position->mode * 5) % share;
  return true;
}

// The progress of this child process, for its signal handler.
Progress* g_progress = nullptr;

// Notes where a crash or a hang happened. Calls functions that are not async-signal-safe. This is
// acceptable, because the run has failed anyway.
void note_crash(int number) {
  signal(number, SIG_DFL);
  sidecall_inject_stop();
  g_progress->add("%s: %s at", g_progress->failure, number == SIGALRM ? "hang" : strsignal(number));
  void* frames[24];
  const int count = backtrace(frames, 24);
  for (int i = 0; i < count; ++i) {
    Dl_info found;
    if (dladdr(frames[i], &found) == 0 || found.dli_fname == nullptr) continue;
    const char* const slash = strrchr(found.dli_fname, '/');
    g_progress->add(
        " %s+0x%zx", slash == nullptr ? found.dli_fname : slash + 1,
        static_cast<size_t>(static_cast<char*>(frames[i]) - static_cast<char*>(found.dli_fbase)));
  }
  g_progress->add("\n");
  raise(number);
}

class Child {
 public:
  Child(const Scenario& scenario, Progress* progress, long share, size_t max_defects)
      : scenario_(scenario), progress_(*progress), share_(share), max_defects_(max_defects) {}

  void work();
  // Makes the first call from one site fail in the first run of this process.
  void work_at(const sidecall_inject_site& site, int error);

 private:
  void begin(const std::string& failure) {
    failure.copy(progress_.failure, sizeof progress_.failure - 1);
    progress_.failure[std::min(failure.size(), sizeof progress_.failure - 1)] = '\0';
    alarm(kHangSeconds);
  }
  void defect(const std::string& what) {
    ++num_defects_;
    progress_.add("%s: %s\n", progress_.failure, what.c_str());
  }
  void judge(const Outcome& outcome, bool was_hit);
  void note_sites();
  bool is_needed();
  bool run_with_failure();
  Outcome run_planned();
  bool leaks();
  void close_ended_connections();
  void allow_for_cache() { most_.blocks += scenario_.fills_cache ? kCacheBlocks : 0; }

  const Scenario& scenario_;
  Progress& progress_;
  const long share_;
  const size_t max_defects_;
  size_t num_defects_ = 0;
  Held most_;                              // what the process may hold between two runs
  std::map<int, std::vector<int>> sites_;  // by function: the call site of each call
};

// Runs once more without failures, to learn which call sites the scenario reaches.
void Child::note_sites() {
  sidecall_inject_plan(0, 0, 0, 0);
  sidecall_inject_start();
  scenario_.run();
  sidecall_inject_stop();
  for (int function = 0; sidecall_inject_name(function) != nullptr; ++function)
    for (long n = 1; n <= sidecall_inject_count(function); ++n)
      sites_[function].push_back(sidecall_inject_site_of_call(function, n));
}

// Whether the call at this position must fail. In a slow scenario only the first call at each site
// must, or the share that was asked for, and only functions that a run without failures calls.
bool Child::is_needed() {
  if (!scenario_.is_slow) return true;
  const std::vector<int>& sites = sites_[progress_.position.function];
  const auto index = static_cast<size_t>(progress_.position.n - 1);
  if (index >= sites.size()) return share_ == 1 && !sites.empty();
  if (share_ > 1) return true;
  return std::find(sites.begin(), sites.begin() + static_cast<ptrdiff_t>(index), sites[index]) ==
         sites.begin() + static_cast<ptrdiff_t>(index);
}

// Returns whether a call failed.
bool Child::run_with_failure() {
  const uint64_t last_block = sidecall_inject_last_block();
  begin(name_of(progress_.position));
  const Outcome outcome = run_planned();
  const bool was_hit = sidecall_inject_failed() > 0;
  sidecall_inject_plan(0, 0, 0, 0);
  judge(outcome, was_hit);
  if (!settles_at(most_, scenario_.fills_cache ? kSettleMs / 10 : kSettleMs) && leaks()) {
    std::string blocks(4096, '\0');
    blocks.resize(sidecall_inject_list_blocks(last_block, blocks.data(), blocks.size()));
    std::replace(blocks.begin(), blocks.end(), '\n', ';');
    defect("leak: holds " + Held().text() + ", expected " + most_.text() +
           "; threads:" + name_threads() + "; " + blocks);
    _exit(2);  // the next process begins with nothing leaked
  }
  alarm(0);
  return was_hit;
}

void Child::work_at(const sidecall_inject_site& site, int error) {
  begin(std::string("the first ") + sidecall_inject_name(site.function) + " at " + site.module +
        "+" + std::to_string(site.offset) + " fails with " + name_of_error(error));
  scenario_.before();
  sidecall_inject_plan_site(site.number, error);
  sidecall_inject_start();
  const Outcome outcome = scenario_.run();
  sidecall_inject_stop();
  const bool was_hit = sidecall_inject_failed() > 0;
  sidecall_inject_plan(0, 0, 0, 0);
  judge(outcome, was_hit);
}

// Notes what is wrong with the outcome of a run, and with a run without failures after it.
void Child::judge(const Outcome& outcome, bool was_hit) {
  alarm(kHangSeconds);
  if (was_hit) {
    ++progress_.runs;
    progress_.refused += outcome.status != SIDECALL_OK ? 1 : 0;
  }
  if (outcome.is_wrong) defect("wrong: " + outcome.text);
  else if (outcome.status == SIDECALL_INTERNAL) defect("INTERNAL: " + outcome.text);
  else if (outcome.status != SIDECALL_OK && outcome.text.empty())
    defect(std::string(sidecall_status_name(outcome.status)) + " without a message");
  else if (outcome.status != SIDECALL_OK && !was_hit)
    defect("failed without a failing call: " + outcome.text);
  const Outcome next = scenario_.run();
  if (next.status != SIDECALL_OK || next.is_wrong)
    defect("the next run failed with " + std::string(sidecall_status_name(next.status)) + ": " +
           next.text);
}

Outcome Child::run_planned() {
  const Position& position = progress_.position;
  const int error = sidecall_inject_errors(position.function)[position.error];
  sidecall_inject_plan(position.function, position.n, error,
                       count_failures(position.mode, position.function, error));
  sidecall_inject_start();
  Outcome outcome = scenario_.run();
  sidecall_inject_stop();
  return outcome;
}

// Lets libcurl close connections whose server has ended. It looks for them when it makes another
// connection, but only once a second.
void Child::close_ended_connections() {
  if (!scenario_.fills_cache) return;
  usleep(1100000);
  scenario_.run();
}

// Called when the process holds more than before. Repeats the same failure, and returns whether the
// process then holds still more: a leak grows, but an object in a pool may only have been replaced
// by another one.
bool Child::leaks() {
  close_ended_connections();
  if (Held().is_at_most(most_)) return false;
  const Held first;
  Held most = first;
  if (scenario_.fills_cache) {
    most.descriptors += kCacheConnections;
    most.blocks += kCacheConnections * kConnectionBlocks;
  }
  const int num_repeats = scenario_.fills_cache ? 2 * kCacheConnections : 2;
  for (int i = 0; i < num_repeats; ++i) {
    run_planned();
    sidecall_inject_plan(0, 0, 0, 0);
    scenario_.run();
  }
  close_ended_connections();
  if (!settles_at(most)) return true;
  most_ = first;
  allow_for_cache();
  return false;
}

void Child::work() {
  alarm(kHangSeconds);
  scenario_.before();
  // The first runs create what later runs use again, for example a pool of threads.
  for (int i = 0; i < 4; ++i) {
    const Outcome outcome = scenario_.run();
    if (outcome.status == SIDECALL_OK && !outcome.is_wrong) continue;
    progress_.add("without a failing call: %s: %s\n", sidecall_status_name(outcome.status),
                  outcome.text.c_str());
    return;
  }
  note_sites();
  progress_.is_ready = true;
  usleep(100000);
  most_ = Held();
  allow_for_cache();
  bool was_hit = true;
  while (num_defects_ < max_defects_ && advance(&progress_.position, share_, was_hit)) {
    const Position& position = progress_.position;
    was_hit = is_needed() ? run_with_failure()
                          : static_cast<size_t>(position.n) <= sites_[position.function].size();
  }
  progress_.is_done = true;
}

// Runs `body` in a child process, and waits for its end.
template <typename Body>
void run_in_child(Progress* progress, Body body) {
  sidecall_inject_stop();  // a child that was killed has not done this
  sidecall_inject_plan(0, 0, 0, 0);
  const pid_t child = fork();
  if (child != 0) {
    waitpid(child, nullptr, 0);
    return;
  }
  g_progress = progress;
  for (const int number : {SIGABRT, SIGALRM, SIGBUS, SIGFPE, SIGILL, SIGSEGV})
    signal(number, note_crash);
  try {
    body();
  } catch (const std::exception& error) {
    progress->add("the preparation failed: %s\n", error.what());
  }
  // Skip the exit handlers: they are not part of the scenario.
  _exit(0);
}

// The call sites that a run without failures has reached.
std::vector<sidecall_inject_site> usual_sites() {
  std::vector<sidecall_inject_site> sites(sidecall_inject_sites(nullptr, 0));
  sites.resize(std::min(sites.size(), sidecall_inject_sites(sites.data(), sites.size())));
  const auto is_unusual = [](const sidecall_inject_site& site) { return site.is_usual == 0; };
  sites.erase(std::remove_if(sites.begin(), sites.end(), is_unusual), sites.end());
  return sites;
}

// Some call sites are reached only in the first run of a process, or not in every run. Makes each
// of them fail with each error that is still missing, each time in a process of its own.
void run_missed(const Scenario& scenario, Progress* progress) {
  for (int pass = 0; pass < kPassesOverMissed; ++pass) {
    for (const sidecall_inject_site& site : usual_sites()) {
      const int* const errors = sidecall_inject_errors(site.function);
      for (uint32_t i = 0; errors[i] != 0; ++i) {
        if ((site.errors >> i & 1) != 0) continue;
        run_in_child(progress, [&] { Child(scenario, progress, 1, 0).work_at(site, errors[i]); });
      }
    }
  }
}

size_t count_defects(const Progress& progress) {
  return static_cast<size_t>(std::count(progress.text, progress.text + progress.text_length, '\n'));
}

}  // namespace

Result run_campaign(const Scenario& scenario, long share, size_t max_defects) {
  const auto begin = std::chrono::steady_clock::now();
  void* const memory =
      mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  Progress* const progress = static_cast<Progress*>(memory);
  new (&progress->position) Position;
  Result result;
  result.scenario = scenario.name;
  while (!progress->is_done) {
    progress->is_ready = false;
    run_in_child(progress, [&] { Child(scenario, progress, share, max_defects).work(); });
    if (!progress->is_ready || count_defects(*progress) >= max_defects) break;
  }
  if (progress->is_done && share == 1) run_missed(scenario, progress);
  for (const char* at = progress->text; *at != '\0';) {
    const char* const end = strchr(at, '\n');
    result.defects.emplace_back(at, end == nullptr ? strlen(at) : static_cast<size_t>(end - at));
    at = end == nullptr ? at + strlen(at) : end + 1;
  }
  result.runs = progress->runs;
  result.refused = progress->refused;
  munmap(memory, sizeof(Progress));
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

}  // namespace anomalies
