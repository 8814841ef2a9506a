// Splits a CSV row into fields; used by the CSV reader of predict and diff, and for kept values.
#pragma once

#include <string>
#include <string_view>

namespace sidecall::cli {

struct CsvField {
  std::string_view raw;   // the field as in the input, with its quotes
  std::string_view text;  // the field without the enclosing quotes
  bool is_quoted = false;
  bool has_pairs = false;  // `text` contains doubled quotes, each of which means one quote
};

// Reads the field at `at`, and moves `at` to the comma after it, or to `end`. Returns false if the
// quotes are not correct.
bool next_field(const char*& at, const char* end, CsvField* field);

// Returns the value of the field. It points into the input, or into `memory` if doubled quotes had
// to be replaced.
std::string_view unquoted(const CsvField& field, std::string* memory);

}  // namespace sidecall::cli
