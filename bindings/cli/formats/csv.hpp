// Fields of CSV, for the reader of rows and for kept values.
#pragma once

#include <string>
#include <string_view>

namespace sidecall::cli {

struct CsvField {
  std::string_view raw;   // as it stands there, with its quotes
  std::string_view text;  // between them
  bool is_quoted = false;
  bool has_pairs = false;  // two quotes for one within the text
};

// Reads the field at `at` and leaves `at` on the comma behind it, or on `end`. False where quotes do not fit.
bool next_field(const char*& at, const char* end, CsvField* field);

// The field's value; `memory` holds it where it stands nowhere.
std::string_view unquoted(const CsvField& field, std::string* memory);

}  // namespace sidecall::cli
