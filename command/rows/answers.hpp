// Writes the answers of predict as JSON Lines or CSV. Values that --keep copies from the rows come
// first.
#pragma once

#include <string>
#include <vector>

#include "source.hpp"

namespace sidecall::cli {

enum class TextFormat { kJson, kCsv };

class Answers {
 public:
  // `only`: names of columns (probabilities.fraud) or outputs (probabilities); if empty, all
  // columns. Throws a Failure with kUsage for an unknown name.
  Answers(const sidecall_model* model, const std::vector<std::string>& only, const RowOptions& rows,
          TextFormat from, TextFormat to);

  // Returns the CSV header; "" for JSON Lines.
  std::string header() const;

  // Locates the answers of a successful run in the output memory of the call. A graph or a served
  // function may return another shape than it declares, possibly only for some rows. In that case
  // the status is an error, which call.error() describes.
  sidecall_status fetch(RowCall& call);

  // Appends the line of one row. `at` is the index of the row in the run, `kept_at` its index in
  // the source.
  void append(const RowCall& call, int64_t at, const RowSource& source, int64_t kept_at,
              std::string* out) const;

  // Appends the line of a row that has no answer.
  void append_nothing(const RowSource& source, int64_t kept_at, bool has_kept,
                      std::string* out) const;

 private:
  struct Column {
    int32_t index;
    const sidecall_column_spec* spec;
    int32_t output_dtype;
    std::string before;  // JSON only: the text before the value
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
  std::string after_;  // JSON only: the text after the last value
};

}  // namespace sidecall::cli
