// Takes the outcomes of the runs and openings that an environment has submitted; used by call.cpp
// and open.cpp.
#pragma once

#include <sidecall/sidecall.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

struct uv_handle_s;
struct napi_value__;  // NOLINT(bugprone-reserved-identifier): Node-API names it so

namespace Napi {
class Error;
}

namespace sidecall_node {

class Call;
class Environment;

// The opening of a model, from its submission until its outcome is reported.
class Opening {
 public:
  virtual ~Opening() = default;
  // Begins the opening. The completion must have `tag`.
  virtual sidecall_status submit(sidecall_queue* queue, uint64_t tag, sidecall_error* err) = 0;
  // Takes the model over.
  virtual void note_outcome(const sidecall_completion& outcome) noexcept = 0;
  // Tells JavaScript the outcome. Throws Napi::Error.
  virtual void report() = 0;
};

// The completion queue of an environment, watched by its event loop. While the library says that
// runs will end soon, the loop takes completions on every turn and does not sleep; otherwise the
// handle of the queue wakes it.
class Completions {
 public:
  static constexpr size_t kMaxAtOnce = 256;  // runs that JavaScript gets in one call

  explicit Completions(Environment* environment) : environment_(environment) {}

  // Submits a run. Throws Napi::Error, std::bad_alloc.
  void submit(Call* call, sidecall_call* handle, int64_t timeout_ns);
  // Submits an opening, and keeps it until it is over. Returns its number. Throws Napi::Error,
  // std::bad_alloc.
  uint64_t submit(std::unique_ptr<Opening> opening);
  // The process may end although the opening of this number is under way. Does nothing if it is
  // over.
  void abandon(uint64_t number) noexcept;
  // A call is closed whose run is under way: its completion is dropped.
  void forget() noexcept;
  // Waits until no run and no opening is under way, without telling JavaScript.
  void drain(std::chrono::steady_clock::time_point deadline) noexcept;
  // The environment ends.
  void close() noexcept;

 private:
  struct Failure {
    Call* call;
    napi_value__* error;
    bool is_held;
  };
  struct OpeningUnderWay {
    std::unique_ptr<Opening> opening;
    bool is_abandoned = false;
  };

  void open();
  uv_handle_s* open_handle(int type, const char* name);
  bool open_poll() noexcept;
  void start_turns() noexcept;
  void stop_turns() noexcept;
  size_t take(int64_t wait_ns) noexcept;
  void on_turn();
  void look();
  void note_begin() noexcept;
  void note_end() noexcept;
  std::unique_ptr<Opening> note_opened(const sidecall_completion& outcome) noexcept;
  void deliver(size_t num_succeeded);
  void report(const Napi::Error& error);

  Environment* const environment_;
  sidecall_queue* queue_ = nullptr;
  uv_handle_s* idle_ = nullptr;  // active while the loop must not sleep
  uv_handle_s* poll_ = nullptr;  // null if no descriptor was left for it
  bool has_turns_ = false;       // idle_ is active
  size_t num_under_way_ = 0;     // runs whose memory is in use, and openings not abandoned
  std::unordered_map<uint64_t, OpeningUnderWay> openings_;  // by number
  uint64_t num_openings_ = 0;                               // so far
  std::array<sidecall_completion, kMaxAtOnce> taken_;
  std::vector<Failure> failures_;                 // of the present look
  std::vector<std::unique_ptr<Opening>> opened_;  // the same
};

}  // namespace sidecall_node
