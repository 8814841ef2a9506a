// Random programs: what a queue promises is compared with a simple model of its promises, step by
// step. SIDECALL_STEPS=10000000 tries more steps than the tests do.
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "queue_fixture.h"

using namespace support;
using sidecall::Model;

namespace {

constexpr int kStepsOfQueue = 600;

int64_t wanted_steps() {
  const char* const given = std::getenv("SIDECALL_STEPS");
  return given == nullptr ? 12000 : std::atoll(given);
}

// The models that the programs call, over two routes.
struct World {
  Served served;
  Model slow{test_paths::model("slow.onnx")}, add{test_paths::model("add.onnx")};

  const Model& at(unsigned kind) const { return kind == 0 ? served.model : kind == 1 ? slow : add; }
};

class Program {
 public:
  Program(World* world, unsigned seed) : world_(*world), random_(seed), places_(32) { reopen(); }

  void run(int64_t steps) {
    for (int64_t i = 0; i < steps; ++i) step();
    for (Place& place : places_) {
      while (place.is_submitted || place.is_held) note(queue_->take_one(place.run));
    }
    while (!openings_.empty()) note(queue_->take_one(openings_.begin()->first));
    CHECK(queue_->take(0).empty());
    for (Place& place : places_) leave(&place);
  }

 private:
  struct Place {
    sidecall_call* call = nullptr;
    const Model* model = nullptr;  // of the call
    double x = 0;
    bool is_served = false;
    bool is_large = false;
    bool is_submitted = false, is_held = false;
    uint64_t run = 0, tag = 0;
  };
  // A model that is being opened.
  struct Opening {
    uint64_t tag = 0;
    bool is_absent = false;
    std::unique_ptr<sidecall_error> error = std::make_unique<sidecall_error>();
  };

  unsigned draw(unsigned below) { return static_cast<unsigned>(random_() % below); }

  // Runs and models that were not taken have no completion any more. Calls stay.
  void reopen() {
    queue_ = std::make_unique<Queue>(24, static_cast<int32_t>(1 + draw(4)));
    openings_.clear();
    for (Place& place : places_) {
      // The engine may still use the memory of the call.
      if (place.is_submitted || place.is_held) leave(&place);
    }
  }

  // Closes the call or gives it back, in any state.
  void leave(Place* place) {
    if (place->call == nullptr) return;
    if (draw(2) == 0) sidecall_call_close(place->call);
    else sidecall_model_give_call(place->model->get(), place->call);
    *place = Place();
  }

  void make(Place* place) {
    const unsigned kind = draw(3);
    place->model = &world_.at(kind);
    place->is_served = kind == 0;
    if (sidecall_model_take_call(place->model->get(), 1, &place->call, error()) != SIDECALL_OK)
      throw std::runtime_error(last().message);
    sidecall_view view = SIDECALL_VIEW_INIT;
    if (kind == 0) {
      place->is_large = draw(8) == 0;
      const int64_t dims[] = {place->is_large ? 3000 : 1, place->is_large ? 10 : 1};
      REQUIRE(sidecall_call_reshape(place->call, 0, dims, 2, error()) == SIDECALL_OK);
      REQUIRE(sidecall_call_input(place->call, 0, &view, error()) == SIDECALL_OK);
      place->x = draw(1000);
      *static_cast<double*>(view.data) = place->x;
    } else if (kind == 1) {
      static const std::vector<float> values(10000, 0.5F);
      const int64_t width = 10000, rounds = 160;
      copy(place->call, 0, SIDECALL_DTYPE_FLOAT32, 1, &width, values.data(), 40000);
      copy(place->call, 1, SIDECALL_DTYPE_INT64, 0, nullptr, &rounds, sizeof rounds);
    } else {
      const float pair[] = {1, 2};
      const int64_t dims[] = {1, 2};
      copy(place->call, 0, SIDECALL_DTYPE_FLOAT32, 2, dims, pair, sizeof pair);
    }
  }

  static void copy(sidecall_call* call, int32_t input, int32_t dtype, int32_t rank,
                   const int64_t* dims, const void* data, uint64_t bytes) {
    sidecall_view view = SIDECALL_VIEW_INIT;
    view.dtype = dtype;
    view.rank = rank;
    view.dims = dims;
    view.data = const_cast<void*>(data);
    view.data_bytes = bytes;
    REQUIRE(sidecall_call_copy_input(call, input, &view, error()) == SIDECALL_OK);
  }

  void submit(Place* place) {
    if (place->call == nullptr) make(place);
    const bool is_free = !place->is_submitted && !place->is_held;
    const int64_t timeout = draw(3) == 0 ? static_cast<int64_t>(1 + draw(900000)) : -1;
    uint64_t run = 0;
    const std::string outcome = queue_->try_submit(place->call, timeout, ++last_tag_, &run);
    if (!is_free || outcome != "OK") REQUIRE(outcome == "BUSY");
    if (outcome != "OK") return;
    place->is_submitted = true;
    place->run = run;
    place->tag = last_tag_;
  }

