// Runs in another process, tested with a fake peer in this process, which answers when the test
// tells it to.
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <mutex>
#include <optional>
#include <thread>

#include "core/model.h"
#include "engines/out_of_process/context.h"
#include "queued_call.h"
#include "records_model.h"

using fake::status_of;
using sidecall::Outcome;
using sidecall::Progress;

namespace {

// State shared by the test and the context.
struct Peer {
  std::mutex mutex;
  bool has_answered = false;
  int32_t failure = 0;
  int64_t timeout_ns = 0;
  std::atomic<int> num_runs{0};
  std::atomic<int> num_given_up{0};
  std::vector<sidecall::Dims> expected_inputs;
  std::vector<std::optional<sidecall::Dims>> expected_outputs;

  void answer(int32_t status = 0) {
    const std::lock_guard lock(mutex);
    has_answered = true;
    failure = status;
  }
};

// The queue polls it, and never sleeps, because the peer wakes no one.
class RemoteContext final : public sidecall::OutOfProcessContext {
 public:
  explicit RemoteContext(Peer* peer) : peer_(peer) {}

  void allocate_input(int32_t, const sidecall::Dims&) override {}
  void* input_data(int32_t) override { return &input_; }
  void set_string(int32_t, int64_t, std::string_view) override {}
  void borrow_input(int32_t, const void*, const sidecall::Dims&) override {}
  void* shape_output(int32_t, const sidecall::Dims*, void*) override { return &output_; }
  sidecall::OutputTensor output(int32_t) override { return {{1}, &output_}; }
  void read_strings(int32_t, std::string*, std::vector<int64_t>*) override {}
  void expect(const std::vector<sidecall::Dims>& inputs,
              const std::vector<std::optional<sidecall::Dims>>& outputs) override {
    peer_->expected_inputs = inputs;
    peer_->expected_outputs = outputs;
  }
  void* placed_output(int32_t) override { return &output_; }
  bool is_read_only(int32_t) const override { return true; }
  bool is_polled() const noexcept override { return true; }

  Outcome execute(int64_t timeout_ns) override {
    Progress progress = begin(timeout_ns);
    while (progress == Progress::kPending) progress = look();
    if (progress == Progress::kInterrupted) return Outcome::kInterrupted;
    take();
    return Outcome::kDone;
  }

  Progress begin(int64_t timeout_ns) override {
    const std::lock_guard lock(peer_->mutex);
    peer_->timeout_ns = timeout_ns;
    deadline_ = timeout_ns < 0 ? Clock::time_point::max()
                               : Clock::now() + std::chrono::nanoseconds(timeout_ns);
    peer_->has_answered = false;
    ++peer_->num_runs;
    return Progress::kPending;
  }

  Progress look() override {
    const std::lock_guard lock(peer_->mutex);
    if (peer_->has_answered) return Progress::kDone;
    return should_stop_ || Clock::now() >= deadline_ ? Progress::kInterrupted : Progress::kPending;
  }

  void take() override {
    if (peer_->failure != 0) throw sidecall::Error(peer_->failure, "the peer says so");
    output_ = input_ * 2;
  }

  void give_up_connection() noexcept override { ++peer_->num_given_up; }
  void interrupt_engine() noexcept override { should_stop_ = true; }
  void rearm() noexcept override { should_stop_ = false; }

 private:
  using Clock = std::chrono::steady_clock;

