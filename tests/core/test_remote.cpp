// Runs in another process, tested with a fake peer in this process, which answers when the test
// tells it to.
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "core/model.h"
#include "engines/out_of_process/binding.h"
#include "records_model.h"

using fake::status_of;
using sidecall::Outcome;
using sidecall::Progress;

namespace {

// State shared by the test and the binding.
struct Peer {
  std::mutex mutex;
  std::condition_variable changed;
  bool has_answered = false;
  bool is_holding = false;  // an abandoned run
  int32_t failure = 0;
  int64_t timeout_ns = 0;
  std::atomic<int> num_runs{0};
  int num_cleared = 0;
  int num_armed = 0;
  std::vector<sidecall::Dims> expected_inputs;
  std::vector<std::optional<sidecall::Dims>> expected_outputs;

  void answer(int32_t status = 0) {
    const std::lock_guard lock(mutex);
    has_answered = true;
    is_holding = false;
    failure = status;
    changed.notify_all();
  }
};

class RemoteBinding final : public sidecall::OutOfProcessBinding {
 public:
  explicit RemoteBinding(Peer* peer) : peer_(peer) {}

  void allocate_input(int32_t, const sidecall::Dims&) override {}
  void* input_data(int32_t) override { return &input_; }
  void set_string(int32_t, int64_t, std::string_view) override {}
  void borrow_input(int32_t, const void*, const sidecall::Dims&) override {}
  void* shape_output(int32_t, const sidecall::Dims*, void*) override { return &output_; }
  sidecall::OutputTensor output(int32_t) override { return {{1}, &output_}; }
  void read_strings(int32_t, std::string*, std::vector<int64_t>*) override {}

  Outcome execute(int64_t timeout_ns) override {
    if (begin(timeout_ns) == Progress::kInterrupted || await(-1) == Progress::kInterrupted)
      return Outcome::kInterrupted;
    take();
    return Outcome::kDone;
  }
  void expect(const std::vector<sidecall::Dims>& inputs,
              const std::vector<std::optional<sidecall::Dims>>& outputs) override {
    peer_->expected_inputs = inputs;
    peer_->expected_outputs = outputs;
  }
  void* placed_output(int32_t) override { return &output_; }
  bool is_read_only(int32_t) const override { return true; }

  Progress begin_in_queue(int64_t timeout_ns) override { return begin(timeout_ns); }
  Progress begin(int64_t timeout_ns) override {
    std::unique_lock lock(peer_->mutex);
    deadline_ = std::chrono::steady_clock::now() +
                std::chrono::nanoseconds(timeout_ns < 0 ? INT64_C(1'000'000'000'000) : timeout_ns);
    peer_->timeout_ns = timeout_ns;
    const bool is_let_go = peer_->changed.wait_until(
        lock, deadline_, [&] { return !peer_->is_holding || should_stop_; });
    if (!is_let_go || should_stop_) return Progress::kInterrupted;
    peer_->has_answered = false;
    ++peer_->num_runs;
    return Progress::kPending;
  }

  bool is_ready() override { return is_free(); }

  Progress await(int64_t wait_ns) override {
    std::unique_lock lock(peer_->mutex);
    const auto is_over = [&] { return peer_->has_answered || should_stop_; };
    const auto until = wait_ns < 0 ? deadline_
                                   : std::min(deadline_, std::chrono::steady_clock::now() +
                                                             std::chrono::nanoseconds(wait_ns));
    peer_->changed.wait_until(lock, until, is_over);
    if (peer_->has_answered) return Progress::kDone;
    if (!should_stop_ && std::chrono::steady_clock::now() < deadline_) return Progress::kPending;
    peer_->is_holding = true;
    return Progress::kInterrupted;
  }

  void take() override {
    if (peer_->failure != 0) throw sidecall::Error(peer_->failure, "the peer says so");
    output_ = input_ * 2;
  }
  bool is_free() override {
    const std::lock_guard lock(peer_->mutex);
    return !peer_->is_holding;
  }
  int make_fd() override { return 42; }
  void arm_fd() override { ++peer_->num_armed; }
  void clear_fd() noexcept override { ++peer_->num_cleared; }

