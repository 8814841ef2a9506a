// Answers rows in batches; see predict.hpp. A batch with any error is repeated row by row, so that
// each fault is reported with its place.
#include <algorithm>

#include "predict.hpp"
#include "terminal/output.hpp"
#include "terminal/platform.hpp"
#include "terminal/progress.hpp"

namespace sidecall::cli {
namespace {

constexpr int64_t kMaxToldRows = 100;  // rows whose faults are printed; others are only counted

// Whether the status is a failure of the model on some rows: the engine or a served function
// failed, or the rows need more memory than is available.
bool is_of_model(sidecall_status status) {
  return status == SIDECALL_ENGINE || status == SIDECALL_OUT_OF_MEMORY;
}

class Batches {
 public:
  Batches(const PredictRun& run, RowSource& source)
      : run_(run), source_(source), progress_(run.reader) {}

  int answer_all();

 private:
  sidecall_status run_call();
  bool answer_together();
  bool answer_alone(const Row& row);
  bool refuse(const Row& row, const std::string& problem, bool has_kept);
  bool refuse(const std::vector<std::string>& problems, bool has_kept);
  void print_count() const;

  const PredictRun& run_;
  RowSource& source_;
  Progress progress_;
  std::vector<Row> rows_;
  std::string text_;  // answers that are not written yet
  int64_t num_rows_ = 0;
  int64_t num_refused_ = 0;
  ExitCode worst_ = kOk;  // the highest exit code of the refused rows
};

int Batches::answer_all() {
  while (!noted_interrupt() && run_.reader.next(run_.batch, rows_)) {
    rows_.erase(std::remove_if(
                    rows_.begin(), rows_.end(),
                    [&](const Row& row) { return !row.is_too_long && source_.is_blank(row.text); }),
                rows_.end());
    if (!rows_.empty() && !answer_together()) {
      for (const Row& row : rows_) {
        ++num_rows_;
        if (!answer_alone(row)) return worst_;
      }
    }
    out().write(text_);
    text_.clear();
    progress_.add(static_cast<int64_t>(rows_.size()));
  }
  progress_.clear();
  if (num_refused_ > 0) print_count();
  return worst_;
}

// Runs the call and fetches the memory of its outputs, from which the answers are read.
sidecall_status Batches::run_call() {
  const sidecall_status status = run_.call.run();
  return status == SIDECALL_OK ? run_.answers.fetch(run_.call) : status;
}

// Answers all rows of the batch in one run. Returns false if the rows must be answered one by one.
bool Batches::answer_together() {
  RowCall& call = run_.call;
  call.start(static_cast<int64_t>(rows_.size()), true);
  int64_t at = 0;
  for (const Row& row : rows_) {
    if (row.is_too_long || source_.fill(call, at++, row.text) != Fill::kFilled) return false;
  }
  const sidecall_status status = run_call();
  if (exit_code_of(status) == kBadInput || is_of_model(status)) return false;
  if (status != SIDECALL_OK) throw Failure(exit_code_of(status), call.error().message);
  for (int64_t i = 0; i < at; ++i) run_.answers.append(call, i, source_, i, &text_);
  num_rows_ += at;
  return true;
}

// Returns false if the command must end with this row.
bool Batches::answer_alone(const Row& row) {
  RowCall& call = run_.call;
  if (row.is_too_long) return refuse(row, run_.reader.too_long(), false);
  call.start(1, false);
  const Fill fill = source_.fill(call, 0, row.text);
  if (fill == Fill::kBroken) return refuse(source_.explain(call, row, run_.reader.name()), false);
  const sidecall_status status = run_call();
  if (exit_code_of(status) == kBadInput)
    return refuse(source_.explain(call, row, run_.reader.name()), true);
  if (is_of_model(status)) {
    worst_ = kEnvironment;
    return refuse(row, call.error().message, true);
  }
  if (status != SIDECALL_OK) throw Failure(exit_code_of(status), call.error().message);
  run_.answers.append(call, 0, source_, 0, &text_);
  return true;
}

bool Batches::refuse(const Row& row, const std::string& problem, bool has_kept) {
  return refuse({run_.reader.name() + ":" + std::to_string(row.line) + ":1: " + problem}, has_kept);
}

bool Batches::refuse(const std::vector<std::string>& problems, bool has_kept) {
  worst_ = std::max(worst_, kBadInput);
  out().write(text_);
  text_.clear();
  progress_.clear();
  if (++num_refused_ <= kMaxToldRows) {
    for (const auto& problem : problems) complain(problem);
  }
  if (run_.on_error == OnError::kNull) run_.answers.append_nothing(source_, 0, has_kept, &text_);
  return run_.on_error != OnError::kFail;
}

void Batches::print_count() const {
  complain("sidecall: " + counted(num_refused_, "row") + " of " + std::to_string(num_rows_) +
           " had faults and " + (num_refused_ == 1 ? "was " : "were ") +
           (run_.on_error == OnError::kNull ? "answered with null" : "left out"));
}

}  // namespace

int predict_rows(const PredictRun& run, RowSource& source) {
  if (!source.open(run.reader)) return kOk;
  out().write(run.answers.header());
  return Batches(run, source).answer_all();
}

}  // namespace sidecall::cli
