// sidecall-soak-client URI FIRST SEED WAIT: the client of the soak in C++; soak_call.py describes
// what a client writes.
#include <poll.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <sidecall/sidecall.hpp>
#include <string>
#include <vector>

namespace {

using sidecall::Call;
using sidecall::Model;

constexpr double kDeadline = 5, kShortDeadline = 0.02;
constexpr int kPauseMs = 30;
constexpr int64_t kLongRun = 5000, kEndless = 1000000000, kLargeRows = 3000, kManyPieces = 50000;
constexpr int kRarely = 100;
const std::vector<std::string> kUsual = {"json", "features", "tensors", "started"};
const std::vector<std::string> kRare = {"large", "one-shot", "late", "wrong", "open"};
const std::array<const char*, 3> kNames = {"a", "b", "c"};

int64_t ns(double seconds) { return static_cast<int64_t>(seconds * 1e9); }

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A JSON string with this text.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

struct Request {
  int64_t number, rows, pieces, rounds, width;

  double x(int64_t element) const { return static_cast<double>(number * 10000 + element); }

  // The number of the model that gave this answer; 0 if the answer is wrong. `more` may be null.
  int answerer(const std::vector<double>& y, const std::vector<double>* more) const {
    const double offset = y.size() == static_cast<size_t>(rows * width) ? y[0] - x(0) : 0;
    const int model = static_cast<int>(std::lround(offset * 16));
    if (offset <= 0 || offset >= 1 || offset != model / 16.0) return 0;
    for (size_t i = 0; i < y.size(); ++i)
      if (y[i] != x(static_cast<int64_t>(i)) + offset) return 0;
    if (more == nullptr) return model;
    if (more->size() != static_cast<size_t>(pieces)) return 0;
    for (const double each : *more)
      if (each != offset) return 0;
    return model;
  }

  std::string json(bool is_wrong) const {
    std::string text = "{";
    for (int64_t i = is_wrong ? 1 : 0; i < width; ++i) {
      text += "\"" + std::string(kNames[static_cast<size_t>(i)]) +
              "\": " + std::to_string(static_cast<int64_t>(x(i))) + ", ";
    }
    return text + "\"pieces\": " + std::to_string(pieces) +
           ", \"rounds\": " + std::to_string(rounds) + "}";
  }
};

std::vector<double> values(const sidecall::View& view) {
  const auto elements = view.as<const double>();
  return {elements.begin(), elements.end()};
}

class Client {
 public:
  Client(std::string uri, int64_t first, unsigned seed, double wait)
      : uri_(std::move(uri)), number_(first), first_(first), wait_(wait), random_(seed) {}

  void call_until_stdin_ends() {
    pollfd input{STDIN_FILENO, POLLIN, 0};
    while (poll(&input, 1, kPauseMs) == 0) {
      const bool is_rare = draw(kRarely) < static_cast<int>(kRare.size());
      const auto& kinds = is_rare ? kRare : kUsual;
      call(kinds[static_cast<size_t>(draw(static_cast<int>(kinds.size())))]);
    }
    std::printf("[\"end\", %" PRId64 "]\n", number_ - first_);
  }

 private:
  int draw(int below) { return std::uniform_int_distribution(0, below - 1)(random_); }

  // Makes one call and writes its line. `body` returns the model that answered, 0 for a wrong
  // answer, or nothing if the call only opens a model.
  void outcome(int64_t number, const std::string& kind, double deadline,
               const std::function<std::optional<int>()>& body) {
    const int64_t width = width_;
    const double begin = now();
    std::string found = "OK", message;
    std::optional<int> model;
    try {
      model = body();
      if (model == 0) found = "WRONG";
    } catch (const sidecall::Error& error) {
      found = error.status_name();
      message = error.what();
      is_outdated_ |= error.status() == SIDECALL_CONTRACT_CHANGED;
    }
    std::printf("[%" PRId64 ", \"%s\", \"%s\", %d, %" PRId64 ", %.6f, %.6f, %.2f, %s]\n", number,
                kind.c_str(), found.c_str(), model.value_or(0), width, begin, now(), deadline,
                quoted(message).c_str());
    std::fflush(stdout);
  }

  // Opens the model, or returns null. This counts as a call, too.
  std::unique_ptr<Model> open() {
    std::unique_ptr<Model> opened;
    outcome(++number_, "open", 30 + wait_, [&] {
      sidecall::Options options;
      options.timeout_ns = ns(kDeadline);
      options.wait_ns = ns(wait_);
      options.allow_exec = 1;
      opened = std::make_unique<Model>(uri_, options);
      return std::nullopt;
    });
    return opened;
  }