  void interrupt_engine() noexcept override {
    const std::lock_guard lock(peer_->mutex);
    should_stop_ = true;
    peer_->changed.notify_all();
  }
  void rearm() noexcept override {
    const std::lock_guard lock(peer_->mutex);
    should_stop_ = false;
  }

 private:
  Peer* peer_;
  std::chrono::steady_clock::time_point deadline_;
  bool should_stop_ = false;
  double input_ = 0;
  double output_ = 0;
};

class RemoteEngine final : public sidecall::Engine {
 public:
  explicit RemoteEngine(Peer* peer) : peer_(peer) {}
  void describe(std::vector<sidecall::TensorSpec>* inputs,
                std::vector<sidecall::TensorSpec>* outputs) const override {
    inputs->push_back(fake::tensor("x", SIDECALL_DTYPE_FLOAT64, {-1}));
    outputs->push_back(fake::tensor("y", SIDECALL_DTYPE_FLOAT64, {-1}));
  }
  std::unique_ptr<sidecall::Binding> bind(bool) const override {
    return std::make_unique<RemoteBinding>(peer_);
  }
  std::string version() const override { return "a peer"; }
  std::string model_id() const override { return id; }

  std::string id;

 private:
  Peer* peer_;
};

struct Fixture {
  Peer peer;
  RemoteEngine engine{&peer};
  sidecall::Signature signature;
  std::unique_ptr<sidecall::Call> call;
  sidecall_view x = SIDECALL_VIEW_INIT;

  Fixture() {
    engine.describe(&signature.inputs, &signature.outputs);
    signature.index_tensors();
    sidecall::add_plain_columns(&signature);
    signature.index_records();
    call = std::make_unique<sidecall::Call>(signature, engine, false, 1);
    call->view_input(0, &x);
    *static_cast<double*>(x.data) = 21;
  }
};

constexpr int64_t kMillisecond = 1'000'000;

}  // namespace

TEST_CASE("a remote run returns its outputs and gets the timeout") {
  Fixture f;
  std::thread peer([&] {
    while (f.peer.num_runs == 0) std::this_thread::yield();
    f.peer.answer();
  });
  f.call->run(-1);
  peer.join();
  CHECK(f.peer.timeout_ns == -1);
  CHECK(f.call->get_f64(0, 0) == 42);
}

TEST_CASE("a failed remote run reports its error, and the call stays usable") {
  Fixture f;
  f.call->start(1000 * kMillisecond);
  CHECK(f.peer.timeout_ns == 1000 * kMillisecond);
  f.peer.answer(SIDECALL_PEER_DIED);
  CHECK(status_of([&] { f.call->finish(-1); }) == SIDECALL_PEER_DIED);
  CHECK(status_of([&] { f.call->get_f64(0, 0); }) == SIDECALL_NOT_RUN);
  f.call->start(-1);
  f.peer.answer();
  f.call->finish(0);
  CHECK(f.call->get_f64(0, 0) == 42);
}

TEST_CASE("a call is busy until its remote run has ended") {
  Fixture f;
  f.call->start(-1);
  // The first call of fd() must come before the run starts.
  CHECK(status_of([&] { f.call->fd(); }) == SIDECALL_BUSY);
  f.peer.answer();
  f.call->finish(0);
  CHECK(f.call->fd() == 42);
  f.call->start(-1);
  CHECK_FALSE(f.call->finish(0));
  CHECK_FALSE(f.call->finish(kMillisecond));
  CHECK(f.call->is_busy());
  CHECK(status_of([&] { f.call->run(-1); }) == SIDECALL_BUSY);
  CHECK(status_of([&] { f.call->start(-1); }) == SIDECALL_BUSY);
  CHECK(status_of([&] { f.call->resize(1); }) == SIDECALL_BUSY);
  CHECK(f.call->fd() == 42);
  f.peer.answer();
  CHECK(status_of([&] { f.call->run(-1); }) == SIDECALL_BUSY);  // the outcome was not taken
  f.call->finish(0);
  CHECK(f.peer.num_cleared == 0);
  CHECK(status_of([&] { f.call->finish(0); }) == SIDECALL_NOT_RUN);
  CHECK(f.peer.num_cleared == 1);
}