  void open() {
    Opening opening;
    opening.tag = ++last_tag_;
    opening.is_absent = draw(3) == 0;
    sidecall_error_init(opening.error.get());
    const std::string uri = opening.is_absent ? "/nowhere.onnx" : test_paths::model("add.onnx");
    uint64_t run = 0;
    const std::string outcome = status(sidecall_queue_open_model(
        queue_->get(), uri.c_str(), nullptr, draw(4) == 0 ? 1 + draw(900000) : -1, opening.tag,
        opening.error.get(), &run, error()));
    if (outcome != "OK") REQUIRE(outcome == "BUSY");
    else REQUIRE(openings_.emplace(run, std::move(opening)).second);
  }

  void note(const sidecall_completion& one) {
    if (one.call == nullptr) return note_opening(one);
    Place* found = nullptr;
    for (Place& place : places_) {
      if (place.call == one.call) found = &place;
    }
    REQUIRE(found != nullptr);
    REQUIRE((found->run == one.run && found->tag == one.tag && one.model == nullptr));
    REQUIRE(found->is_submitted == (one.flags != SIDECALL_RELEASED));
    REQUIRE(found->is_held == (one.flags == SIDECALL_RELEASED));
    found->is_submitted = false;
    found->is_held = one.flags == SIDECALL_HELD;
    REQUIRE((one.status == SIDECALL_OK || one.status == SIDECALL_CANCELLED ||
             one.status == SIDECALL_TIMEOUT));
    REQUIRE(sidecall_call_error(found->call, error()) == one.status);
    if (found->is_served) REQUIRE_FALSE(found->is_held);
    if (one.status != SIDECALL_OK || !found->is_served) return;
    sidecall_view view = SIDECALL_VIEW_INIT;
    REQUIRE(sidecall_call_output(found->call, 0, &view, error()) == SIDECALL_OK);
    REQUIRE(*static_cast<const double*>(view.data) == 2 * found->x);
  }

  void note_opening(const sidecall_completion& one) {
    const auto found = openings_.find(one.run);
    REQUIRE(found != openings_.end());
    const Opening& opening = found->second;
    REQUIRE((opening.tag == one.tag && one.flags == 0));
    REQUIRE((one.status == SIDECALL_OK) == (one.model != nullptr));
    const int32_t expected = opening.is_absent ? SIDECALL_FILE_NOT_FOUND : SIDECALL_OK;
    REQUIRE((one.status == expected || one.status == SIDECALL_CANCELLED ||
             one.status == SIDECALL_TIMEOUT));
    if (one.status != SIDECALL_OK) REQUIRE(opening.error->status == one.status);
    sidecall_model_close(one.model);
    openings_.erase(found);
  }

  void fork_child() {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      int64_t look_ns = 0;
      const bool is_right = sidecall_queue_arm(queue_->get(), &look_ns, nullptr) == SIDECALL_FORKED;
      queue_->close();
      _exit(is_right ? 0 : 1);
    }
    int how = -1;
    REQUIRE(waitpid(child, &how, 0) == child);
    REQUIRE(how == 0);
  }

  void step() {
    Place& place = places_[draw(32)];
    const unsigned what = draw(1000);
    if (what < 500) {
      submit(&place);
    } else if (what < 700) {
      for (const sidecall_completion& one : queue_->take(draw(2) * 100000, 0, 1 + draw(8)))
        note(one);
    } else if (what < 800) {
      if (queue_->arm() < 0 && draw(2) == 0) is_readable(queue_->handle(), 1);
    } else if (what < 900) {
      sidecall_queue_cancel(queue_->get(), place.run);
    } else if (what < 925) {
      leave(&place);
    } else if (what < 950) {
      open();
    } else if (what < 970) {
      if (!openings_.empty()) sidecall_queue_cancel(queue_->get(), openings_.rbegin()->first);
    } else if (what < 985) {
      if (place.call != nullptr) sidecall_call_cancel(place.call);
    } else if (what < 987) {
      reopen();
    } else if (what == 987 && !is_sanitized_) {
      fork_child();
    }
  }

  World& world_;
  std::mt19937 random_;
  // ThreadSanitizer and the allocator of AddressSanitizer do not support forks beside threads.
  const bool is_sanitized_ = std::getenv("SIDECALL_SANITIZE") != nullptr;
  std::vector<Place> places_;
  std::map<uint64_t, Opening> openings_;  // by run
  std::unique_ptr<Queue> queue_;
  uint64_t last_tag_ = 0;
};

}  // namespace

TEST_CASE("random programs get exactly one outcome for each run and each model") {
  World world;
  const int64_t programs = wanted_steps() / kStepsOfQueue;
  for (int64_t seed = 1; seed <= programs; ++seed)
    Program(&world, static_cast<unsigned>(seed)).run(kStepsOfQueue);
}
