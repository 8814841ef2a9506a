// Implements the engine behind test: URIs; see engine.h.
#include "engine.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <string_view>
#include <thread>
#include <utility>

#include "base/process/fork_generation.h"
#include "base/text/uri.h"
#include "context.h"
#include "core/engine.h"
#include "core/error.h"

namespace sidecall {
namespace {

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

std::chrono::milliseconds read_time(std::string_view text, const std::string& uri) {
  const char* const end = text.data() + text.size();
  int milliseconds = -1;
  const auto [after, error] = std::from_chars(text.data(), end, milliseconds);
  if (error != std::errc() || after != end || milliseconds < 0 || milliseconds > 60000) refuse(uri);
  return std::chrono::milliseconds(milliseconds);
}

}  // namespace

bool is_test(const std::string& uri) noexcept { return uri_scheme(uri) == "test"; }

std::shared_ptr<const Model> open_test(const std::string& uri,
                                       const sidecall_model_options& options) {
  const size_t question = std::min(uri.find('?'), uri.size());
  if (uri.substr(0, question) != "test:double") refuse(uri);
  std::chrono::milliseconds open_time{}, run_time{};
  const auto read_option = [&](std::string_view name, std::string_view value) {
    if (name == "open_ms") open_time = read_time(value, uri);
    else if (name == "run_ms") run_time = read_time(value, uri);
    else refuse(uri);
  };
  const std::string_view query = std::string_view(uri).substr(std::min(question + 1, uri.size()));
  const bool is_empty = query.empty() && question != uri.size();
  if (is_empty || !read_query(query, read_option)) refuse(uri);
  std::this_thread::sleep_for(open_time);
  Origin origin;
  origin.label = "server '" + uri + "'";
  origin.title = "double";
  return Model::from_engine(std::make_unique<TestEngine>(origin.label, run_time), origin, options);
}

}  // namespace sidecall
