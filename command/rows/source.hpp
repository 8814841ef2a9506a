// The interface of an input format of rows: CSV (formats/csv.cpp) or JSON Lines (json_lines.cpp);
// used by predict and diff.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "call.hpp"
#include "rows.hpp"

namespace sidecall::cli {

struct RowOptions {
  std::vector<std::string> keep;  // names of values that are copied into the answers
  bool ignore_extra = false;
  bool absent_is_missing = false;  // columns of CSV; in JSON, an absent key is a missing value
};

// kRefused: a value is wrong; the call remembers it and the run reports it. kBroken: the text of
// the row is wrong, and explain() reports it.
enum class Fill { kFilled, kRefused, kBroken };

class RowSource {
 public:
  RowSource() = default;
  virtual ~RowSource() = default;
  RowSource(const RowSource&) = delete;
  RowSource& operator=(const RowSource&) = delete;

  // Reads the header, if the format has one. Returns false if an interrupt came before the header.
  // Throws an InputFailure if the header is wrong or absent.
  virtual bool open(RowReader& reader) = 0;

  // Whether the text is not a row, for example an empty line; such text is skipped.
  virtual bool is_blank(std::string_view text) const = 0;

  // Sets the features of row `at` of the call.
  virtual Fill fill(RowCall& call, int64_t at, std::string_view text) = 0;

  // Returns a kept value of the row that fill() read as row `at`, exactly as it is in the text of
  // the row. The view is valid as long as that text, and empty if the row does not have the value.
  virtual std::string_view kept(int64_t at, size_t index) const = 0;

  // Returns why a row has no answer, as lines for people to read; each begins with a place
  // (file:line:column). Call it after fill() or the run has failed for a call of this row alone.
  virtual std::vector<std::string> explain(const RowCall& call, const Row& row,
                                           const std::string& file) = 0;
};

std::unique_ptr<RowSource> make_csv_source(const RowCall& call, const RowOptions& options);
std::unique_ptr<RowSource> make_json_source(const RowCall& call, const RowOptions& options);

}  // namespace sidecall::cli
