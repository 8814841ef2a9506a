// sidecall bench: measures how long calls of a model take on this machine, with its golden rows, in
// process or over any transport.
#include <algorithm>
#include <chrono>
#include <cmath>

#include "model/golden.hpp"
#include "model/signature.hpp"
#include "terminal/histogram.hpp"
#include "terminal/output.hpp"
#include "terminal/platform.hpp"

namespace sidecall::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kMaxWarmUp = 0.2;  // seconds of warm-up before the measurement
constexpr double kMaxBar = 40;      // characters

int64_t ns_since(Clock::time_point begin) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin).count();
}

struct BenchOptions {
  ModelOptions model;
  std::string uri;
  int64_t rows = 1;
  double seconds = 2;
  bool json = false;
};

// A call as a program would use it: call() sets the features of its rows, runs the model and reads
// every column.
class GoldenCall {
 public:
  GoldenCall(const Model& model, const std::string& uri, int64_t rows, int64_t timeout_ns)
      : model_(model.get()),
        uri_(uri),
        contract_(contract_of(model.get())),
        rows_(rows),
        timeout_ns_(timeout_ns) {
    const Json& count = at(at(contract_, "verification"), "rows");
    if (count.IsInt64()) num_golden_ = count.GetInt64();
    if (num_golden_ <= 0)
      throw Failure(kBadModel, uri + ": expected a model with golden rows, got one without");
    const Json& values = at(at(contract_, "verification"), "features");
    const Json& features = at(contract_, "features");
    for (rapidjson::SizeType i = 0; i < features.Size() && i < values.Size(); ++i)
      columns_.push_back(
          {sidecall_model_feature(model_, text_at(features[i], "name").c_str()), &values[i]});
    answer_.resize(static_cast<size_t>(sidecall_model_num_columns(model_)));
    sidecall_call* call = nullptr;
    check(sidecall_call_open(model_, 1, &call, &err_));
    call_.reset(call);
    check(sidecall_call_resize(call, rows, &err_));
  }

  void call() {
    check(sidecall_call_clear(call_.get(), &err_));
    for (int64_t row = 0; row < rows_; ++row) {
      for (const auto& [feature, values] : columns_)
        set_golden(model_, call_.get(), row, feature,
                   (*values)[static_cast<rapidjson::SizeType>(next_)]);
      next_ = next_ + 1 == num_golden_ ? 0 : next_ + 1;
    }
    check(sidecall_call_run(call_.get(), timeout_ns_, &err_));
    for (int64_t row = 0; row < rows_; ++row) read(row);
  }

  int64_t num_golden() const { return num_golden_; }

 private:
  void read(int64_t row) {
    check(sidecall_call_get_row(call_.get(), row, nullptr, answer_.data(),
                                static_cast<int64_t>(answer_.size()), &err_));
  }
  void check(sidecall_status status) const {
    if (status != SIDECALL_OK) throw failure_of(uri_, status, err_);
  }

  struct Column {
    int32_t feature;
    const Json* values;
  };

  const sidecall_model* model_;
  const std::string& uri_;
  const JsonDocument contract_;
  const int64_t rows_;
  const int64_t timeout_ns_;
  int64_t num_golden_ = 0;
  int64_t next_ = 0;
  std::vector<Column> columns_;
  Call call_;
  sidecall_error err_ = SIDECALL_ERROR_INIT;
  std::vector<sidecall_value> answer_;
};

struct Measured {
  std::string id;
  int64_t num_golden = 0;
  int64_t open_ns = 0;
  int64_t first_ns = 0;  // the first call, before the warm-up
  double seconds = 0;
  Histogram latencies;

  double calls_per_second() const {
    return seconds > 0 ? static_cast<double>(latencies.count()) / seconds : 0;
  }
};

Measured measure(const BenchOptions& options) {
  Measured measured;
  auto begin = Clock::now();
  const Model model = open_model(options.uri, options.model);
  measured.open_ns = ns_since(begin);
  measured.id = sidecall_model_id(model.get());
  GoldenCall golden(model, options.uri, options.rows, run_timeout_ns(options.model));
  measured.num_golden = golden.num_golden();
  begin = Clock::now();
  golden.call();
  measured.first_ns = ns_since(begin);
  const auto total_ns = static_cast<int64_t>(options.seconds * 1e9);
  const auto warm_up_ns = static_cast<int64_t>(std::min(options.seconds / 10, kMaxWarmUp) * 1e9);
  for (begin = Clock::now(); ns_since(begin) < warm_up_ns && !noted_interrupt();) golden.call();
  int64_t before = 0, now = 0;
  for (begin = Clock::now();
       (now < total_ns || measured.latencies.count() == 0) && !noted_interrupt(); before = now) {
    golden.call();
    now = ns_since(begin);
    measured.latencies.add(now - before);
  }
  measured.seconds = static_cast<double>(now) / 1e9;
  return measured;
}

