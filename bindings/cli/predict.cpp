// sidecall predict: one record a line in, one answer a line out, in bounded memory.
#include <algorithm>
#include <array>
#include <memory>

#include "lines.hpp"
#include "model.hpp"
#include "output.hpp"
#include "platform.hpp"

namespace sidecall::cli {
namespace {

constexpr size_t kMaxFaults = 64;

std::string_view trimmed(std::string_view line) {
  const size_t begin = line.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return line.substr(begin, line.find_last_not_of(" \t") - begin + 1);
}

// Predicts line by line, so that answers do not depend on how the input arrived in pieces.
class Predictor {
 public:
  explicit Predictor(const Model& model) : model_(model), err_(SIDECALL_ERROR_INIT) {
    err_.faults = faults_.data();
    err_.faults_capacity = kMaxFaults;
  }

  // The answer as one line of JSON; false when there is none, then problems() tells why.
  bool predict(std::string_view record, std::string& answer) {
    problems_.clear();
    status_ = SIDECALL_INVALID_JSON;
    if (record.front() == '[') {
      problems_ = {"expected a record, got a list"};
      return false;
    }
    sidecall_text* raw = nullptr;
    status_ = sidecall_predict_json(model_.get(), record.data(), record.size(), &raw, &err_);
    const Text text(raw);
    if (status_ == SIDECALL_OK) answer.assign(text->data, text->length);
    else collect_problems();
    return status_ == SIDECALL_OK;
  }

  sidecall_status status() const { return status_; }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  void collect_problems() {
    const size_t listed = std::min<size_t>(err_.num_faults, kMaxFaults);
    for (size_t i = 0; i < listed; ++i) problems_.emplace_back(faults_[i].message);
    if (listed == 0) problems_.emplace_back(err_.message);
    if (err_.num_faults > listed) problems_.push_back("and " + counted(err_.num_faults - static_cast<int64_t>(listed), "more fault"));
  }

  const Model& model_;
  sidecall_error err_;
  std::array<sidecall_fault, kMaxFaults> faults_;
  sidecall_status status_ = SIDECALL_OK;
  std::vector<std::string> problems_;
};

// Records need a contract. The library says so at the first record; without one this must not look like success.
void require_contract(const std::string& uri, const Model& model) {
  if (sidecall_model_contract(model.get(), nullptr)) return;
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_text* none = nullptr;
  sidecall_predict_json(model.get(), "{}", 2, &none, &err);
  throw failure_of(uri, err);
}

// Answers every line; with `keep_going` a line that fails leaves null in its place.
int predict_lines(Predictor& predictor, LineReader& lines, bool keep_going) {
  std::string_view line;
  std::string answer;
  int exit_code = kYes;
  while (lines.next(line)) {
    const std::string_view record = trimmed(line);
    if (!record.empty()) {
      if (predictor.predict(record, answer)) {
        out().write(answer += '\n');
      } else {
        for (const auto& problem : predictor.problems()) complain(lines.name() + ":" + std::to_string(lines.number()) + ": " + problem);
        exit_code = std::max<int>(exit_code, exit_code_of(predictor.status()));
        if (!keep_going) return exit_code;
        out().write("null\n");
      }
    }
    if (!lines.ready()) out().flush();
  }
  return exit_code;
}

}  // namespace

int run_predict(const Command& self, std::vector<std::string> words) {
  Arguments arguments(self,
                      "A line of FILE is a record by feature name: {\"age\": 39, \"job\": \"nurse\"}\n"
                      "An absent key or null is a missing value. A line of the output is its answer:\n"
                      "  {\"label\": \"yes\", \"probabilities\": {\"no\": 0.2, \"yes\": 0.8}}\n"
                      "SIDECALL_VERIFY in the environment wins over --verify.\n"
                      "The first fault ends the run with exit code 2, after the answers before it.");
  ModelOptions options;
  std::string uri;
  std::string file = "-";
  bool keep_going = false;
  CLI::App& app = arguments.app;
  app.add_option("MODEL", uri, "a model file or URI")->required()->option_text(" ");
  app.add_option("FILE", file, "records, one a line; - or no FILE is stdin")->option_text(" ");
  app.add_option("--extra", options.extra, "unknown features: error (default) or ignore")
      ->check(one_of({"error", "ignore"}))
      ->option_text("HOW");
  app.add_option("--verify", options.verify, "golden rows first: error (default), warn or off")
      ->check(one_of({"error", "warn", "off"}))
      ->option_text("HOW");
  app.add_option("--timeout", options.timeout_s, "deadline of each line")->check(positive_seconds())->option_text("SECONDS");
  app.add_flag("--keep-going", keep_going, "answer null for a line with a fault and go on");
  add_route_options(app, options);
  if (!arguments.parse(std::move(words))) return kYes;

  LineReader lines(file);  // before the model: a wrong name costs no load
  const Model model = open_model(uri, options);
  require_contract(uri, model);
  if (lines.from_terminal()) complain("sidecall: reading records from the terminal, one JSON object a line; Ctrl-D ends");
  note_interrupts();
  Predictor predictor(model);
  const int exit_code = predict_lines(predictor, lines, keep_going);
  if (const int signal = noted_interrupt()) {
    out().flush();
    die_by_signal(signal);
  }
  return exit_code;
}

}  // namespace sidecall::cli