  void reopen() {
    kept_.reset();
    model_.reset();
    model_ = open();
    if (!model_) return;
    is_outdated_ = false;
    width_ = model_->input_spec(0)->dims[1];
    has_more_ = model_->num_outputs() > 1;
  }

  void call(const std::string& kind) {
    if (!model_ || is_outdated_) {
      reopen();
      return;
    }
    if (kind == "open") {  // another handle
      open();
      return;
    }
    const Request request{++number_, kind == "large" ? kLargeRows : 1,
                          kind == "one-shot" ? kManyPieces : 1 + draw(3),
                          kind == "late" ? kEndless
                          : draw(5) == 0 ? kLongRun
                                         : 0,
                          width_};
    const double deadline = kind == "late" ? kShortDeadline : kDeadline;
    outcome(request.number, kind, deadline, [&] {
      if (kind == "json" || kind == "wrong") return predict(request, kind == "wrong");
      if (kind == "features") return run_features(request);
      if (kind == "tensors" || kind == "started") return run_kept(request, kind == "started");
      return run_once(request, deadline);
    });
  }

  int predict(const Request& request, bool is_wrong) {
    const std::string answer = model_->predict_json(request.json(is_wrong));
    std::vector<double> y;
    const char* at = answer.c_str() + answer.find('[');
    for (char* end = nullptr; *at == '[' || *at == ','; at = end)
      y.push_back(std::strtod(at + 1, &end));
    return request.answerer(y, nullptr);
  }

  Call& kept() {
    if (!kept_) kept_.emplace(*model_);
    return *kept_;
  }

  int run_features(const Request& request) {
    Call call(*model_);
    call.clear();
    for (int64_t i = 0; i < request.width; ++i)
      call.set(0, model_->feature(kNames[static_cast<size_t>(i)]), request.x(i));
    call.set(0, model_->feature("pieces"), request.pieces);
    call.set(0, model_->feature("rounds"), request.rounds);
    call.run(ns(kDeadline));
    std::vector<double> y;
    for (int64_t i = 0; i < request.width; ++i)
      y.push_back(call.get_f64(0, model_->column("y." + std::to_string(i))));
    return request.answerer(y, nullptr);
  }

  static void fill(Call& call, const Request& request) {
    const auto x = call.input(0).as<double>();
    for (size_t i = 0; i < x.size(); ++i) x[i] = request.x(static_cast<int64_t>(i));
    const auto pieces = call.input(1).as<int64_t>(), rounds = call.input(2).as<int64_t>();
    for (int64_t& each : pieces) each = 0;
    for (int64_t& each : rounds) each = request.rounds;
    pieces[0] = request.pieces;
  }

  int answerer(Call& call, const Request& request) const {
    const std::vector<double> y = values(call.output(0));
    if (!has_more_) return request.answerer(y, nullptr);
    const std::vector<double> more = values(call.output(1));
    return request.answerer(y, &more);
  }

  int run_once(const Request& request, double deadline) const {
    Call call(*model_, request.rows);
    fill(call, request);
    call.run(ns(deadline));
    return answerer(call, request);
  }

  int run_kept(const Request& request, bool is_queued) {
    Call& call = kept();
    fill(call, request);
    if (!is_queued) {
      call.run(ns(kDeadline));
      return answerer(call, request);
    }
    const uint64_t run = queue_.submit(call, ns(kDeadline));
    sidecall_completion one{};
    while (queue_.take({&one, 1}, 0) == 0) {
      pollfd ready{static_cast<int>(queue_.handle()), POLLIN, 0};
      if (queue_.arm() < 0) poll(&ready, 1, -1);
    }
    call.check_outcome();
    const int model = answerer(call, request);
    // A second completion would be a defect.
    return one.run == run && queue_.take({&one, 1}, 0) == 0 ? model : 0;
  }

  const std::string uri_;
  int64_t number_;
  const int64_t first_;
  const double wait_;
  std::mt19937 random_;
  std::unique_ptr<Model> model_;
  std::optional<Call> kept_;
  sidecall::Queue queue_;
  int64_t width_ = 0;
  bool has_more_ = false, is_outdated_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  Client(argv[1], std::atoll(argv[2]), static_cast<unsigned>(std::atol(argv[3])),
         std::atof(argv[4]))
      .call_until_stdin_ends();
  return 0;
}
