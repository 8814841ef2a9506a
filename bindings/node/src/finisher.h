// Finishes the runs that an environment has started; used by call.cpp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

struct uv_handle_s;
struct napi_value__;  // NOLINT(bugprone-reserved-identifier): Node-API names it so

namespace Napi {
class Error;
}

namespace sidecall_node {

class Call;
class Environment;

// While runs in other processes are under way, looks for those that are over on every turn of the
// event loop. That takes no system call, neither here nor in the server. If nothing happens for
// sidecall_poll_ns(), it lets the descriptors of the runs wake the loop instead. If polling fails
// several times in a row, the next polls are brief.
class Finisher {
 public:
  static constexpr size_t kMaxAtOnce = 256;  // runs that JavaScript gets in one call

  explicit Finisher(Environment* environment) : environment_(environment) {}

  // Makes sure that add() has what it needs. Throws Napi::Error, std::bad_alloc.
  void prepare();
  // A run in another process was started.
  void add(Call* call);
  // The call is closed.
  void remove(const Call* call) noexcept;
  // Tells JavaScript if the run of this call is over, which need not be in another process.
  void look_at(Call* call);
  // The environment ends.
  void close() noexcept;

 private:
  // After n polls in a row that found nothing, the next 2^n - 1 polls are brief.
  static constexpr uint32_t kMaxFailed = 10;
  static constexpr int64_t kBrief = 10'000;  // ns; about as long as it takes to be woken

  struct Failure {
    Call* call;
    napi_value__* error;
    bool is_released_only;
  };
  // What one look has found.
  struct Found {
    size_t num_succeeded = 0;  // their slots are in environment_->finished
    size_t num_failed = 0;
    std::array<Failure, 16> failures;

    bool is_empty() const { return num_succeeded == 0 && num_failed == 0; }
    bool is_full() const { return num_succeeded == kMaxAtOnce || num_failed == failures.size(); }
  };

  void poll();
  void stop_polling();
  void sleep();
  void on_turn();
  // Looks for runs that are over, and tells JavaScript. Returns false if there are none.
  bool look();
  bool note_outcome(Call* call, Found* found);
  void deliver(const Found& found);
  void report(const Napi::Error& error);

  Environment* const environment_;
  uv_handle_s* idle_ = nullptr;  // active while this object polls
  std::vector<Call*> runs_;      // under way in other processes, the oldest first
  bool is_polling_ = false;
  bool is_brief_ = false;
  uint64_t poll_until_ = 0;  // by uv_hrtime(); 0: not determined yet
  uint32_t num_failed_ = 0;  // polls in a row that found nothing
  uint32_t num_brief_ = 0;   // polls from now on that are brief
};

}  // namespace sidecall_node