constexpr struct {
  const char* name;
  double share;
} kQuantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}};

// Digits below a nanosecond differ from run to run, so they are not printed.
std::string time_text(double ns) { return duration_text(ns < 1e3 ? std::round(ns) : ns); }

std::string bars_text(const Histogram& latencies) {
  Table table("rlrl", {"from", "to", "calls", ""});
  const auto bars = latencies.bars();
  int64_t most = 1;
  for (const auto& bar : bars) most = std::max(most, bar.calls);
  for (const auto& bar : bars) {
    if (bar.calls == 0) continue;  // skip the empty bars before distant outliers
    const double length =
        std::ceil(kMaxBar * static_cast<double>(bar.calls) / static_cast<double>(most));
    table.add({duration_text(bar.from_ns), duration_text(bar.to_ns), std::to_string(bar.calls),
               std::string(static_cast<size_t>(length), '#')});
  }
  return table.text();
}

std::string page(const BenchOptions& options, const Measured& measured) {
  const Histogram& latencies = measured.latencies;
  Table table("ll");
  table.add({"model", options.uri});
  table.add({"rows", counted(measured.num_golden, "golden row") + " in turn, " +
                         std::to_string(options.rows) + " a call"});
  table.add({"opened in", time_text(static_cast<double>(measured.open_ns))});
  table.add({"first call", time_text(static_cast<double>(measured.first_ns))});
  table.add({"calls", std::to_string(latencies.count()) + " in " +
                          duration_text(measured.seconds * 1e9) + ", " +
                          std::to_string(static_cast<int64_t>(measured.calls_per_second())) +
                          " a second"});
  std::string text = "mean " + time_text(latencies.mean());
  for (const auto& [name, share] : kQuantiles)
    text += std::string(", ") + name + " " + time_text(latencies.quantile(share));
  table.add({"latency", text + ", max " + time_text(static_cast<double>(latencies.max()))});
  return table.text() + "\n" + bars_text(latencies);
}

std::string as_json(const BenchOptions& options, const Measured& measured) {
  const Histogram& latencies = measured.latencies;
  return to_json([&](JsonWriter& json) {
    const auto number = [&](const char* key, double value) {
      json.Key(key);
      json.Double(value);
    };
    const auto integer = [&](const char* key, int64_t value) {
      json.Key(key);
      json.Int64(value);
    };
    json.StartObject();
    write_member(json, "model", options.uri);
    write_member(json, "id", measured.id);
    integer("golden_rows", measured.num_golden);
    integer("rows_per_call", options.rows);
    integer("open_ns", measured.open_ns);
    integer("first_call_ns", measured.first_ns);
    integer("calls", latencies.count());
    number("seconds", measured.seconds);
    number("calls_per_second", measured.calls_per_second());
    json.Key("latency_ns");
    json.StartObject();
    number("mean", latencies.mean());
    integer("min", latencies.min());
    for (const auto& [name, share] : kQuantiles) number(name, latencies.quantile(share));
    integer("max", latencies.max());
    json.EndObject();
    json.Key("histogram");
    json.StartArray();
    for (const auto& bar : latencies.bars()) {
      json.StartObject();
      number("from_ns", bar.from_ns);
      number("to_ns", bar.to_ns);
      integer("calls", bar.calls);
      json.EndObject();
    }
    json.EndArray();
    json.EndObject();
  });
}

}  // namespace

int run_bench(const Command& self, std::vector<std::string> words) {
  Arguments arguments(
      self,
      "Each call sets the features of its rows, runs the model and reads all answers.\n"
      "One thread makes the calls. Ctrl-C ends early and shows the results so far.");
  BenchOptions options;
  CLI::App& app = arguments.app;
  app.add_option("MODEL", options.uri, kModelHelp)->required()->option_text(" ");
  app.add_option("--seconds", options.seconds, "how long to measure (default: 2)")
      ->check(number_of_seconds())
      ->option_text("SECONDS");
  app.add_option("--rows", options.rows, "golden rows in each call, 1 to 1048576 (default: 1)")
      ->check(whole_number(1, 1 << 20))
      ->option_text("N");
  app.add_flag("--json", options.json, "write quantiles and the histogram as JSON, in ns");
  app.add_option("--timeout", options.model.timeout_s,
                 "deadline of each call (default: none in process, otherwise 30)")
      ->check(number_of_seconds())
      ->option_text("SECONDS");
  add_route_options(app, options.model);
  if (!arguments.parse(std::move(words))) return kOk;

  note_interrupts();
  const Measured measured = measure(options);
  if (measured.latencies.count() > 0)
    out().write(options.json ? as_json(options, measured) : page(options, measured));
  if (const int signal = noted_interrupt()) {
    out().flush();
    die_by_signal(signal);
  }
  return kOk;
}

}  // namespace sidecall::cli
