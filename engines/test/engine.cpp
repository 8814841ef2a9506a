// Implements the engine behind test: URIs; see engine.h.
#include "engine.h"

#include <charconv>
#include <chrono>
#include <string_view>
#include <thread>
#include <utility>

#include "base/process/fork_generation.h"
#include "context.h"
#include "core/engine.h"
#include "core/error.h"

namespace sidecall {
namespace {

constexpr std::string_view kModel = "test:double";

class TestEngine final : public Engine {
 public:
  TestEngine(std::string label, std::chrono::milliseconds run_time)
      : label_(std::move(label)), run_time_(run_time) {}

  Route route() const noexcept override { return Route::kOtherProcess; }
  void describe(std::vector<TensorSpec>* inputs, std::vector<TensorSpec>* outputs) const override {
    TensorSpec spec;
    spec.name = "x";
    spec.dtype = SIDECALL_DTYPE_FLOAT32;
    spec.dims.assign(1, -1);
    spec.dim_names.assign(1, "N");
    inputs->assign(1, spec);
    spec.name = "y";
    outputs->assign(1, spec);
  }
  std::unique_ptr<ExecutionContext> make_context(bool /*lends_connection*/) const override {
    return std::make_unique<TestContext>(run_time_, generation_);
  }
  std::string version() const override { return label_; }

 private:
  const std::string label_;
  const std::chrono::milliseconds run_time_;
  const uint64_t generation_ = fork_generation();
};

[[noreturn]] void refuse(const std::string& uri) {
  throw Error(SIDECALL_INVALID_ARGUMENT,
              "uri '" + uri +
                  "': expected test:double, with open_ms and run_ms of 0 to 60000 if needed: "
                  "test:double?open_ms=50&run_ms=20");
}

// Takes the value of `name` out of the query "?open_ms=50&run_ms=20".
std::chrono::milliseconds take_time(std::string_view* query, std::string_view name,
                                    const std::string& uri) {
  if (query->empty() || query->substr(1, name.size()) != name) return {};
  const char* const begin = query->data() + 1 + name.size();
  const char* const end = query->data() + query->size();
  int milliseconds = -1;
  const auto [rest, error] = std::from_chars(begin, end, milliseconds);
  if (error != std::errc() || milliseconds < 0 || milliseconds > 60000) refuse(uri);
  query->remove_prefix(static_cast<size_t>(rest - query->data()));
  return std::chrono::milliseconds(milliseconds);
}

}  // namespace

bool is_test(const std::string& uri) noexcept { return uri.compare(0, 5, "test:") == 0; }

std::shared_ptr<const Model> open_test(const std::string& uri,
                                       const sidecall_model_options& options) {
  std::string_view query = uri;
  if (query.substr(0, kModel.size()) != kModel) refuse(uri);
  query.remove_prefix(kModel.size());
  if (!query.empty() && query[0] != '?') refuse(uri);
  const auto open_time = take_time(&query, "open_ms=", uri);
  const auto run_time = take_time(&query, "run_ms=", uri);
  if (!query.empty()) refuse(uri);
  std::this_thread::sleep_for(open_time);
  Origin origin;
  origin.label = "server '" + uri + "'";
  origin.title = "double";
  return Model::from_engine(std::make_unique<TestEngine>(origin.label, run_time), origin, options);
}

}  // namespace sidecall