  Peer* peer_;
  Clock::time_point deadline_;
  std::atomic<bool> should_stop_{false};
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
  std::unique_ptr<sidecall::ExecutionContext> make_context(bool) const override {
    return std::make_unique<RemoteContext>(peer_);
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
  std::optional<fake::QueuedCall> queued;
  sidecall_view x = SIDECALL_VIEW_INIT;

  Fixture() {
    engine.describe(&signature.inputs, &signature.outputs);
    signature.index_tensors();
    sidecall::add_plain_columns(&signature);
    signature.index_records();
    call = std::make_unique<sidecall::Call>(signature, engine, false, 1);
    queued.emplace(call.get());
    call->view_input(0, &x);
    *static_cast<double*>(x.data) = 21;
  }

  // Starts a run, and returns once the peer has the request.
  void start(int64_t timeout_ns) {
    const int before = peer.num_runs;
    queued->start(timeout_ns);
    while (peer.num_runs == before && !queued->finish(0)) std::this_thread::yield();
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
  CHECK(f.call->columns().get_f64(0, 0) == 42);
}

TEST_CASE("a failed remote run reports its error, and the call stays usable") {
  Fixture f;
  f.start(1000 * kMillisecond);
  CHECK(f.peer.timeout_ns > 0);
  CHECK(f.peer.timeout_ns <= 1000 * kMillisecond);
  f.peer.answer(SIDECALL_PEER_DIED);
  CHECK(status_of([&] { f.queued->finish(-1); }) == SIDECALL_PEER_DIED);
  CHECK(status_of([&] { f.call->columns().get_f64(0, 0); }) == SIDECALL_NOT_RUN);
  f.start(-1);
  f.peer.answer();
  f.queued->finish(-1);
  CHECK(f.call->columns().get_f64(0, 0) == 42);
}

TEST_CASE("a call is busy until the outcome of its remote run was taken") {
  Fixture f;
  f.start(-1);
  CHECK_FALSE(f.queued->finish(0));
  CHECK_FALSE(f.queued->finish(kMillisecond));
  for (const bool has_answered : {false, true}) {
    if (has_answered) f.peer.answer();
    CHECK(f.call->is_busy());
    CHECK(status_of([&] { f.call->run(-1); }) == SIDECALL_BUSY);
    CHECK(status_of([&] { f.queued->start(-1); }) == SIDECALL_BUSY);
    CHECK(status_of([&] { f.call->resize(1); }) == SIDECALL_BUSY);
  }
  f.queued->finish(-1);
  CHECK_FALSE(f.call->is_busy());
  CHECK(status_of([&] { f.queued->finish(0); }) == SIDECALL_NOT_RUN);
}

TEST_CASE("a remote run that ends early is given up, is reported once, and leaves the call free") {
  Fixture f;
  const bool is_cancelled = GENERATE(false, true);
  f.start(is_cancelled ? -1 : kMillisecond);
  if (is_cancelled) f.call->cancel();
  CHECK(status_of([&] { f.queued->finish(-1); }) ==
        (is_cancelled ? SIDECALL_CANCELLED : SIDECALL_TIMEOUT));
  CHECK_FALSE(f.queued->is_held());
  CHECK(f.peer.num_given_up == 1);
  CHECK(status_of([&] { f.queued->finish(-1); }) == SIDECALL_NOT_RUN);
  CHECK_FALSE(f.call->is_busy());
  f.call->cancel();  // no run is in flight
  f.start(-1);
  f.peer.answer();
  f.call->cancel();  // too late: the answer has arrived
  f.queued->finish(-1);
  CHECK(f.call->columns().get_f64(0, 0) == 42);
  CHECK(f.peer.num_given_up == 1);
}

TEST_CASE("a remote run that blocks ends at its deadline") {
  Fixture f;
  CHECK(status_of([&] { f.call->run(kMillisecond); }) == SIDECALL_TIMEOUT);
  CHECK_FALSE(f.call->is_busy());
}

TEST_CASE("a call with a remote run can be closed") {
  Fixture f;
  f.start(-1);
  f.queued.reset();
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
  f.start(-1);
  f.peer.answer();
  f.queued->finish(-1);
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
                                 {"server 'shm:x'", "x", "{\"format\": 6}", false}, options);
    FAIL("expected an error");
  } catch (const sidecall::Error& error) {
    CHECK(error.status() == SIDECALL_CONTRACT_FORMAT);
    CHECK(std::string(error.what()) ==
          "server 'shm:x': contract: expected format 5, got 6: export or serve the model with the "
          "version of sidecall that opens it");
  }
}
