// Writes the answers of predict, as JSON Lines or CSV, with what was kept of the rows in front.
#pragma once

#include <string>
#include <vector>

#include "source.hpp"

namespace sidecall::cli {

enum class TextFormat { kJson, kCsv };

class Answers {
 public:
  // `only`: names of columns (probabilities.fraud) or outputs (probabilities); all where it is empty. Failure with kNo for an unknown one.
  Answers(const sidecall_model* model, const std::vector<std::string>& only, const RowOptions& rows,
          TextFormat from, TextFormat to);

  // The header of CSV, "" for JSON Lines.
  std::string header() const;

  // Finds the answers of a run that succeeded. A graph or a served function may give another shape
  // than it declares, for some rows only; then call.error() describes the status.
  sidecall_status fetch(RowCall& call);

  // One line. `at` is the row of the run, `kept_at` that of the source.
  void append(const RowCall& call, int64_t at, const RowSource& source, int64_t kept_at,
              std::string* out) const;

  // The line of a row without an answer.
  void append_nothing(const RowSource& source, int64_t kept_at, bool has_kept,
                      std::string* out) const;

 private:
  struct Column {
    int32_t index;
    const sidecall_column_spec* spec;
    int32_t output_dtype;
    std::string before;  // of JSON: what stands in front of the value
    sidecall_view view;
    int64_t width;
  };

  void check_kept() const;
  void write_parts();
  void append_kept(const RowSource& source, int64_t kept_at, std::string* out) const;
  void append_value(const RowCall& call, int64_t at, const Column& column, std::string* out) const;
  void append_string(std::string_view text, std::string* out) const;

  const sidecall_model* model_;
  const RowOptions& rows_;
  TextFormat from_;
  TextFormat to_;
  std::vector<Column> columns_;
  std::string after_;  // of JSON: what stands behind the last value
};

}  // namespace sidecall::cli
