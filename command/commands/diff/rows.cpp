// Runs the rows of a file through both models, one at a time, and compares the answers, for
// `sidecall diff --rows`; see diff.hpp.
#include <memory>
#include <utility>

#include "pairs.hpp"
#include "rows/source.hpp"
#include "terminal/output.hpp"

namespace sidecall::cli {
namespace {

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// One of the two models. Each reads the file with its own reader, because each has to read the
// header.
class AskedModel {
 public:
  AskedModel(const Model& model, const std::string& file, bool is_csv, int64_t timeout_ns)
      : reader_(file, kMaxRowBytes), call_(model, timeout_ns) {
    options_.ignore_extra = true;
    options_.absent_is_missing = true;  // the models may have different features
    reader_.set_format(is_csv ? RowFormat::kCsv : RowFormat::kLines);
    source_ = is_csv ? make_csv_source(call_, options_) : make_json_source(call_, options_);
  }

  bool open() { return source_->open(reader_); }

  // Reads the next row that is not blank. Returns false at the end.
  bool next() {
    do {
      if (!reader_.next(1, rows_)) return false;
    } while (source_->is_blank(rows_[0].text));
    return true;
  }

  // Whether the model answers the row. A row on which the engine fails also counts as refused.
  bool answers() {
    failure_.clear();
    call_.start(1, false);
    if (source_->fill(call_, 0, rows_[0].text) == Fill::kBroken) return false;
    const sidecall_status status = call_.run();
    if (status == SIDECALL_OK) return true;
    failure_ = status == SIDECALL_ENGINE ? call_.error().message : "";
    if (exit_code_of(status) != kBadInput && failure_.empty())
      throw Failure(exit_code_of(status), call_.error().message);
    return false;
  }

  // Returns the message about the row that answers() refused last, with its place.
  std::string refusal() {
    if (failure_.empty()) return source_->explain(call_, rows_[0], reader_.name())[0];
    return reader_.name() + ":" + std::to_string(rows_[0].line) + ":1: " + failure_;
  }

  sidecall_call* call() const { return call_.get(); }

 private:
  static constexpr size_t kMaxRowBytes = size_t{64} << 20;

  RowReader reader_;
  RowCall call_;
  RowOptions options_;
  std::unique_ptr<RowSource> source_;
  std::vector<Row> rows_;
  std::string failure_;  // the error of the engine for the last row, or ""
};

}  // namespace

MovedAnswers compare_rows(const Model& before, const Model& after, const Signature& old_signature,
                          const std::string& file, int64_t timeout_ns) {
  MovedAnswers answers;
  answers.source = printable(file);
  answers.problem = why_not_comparable(before.get(), after.get());
  if (!answers.problem.empty()) return answers;
  const bool is_csv = ends_with(file, ".csv");
  if (!is_csv && !ends_with(file, ".jsonl") && !ends_with(file, ".ndjson"))
    throw Failure(kBadInput, file + ": expected rows in .jsonl, .ndjson or .csv");
  AskedModel old_side(before, file, is_csv, timeout_ns);
  AskedModel new_side(after, file, is_csv, timeout_ns);
  old_side.open();
  try {
    new_side.open();
  } catch (const InputFailure& failure) {
    // The header suits the old model but not the new one. That is a result of the comparison, not
    // an error.
    answers.problem = std::string("the new model cannot read the rows: ") + failure.what();
    return answers;
  }
  ColumnPairs pairs(before.get(), after.get(), old_signature.contract, answers.movements);
  while (old_side.next() && new_side.next()) {
    ++answers.rows;
    const bool old_answers = old_side.answers();
    const bool new_answers = new_side.answers();
    if (old_answers && new_answers) {
      answers.moved += pairs.compare(old_side.call(), new_side.call()) ? 1 : 0;
      continue;
    }
    if (!old_answers && !new_answers) {
      ++answers.refused_by_both;
      continue;
    }
    ++answers.moved;
    if (old_answers && answers.refused++ == 0) answers.first_refusal = new_side.refusal();
    if (new_answers) ++answers.refused_by_old;
  }
  return answers;
}

}  // namespace sidecall::cli