TEST_CASE("only a remote run that is watched makes the peer report it, unless all runs do") {
  Fixture f;
  CHECK(f.call->watch() == 42);
  f.call->start(-1);
  CHECK(f.peer.num_armed == 0);
  CHECK(f.call->watch() == 42);
  CHECK(f.peer.num_armed == 1);
  f.peer.answer();
  f.call->finish(0);
  f.call->start(kMillisecond);
  CHECK(status_of([&] { f.call->finish(-1); }) == SIDECALL_TIMEOUT);
  f.call->watch();  // of the run that was given up
  CHECK(f.peer.num_armed == 2);
  f.peer.answer();
  CHECK_FALSE(f.call->is_busy());
  CHECK(f.call->fd() == 42);
  f.call->start(-1);
  f.call->watch();
  CHECK(f.peer.num_armed == 2);
  f.peer.answer();
  f.call->finish(0);
}

TEST_CASE("a deadline is reported once, and the call is free when the peer has released the run") {
  Fixture f;
  f.call->start(kMillisecond);
  CHECK(status_of([&] { f.call->finish(-1); }) == SIDECALL_TIMEOUT);
  // finish does not wait for a peer.
  CHECK(status_of([&] { f.call->finish(-1); }) == SIDECALL_NOT_RUN);
  CHECK(f.call->is_busy());
  CHECK(status_of([&] { f.call->reset(); }) == SIDECALL_BUSY);
  f.peer.answer();
  CHECK_FALSE(f.call->is_busy());
  f.call->reset();
  CHECK(status_of([&] { f.call->finish(0); }) == SIDECALL_NOT_RUN);
}

TEST_CASE("the next run waits for the peer within its own deadline") {
  Fixture f;
  CHECK(status_of([&] { f.call->run(kMillisecond); }) == SIDECALL_TIMEOUT);
  CHECK(status_of([&] { f.call->run(kMillisecond); }) == SIDECALL_TIMEOUT);
  CHECK(f.peer.num_runs == 1);
  f.call->reset();  // the caller may use the call in the meantime
  f.call->view_input(0, &f.x);
  f.peer.answer();
  f.call->start(-1);
  CHECK(f.peer.num_runs == 2);
  f.peer.answer();
  f.call->finish(0);
}

TEST_CASE("try_start is refused while the peer still works on an earlier run") {
  Fixture f;
  CHECK(status_of([&] { f.call->run(kMillisecond); }) == SIDECALL_TIMEOUT);
  CHECK_FALSE(f.call->try_start(-1));
  CHECK(f.peer.num_runs == 1);
  CHECK(status_of([&] { f.call->finish(0); }) == SIDECALL_NOT_RUN);
  f.call->reset();  // the call is not busy
  CHECK(status_of([&] { f.call->try_start(-1); }) == SIDECALL_MISSING_INPUT);
  CHECK(status_of([&] { f.call->try_start(0); }) == SIDECALL_INVALID_ARGUMENT);
  f.call->view_input(0, &f.x);
  *static_cast<double*>(f.x.data) = 21;
  f.peer.answer();
  CHECK(f.call->try_start(-1));
  CHECK(status_of([&] { f.call->try_start(-1); }) == SIDECALL_BUSY);
  f.peer.answer();
  f.call->finish(0);
  CHECK(f.call->get_f64(0, 0) == 42);
}

TEST_CASE("an abandoned run does not keep its call busy after its outcome was returned") {
  Fixture f;
  f.call->start(kMillisecond);
  std::this_thread::sleep_for(std::chrono::milliseconds(3));
  // The outcome was not taken.
  CHECK(status_of([&] { f.call->run(kMillisecond); }) == SIDECALL_BUSY);
  CHECK(status_of([&] { f.call->finish(0); }) == SIDECALL_TIMEOUT);
  CHECK(status_of([&] { f.call->run(kMillisecond); }) == SIDECALL_TIMEOUT);
  f.peer.answer();
  std::thread peer([&] {
    while (f.peer.num_runs == 1) std::this_thread::yield();
    f.peer.answer();
  });
  f.call->run(-1);
  peer.join();
}

