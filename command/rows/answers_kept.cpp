// Converts kept values from one format to the other; see answers_kept.hpp.
#include "answers_kept.hpp"

#include "base/json/json_text.h"
#include "formats/csv.hpp"
#include "formats/json.hpp"
#include "text.hpp"

namespace sidecall::cli {

void append_kept_field_as_json(std::string_view raw, std::string* out) {
  const char* at = raw.data();
  CsvField field;
  std::string memory;
  next_field(at, at + raw.size(), &field);
  if (field.text.empty() && !field.is_quoted) *out += "null";
  else append_json_string(unquoted(field, &memory), out);
}

void append_kept_json_as_field(std::string_view raw, std::string* out) {
  if (raw.empty() || raw == "null") return;
  if (raw.front() != '"') return append_csv_field(raw, out);
  JsonDocument document;
  document.Parse(raw.data(), raw.size());
  if (document.IsString())
    append_csv_field({document.GetString(), document.GetStringLength()}, out);
}

}  // namespace sidecall::cli
