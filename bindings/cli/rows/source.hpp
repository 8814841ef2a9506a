// What predict asks of a format of rows: CSV (csv.cpp) or JSON Lines (json_lines.cpp).
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
};

// kRefused: the call knows a value that is wrong, and its run will tell. kBroken: the text is, and explain() tells.
enum class Fill { kFilled, kRefused, kBroken };

class RowSource {
 public:
  RowSource() = default;
  virtual ~RowSource() = default;
  RowSource(const RowSource&) = delete;
  RowSource& operator=(const RowSource&) = delete;

  // Reads what stands before the rows. False where the input is empty.
  virtual bool open(RowReader& reader) = 0;

  // Rows that are none, as empty lines, are left out.
  virtual bool is_blank(std::string_view text) const = 0;

  // Sets the features of row `at` of the call.
  virtual Fill fill(RowCall& call, int64_t at, std::string_view text) = 0;

  // The kept values of the text that fill() read as row `at`, as they stand there; valid as long as that text. A value that is not there is empty.
  virtual std::string_view kept(int64_t at, size_t index) const = 0;

  // Why a row has no answer, after a fill() or a run of that row alone that failed: lines for people, with the place.
  virtual std::vector<std::string> explain(const RowCall& call, const Row& row,
                                           const std::string& file) = 0;
};

std::unique_ptr<RowSource> make_csv_source(const RowCall& call, const RowOptions& options);
std::unique_ptr<RowSource> make_json_source(const RowCall& call, const RowOptions& options);

}  // namespace sidecall::cli