TEST_CASE("a cancel ends the wait of another thread") {
  Fixture f;
  f.call->start(-1);
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    f.call->cancel();
  });
  CHECK(status_of([&] { f.call->finish(-1); }) == SIDECALL_CANCELLED);
  other.join();
  f.call->cancel();  // no run is in flight
  f.peer.answer();
  CHECK(status_of([&] { f.call->finish(-1); }) == SIDECALL_NOT_RUN);
  f.call->start(-1);
  f.peer.answer();
  f.call->cancel();  // too late: the answer has arrived
  f.call->finish(0);
  f.call->start(-1);
  CHECK_FALSE(f.call->finish(0));
}

TEST_CASE("a call with a remote run can be closed") {
  Fixture f;
  f.call->start(-1);
  f.call.reset();
  CHECK(f.peer.num_runs == 1);
}

TEST_CASE("the shapes that a run needs are announced to the peer beforehand") {
  Peer peer;
  fake::Engine described;
  described.inputs = {{"a", SIDECALL_DTYPE_FLOAT32, {-1, 4}, {"N", ""}},
                      {"b", SIDECALL_DTYPE_FLOAT32, {-1, -1}, {"N", "K"}},
                      {"c", SIDECALL_DTYPE_FLOAT32, {}, {}}};
  described.outputs = {{"y", SIDECALL_DTYPE_FLOAT32, {-1, -1}, {"N", "K"}},
                       {"z", SIDECALL_DTYPE_FLOAT32, {-1}, {""}}};
  sidecall::Signature signature;
  described.sign(&signature);
  const RemoteEngine engine(&peer);
  sidecall::Call call(signature, engine, false, 3);
  using sidecall::Dims;
  CHECK(peer.expected_inputs == std::vector<Dims>{{3, 4}, {3, 1}, {}});
  CHECK(peer.expected_outputs == std::vector<std::optional<Dims>>{Dims{3, 1}, std::nullopt});
  call.resize(7);
  CHECK(peer.expected_inputs == std::vector<Dims>{{7, 4}, {7, 1}, {}});
  const Dims dims{5, 9};
  call.reshape(1, dims.data(), 2);
  CHECK(peer.expected_inputs == std::vector<Dims>{{5, 4}, {5, 9}, {}});
  CHECK(peer.expected_outputs == std::vector<std::optional<Dims>>{Dims{5, 9}, std::nullopt});
}

TEST_CASE("an output that lies in the memory of another process is marked as read-only") {
  Fixture f;
  f.call->start(-1);
  f.peer.answer();
  f.call->finish(0);
  sidecall_view y = SIDECALL_VIEW_INIT;
  f.call->view_output(0, &y);
  CHECK(y.flags == SIDECALL_VIEW_READ_ONLY);
  CHECK(f.x.flags == 0);
}

TEST_CASE("a model without a file reports the current id of its engine; old ids stay readable") {
  Peer peer;
  auto engine = std::make_unique<RemoteEngine>(&peer);
  RemoteEngine* const current = engine.get();
  current->id = std::string(64, 'a');
  sidecall_model_options options{};
  options.timeout_ns = -1;
  const auto model = sidecall::Model::from_engine(
      std::move(engine), {"server 'shm:x'", "x", std::nullopt, false}, options);
  const std::string& first = model->id();
  CHECK(first == std::string(64, 'a'));
  current->id = std::string(64, 'b');
  CHECK(model->id() == std::string(64, 'b'));
  CHECK(first == std::string(64, 'a'));
  CHECK(&model->id() == &model->id());
  CHECK(model->file() == nullptr);
  CHECK(model->title() == "x");
  CHECK(model->contract() == nullptr);
  CHECK(status_of([&] { model->predict_json("{}"); }) == SIDECALL_NO_CONTRACT);
}

TEST_CASE("an error in a served contract names the server") {
  Peer peer;
  sidecall_model_options options{};
  try {
    sidecall::Model::from_engine(std::make_unique<RemoteEngine>(&peer),
                                 {"server 'shm:x'", "x", "{\"format\": 4}", false}, options);
    FAIL("expected an error");
  } catch (const sidecall::Error& error) {
    CHECK(error.status() == SIDECALL_CONTRACT_FORMAT);
    CHECK(std::string(error.what()) ==
          "server 'shm:x': contract: expected format 3, got 4: update sidecall");
  }
}
